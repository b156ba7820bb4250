#include "in_place.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace kr::ops {
namespace {

// An operation's references go a moment after its work is done.
constexpr auto kRelease = std::chrono::microseconds(200);

/// How many operations are under way that took over a memory.
class UnderWay {
 public:
  void add(const void* memory, int change) {
    const std::lock_guard lock(mutex_);
    if ((counts_[memory] += change) == 0) counts_.erase(memory);
  }
  bool any(const void* memory) {
    const std::lock_guard lock(mutex_);
    return counts_.count(memory) > 0;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, int> counts_;
};

UnderWay& under_way() {
  static UnderWay* const all = new UnderWay;
  return *all;
}

/// Whether nothing but operations that have ended, or soon will, uses the memory.
bool becomes_free(const mx::array& a) {
  if (a.is_donatable()) return true;
  const void* memory = a.buffer().ptr();
  if (!under_way().any(memory)) return false;
  while (under_way().any(memory)) std::this_thread::yield();
  const auto end = std::chrono::steady_clock::now() + kRelease;
  while (!a.is_donatable())
    if (std::chrono::steady_clock::now() > end) return false;
  return true;
}

}  // namespace

bool take_over(const mx::array& in, mx::array& out) {
  if (in.strides().back() == 1 && becomes_free(in)) {
    out.copy_shared_buffer(in);
    return true;
  }
  out.set_data(mx::allocator::malloc(out.nbytes()));
  return false;
}

void drop_inputs_but(const Arrays& inputs, Arrays& outputs) {
  for (mx::array& out : outputs)
    if (&out.inputs() != &inputs && !out.is_tracer()) out.inputs().clear();
}

void took_over(const void* memory) { under_way().add(memory, 1); }
void left(const void* memory) { under_way().add(memory, -1); }

void copy_into(const Rows& from, char* to) {
  const auto bytes = int64_t(bytes_of(from.kind));
  const int64_t row_bytes = from.cols * bytes;
  for (int64_t row = 0, count = from.count(); row < count; row++, to += row_bytes) {
    const char* at = from.address(row);
    if (from.col_stride == 1) {
      std::copy_n(at, row_bytes, to);
      continue;
    }
    for (int i = 0; i < from.cols; i++)
      std::copy_n(at + i * from.col_stride * bytes, bytes, to + i * bytes);
  }
}

}  // namespace kr::ops
