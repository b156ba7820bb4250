#include "isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace kr::ops {
namespace {

std::vector<const Kernels*> supported() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  if (avx512) found.push_back(&kAvx512Kernels);
  if (avx2) found.push_back(&kAvx2Kernels);
#elif defined(__aarch64__) && defined(__linux__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found.push_back(&kNeonKernels);
#elif defined(__aarch64__) && defined(__APPLE__)
  found.push_back(&kNeonKernels);  // every Apple silicon has the dot product instructions
#endif
  found.push_back(&kScalarKernels);
  return found;
}

const Kernels* find(const std::string& name) {
  std::string names;
  for (const Kernels* table : supported()) {
    if (name == table->name) return table;
    names += names.empty() ? table->name : std::string(", ") + table->name;
  }
  throw std::invalid_argument("instruction set \"" + name + "\" is not supported here; there are " +
                              names);
}

const Kernels* choose() {
  const char* name = std::getenv("KRSERVE_ISA");
  if (!name || !*name) return supported().front();
  try {
    return find(name);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(std::string("KRSERVE_ISA: ") + error.what());
  }
}

std::atomic<const Kernels*>& in_use() {
  static std::atomic<const Kernels*> table{choose()};
  return table;
}

}  // namespace

const Kernels& kernels() { return *in_use().load(std::memory_order_acquire); }

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const Kernels* table : supported()) names.emplace_back(table->name);
  return names;
}

void use_isa(const std::string& name) { in_use().store(find(name), std::memory_order_release); }

}  // namespace kr::ops
