// The quantized product with NEON and its dot product instructions (FEAT_DotProd).
//
// A lane of 32 bits is a row of the weights. `sdot` multiplies the four signed bytes of each lane
// by the same four signed bytes of the activations and adds the products to the lane. A 16-bit code
// is 256 * high + low with two signed bytes. Weights of 8 bits are unsigned: 128 is taken off, and
// 128 times the sum of the codes added to the result.
#pragma once

#include "product_weights.h"

namespace kr::ops {
namespace {

/// 32 bytes high, then 32 bytes low.
void store_codes(const int16_t* codes, uint8_t* out) {
  for (int i = 0; i < kActivationGroup; i++) {
    const int high = (codes[i] + 128) >> 8;
    out[i] = uint8_t(high);
    out[i + kActivationGroup] = uint8_t(codes[i] - 256 * high);
  }
}

template <FloatKind kind>
inline float32x4_t load_head(const uint8_t* p) {
  if constexpr (kind == FloatKind::f32) return load(reinterpret_cast<const float*>(p)).v;
  if constexpr (kind == FloatKind::f16) return load_f16(reinterpret_cast<const uint16_t*>(p)).v;
  return load_bf16(reinterpret_cast<const uint16_t*>(p)).v;
}

/// Four rows of weights, 32 columns, as eight vectors of signed bytes.
template <int bits>
inline void load_codes(const uint8_t* p, int8x16_t* w) {
  for (int v = 0; v < bits; v++) {
    const uint8x16_t bytes = vld1q_u8(p + 64 * v);
    if constexpr (bits == 8) {
      w[v] = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)));
    } else {
      w[v] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
      w[v + 4] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
    }
  }
}

inline int32x4_t dot_plane(const int8x16_t* w, const uint8_t* codes) {
  const int8x16_t first = vreinterpretq_s8_u8(vld1q_u8(codes));
  const int8x16_t second = vreinterpretq_s8_u8(vld1q_u8(codes + 16));
  int32x4_t sum = vdupq_n_s32(0);
  sum = vdotq_laneq_s32(sum, w[0], first, 0);
  sum = vdotq_laneq_s32(sum, w[1], first, 1);
  sum = vdotq_laneq_s32(sum, w[2], first, 2);
  sum = vdotq_laneq_s32(sum, w[3], first, 3);
  sum = vdotq_laneq_s32(sum, w[4], second, 0);
  sum = vdotq_laneq_s32(sum, w[5], second, 1);
  sum = vdotq_laneq_s32(sum, w[6], second, 2);
  return vdotq_laneq_s32(sum, w[7], second, 3);
}

/// A quarter of a panel, 4 rows of weights, with `count` rows of activations.
template <int bits, FloatKind kind, int count>
void quarter_product(const PackedView& w, const uint8_t* p, int quarter, const QuantizedRows& x,
                     int row, float* y, int64_t stride, int width) {
  float32x4_t sums[count];
  for (int m = 0; m < count; m++) sums[m] = vdupq_n_f32(0);
  const int blocks = w.group / kActivationGroup;
  for (int g = 0; g < x.groups;) {
    const size_t head = 4 * quarter * bytes_of(kind);
    const float32x4_t scale = load_head<kind>(p + head);
    const float32x4_t bias = load_head<kind>(p + w.head_bytes() / 2 + head);
    p += w.head_bytes();
    for (int block = 0; block < blocks; block++, g++, p += w.block_bytes()) {
      int8x16_t codes[8];
      load_codes<bits>(p + 16 * quarter, codes);
      for (int m = 0; m < count; m++) {
        const size_t at = size_t(row + m) * x.groups + g;
        const uint8_t* planes = x.codes + at * kCodeBytes;
        int32x4_t d = vaddq_s32(vshlq_n_s32(dot_plane(codes, planes), 8),
                                dot_plane(codes, planes + kActivationGroup));
        if constexpr (bits == 8) d = vaddq_s32(d, vdupq_n_s32(128 * x.code_sums[at]));
        const float32x4_t factor = vmulq_n_f32(scale, x.scales[at]);
        sums[m] = vfmaq_f32(sums[m], vcvtq_f32_s32(d), factor);
        sums[m] = vfmaq_f32(sums[m], bias, vdupq_n_f32(x.sums[at]));
      }
    }
  }
  for (int m = 0; m < count; m++) {
    if (width >= 4)
      vst1q_f32(y + (row + m) * stride, sums[m]);
    else
      store_first(y + (row + m) * stride, Vec{sums[m]}, width);
  }
}

template <int bits, FloatKind kind, int count>
void panel_product(const PackedView& w, const uint8_t* p, const QuantizedRows& x, int row, float* y,
                   int64_t stride, int width) {
  for (int quarter = 0; 4 * quarter < width; quarter++)
    quarter_product<bits, kind, count>(w, p, quarter, x, row, y + 4 * quarter, stride,
                                       width - 4 * quarter);
}

constexpr int kProductRows = 4;

}  // namespace
}  // namespace kr::ops

#include "product.h"
