// Views of arrays in memory, whatever their strides and float type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/isa.h"

namespace kr::ops {

/// Axes of an array that `Rows` describes, the last one not counted.
inline constexpr int kRowAxesMax = 7;

/// The rows of an array: all its axes but the last count them, in row-major order.
struct Rows {
  const char* data = nullptr;
  FloatKind kind = FloatKind::f32;
  int axes = 0;
  int64_t lengths[kRowAxesMax], strides[kRowAxesMax];  // strides in elements
  int cols = 0;
  int64_t col_stride = 1;

  int64_t count() const {
    int64_t n = 1;
    for (int axis = 0; axis < axes; axis++) n *= lengths[axis];
    return n;
  }

  const char* address(int64_t row) const {
    int64_t offset = 0;
    if (axes == 1) {
      offset = row * strides[0];
    } else {
      for (int axis = axes; axis-- > 0; row /= lengths[axis])
        offset += row % lengths[axis] * strides[axis];
    }
    return data + offset * int64_t(bytes_of(kind));
  }

  /// Row `row` as float32: where it is, if it is that already, else copied to scratch[cols].
  const float* get(int64_t row, float* scratch) const {
    const char* at = address(row);
    if (col_stride == 1 || cols < 2) {
      if (kind == FloatKind::f32) return reinterpret_cast<const float*>(at);
      kernels().to_float(at, kind, scratch, cols);
      return scratch;
    }
    const int64_t step = col_stride * int64_t(bytes_of(kind));
    for (int i = 0; i < cols; i++) kernels().to_float(at + i * step, kind, scratch + i, 1);
    return scratch;
  }
};

/// `count` rows of float32, one behind the other.
inline Rows dense_rows(const float* data, int64_t count, int cols) {
  Rows rows;
  rows.data = reinterpret_cast<const char*>(data);
  rows.axes = 1;
  rows.lengths[0] = count;
  rows.strides[0] = rows.cols = cols;
  return rows;
}

/// Where a result goes: dense rows of one float type.
struct OutRows {
  char* data = nullptr;
  FloatKind kind = FloatKind::f32;
  int64_t cols = 0;

  /// Where to compute row `row`: in place, or in scratch[cols], which `put` then converts.
  float* place(int64_t row, float* scratch) const {
    return kind == FloatKind::f32 ? reinterpret_cast<float*>(data) + row * cols : scratch;
  }
  void put(int64_t row, const float* values) const {
    if (kind != FloatKind::f32)
      kernels().from_float(values, kind, data + row * cols * int64_t(bytes_of(kind)), int(cols));
  }
};

}  // namespace kr::ops
