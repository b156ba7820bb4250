#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace kr::ops {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kKeptBytes = size_t{16} << 20;
constexpr size_t kLargePageBytes = size_t{2} << 20;

struct Block {
  std::byte* memory;
  size_t bytes;
};

/// A thread's blocks, of which those before `block` are full.
struct Stack {
  std::vector<Block> blocks;
  size_t block = 0, used = 0;

  ~Stack() { shrink(0); }

  void shrink(size_t bytes) {
    size_t total = 0;
    for (const Block& b : blocks) total += b.bytes;
    for (; total > bytes; blocks.pop_back()) {
      total -= blocks.back().bytes;
      std::free(blocks.back().memory);
    }
  }
};

thread_local Stack stack;

}  // namespace

Workspace::Workspace() : block_(stack.block), used_(stack.used) {}

Workspace::~Workspace() {
  stack.block = block_;
  stack.used = used_;
  if (!block_ && !used_) stack.shrink(kKeptBytes);
}

void* Workspace::take_bytes(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (stack.block < stack.blocks.size()) {
    const Block& block = stack.blocks[stack.block];
    if (stack.used + bytes <= block.bytes) {
      void* const taken = block.memory + stack.used;
      stack.used += bytes;
      return taken;
    }
    stack.block++;
    stack.used = 0;
  }
  const size_t size = std::max(bytes, kBlockBytes);
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
  if (!memory) throw std::bad_alloc();
  stack.blocks.push_back({memory, size});
  stack.used = bytes;
  return memory;
}

QuantizedRows Workspace::take_rows(int rows, int cols) {
  const int groups = cols / kActivationGroup;
  const size_t count = size_t(rows) * groups;
  return {take<uint8_t>(count * kCodeBytes), take<float>(count), take<float>(count),
          take<int32_t>(count), groups};
}

void prefer_large_pages(void* memory, size_t bytes) {
#if defined(__linux__)
  const auto begin = (reinterpret_cast<uintptr_t>(memory) + kLargePageBytes - 1) / kLargePageBytes *
                     kLargePageBytes;
  const auto end =
      (reinterpret_cast<uintptr_t>(memory) + bytes) / kLargePageBytes * kLargePageBytes;
  // Advice only: where the system doesn't take it, all works as before.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

}  // namespace kr::ops
