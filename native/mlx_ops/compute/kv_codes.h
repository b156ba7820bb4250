// A quantized KV cache: keys, or values, [batch, kv_heads, tokens, head_dim] as codes.
#pragma once

#include "../core/isa.h"

namespace kr::ops {

/// Elements that may share a scale and a bias, and groups of a head, at most.
inline constexpr int kCodeGroupMax = 128;
inline constexpr int kCodeGroupsMax = 64;

struct KvCodes {
  CodeGroups groups{0, 0, 0};  // of one head of one token; without any there are no codes
  uint8_t* codes = nullptr;
  char *scales = nullptr, *biases = nullptr;
  FloatKind kind = FloatKind::f32;  // of these two
  // Batch, head, token; of codes in bytes, of the others in elements.
  int64_t code_strides[3] = {}, scale_strides[3] = {}, bias_strides[3] = {};

  explicit operator bool() const { return groups.count > 0; }
  int head_dim() const { return groups.count * groups.group; }

  /// The tokens [begin, end) of one head, one behind the other.
  void read(int b, int head, int begin, int end, float* out) const;
  void write(int b, int head, int token, const float* x) const;
};

}  // namespace kr::ops
