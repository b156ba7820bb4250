// Rotary position embedding of heads.
#pragma once

#include <vector>

#include "rows.h"

namespace kr::ops {

struct Rotary {
  int dims = 0;               // elements of a head that are rotated; the others stay
  bool traditional = false;   // pairs are neighbours, else halves of the rotated part
  float magnitude = 1;        // factor on the rotated elements
  std::vector<double> turns;  // [dims / 2], full turns per position

  /// Cosines and sines of a position, each [dims / 2].
  void angles(double position, float* cosines, float* sines) const {
    kernels().cos_sin(turns.data(), position, magnitude, cosines, sines, dims / 2);
  }

  /// One head of `head_dim` elements; out may be x.
  void rotate(const float* x, const float* cosines, const float* sines, float* out,
              int head_dim) const {
    const auto rotate_it = traditional ? kernels().rotate_pairs : kernels().rotate_halves;
    rotate_it(x, cosines, sines, out, dims / 2);
    if (out != x)
      for (int i = dims; i < head_dim; i++) out[i] = x[i];
  }
};

/// The position of a row's first token: one for all rows of the batch, or one each.
struct Positions {
  const int32_t* offsets = nullptr;  // null: all rows start at `offset`
  int64_t stride = 0;                // 0: one for all
  int64_t offset = 0;

  int64_t start(int row) const { return offsets ? offsets[row * stride] : offset; }
};

}  // namespace kr::ops
