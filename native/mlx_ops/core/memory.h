// Working memory of operations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace kr::ops {

/// Memory that an operation needs while it runs, taken off buffers that each thread keeps, up to
/// 16 MiB of them. What was taken through a Workspace is free again when it goes; they nest.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// `count` elements, not initialized, at a multiple of 64 bytes.
  template <class T>
  T* take(size_t count) {
    return static_cast<T*>(take_bytes(count * sizeof(T)));
  }

  /// Memory for quantized rows of `cols` elements.
  QuantizedRows take_rows(int rows, int cols);

 private:
  void* take_bytes(size_t bytes);

  size_t block_, used_;
};

/// Asks the system to back this memory with large pages: reading it in a row then costs fewer
/// translations of addresses. Call it before the memory is first written to.
void prefer_large_pages(void* memory, size_t bytes);

}  // namespace kr::ops
