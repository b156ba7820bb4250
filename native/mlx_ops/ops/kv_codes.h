// A quantized KV cache as arrays of MLX: what mx.quantize gives for keys or values.
#pragma once

#include "../compute/kv_codes.h"
#include "operation.h"

namespace kr::ops {

/// Keys or values [batch, kv_heads, tokens, ...] as the arrays codes, scales and biases.
struct CodeArrays {
  mx::array codes, scales, biases;

  int heads() const { return codes.shape(1); }
  int tokens() const { return codes.shape(2); }
  /// Elements of a head.
  int dim(int bits) const { return codes.shape(3) * 32 / bits; }
};

/// Throws std::invalid_argument unless these are three arrays that fit together: codes of uint32,
/// scales and biases of one float type, and heads that are whole groups of 32, 64 or 128.
CodeArrays code_arrays(const Arrays& arrays, int group_size, int bits);

/// Arrays whose memory is ready, as the computation sees it; the last axis of each is contiguous.
KvCodes codes_of(const mx::array& codes, const mx::array& scales, const mx::array& biases,
                 int group_size, int bits);

}  // namespace kr::ops
