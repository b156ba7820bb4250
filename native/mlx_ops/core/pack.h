// From MLX's layout of quantized matrices to PackedView's.
#pragma once

#include "kernels.h"

namespace kr::ops {

/// A matrix as mx.quantize gives it (mode "affine"): each row of codes is one stream of bits, the
/// lowest first; a scale and a bias per `group` columns.
struct AffineView {
  const uint8_t* codes;         // [rows][cols * bits / 8]
  const void *scales, *biases;  // [rows][cols / group]
  FloatKind kind;               // of scales and biases
  int rows, cols, group, bits;  // bits: 2, 3, 4, 5, 6 or 8
};

/// Bits that a code takes when packed: 4, or 8 if 4 are too few.
inline int packed_bits(int bits) { return bits <= 4 ? 4 : 8; }

/// The smallest kind that holds all scales and biases without loss.
FloatKind smallest_scales(const AffineView& matrix);

/// Writes packed.bytes() bytes to `out`. `packed` gives the shape and the kind of the scales.
void pack(const AffineView& matrix, const PackedView& packed, uint8_t* out);

}  // namespace kr::ops
