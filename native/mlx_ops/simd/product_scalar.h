// The quantized product in plain C++.
#pragma once

#include "product_weights.h"

namespace kr::ops {
namespace {

void store_codes(const int16_t* codes, uint8_t* out) { __builtin_memcpy(out, codes, kCodeBytes); }

inline float head_of(FloatKind kind, const uint8_t* p, int row) {
  if (kind == FloatKind::f32) return reinterpret_cast<const float*>(p)[row];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(p)[row];
  return kind == FloatKind::f16 ? float_of_f16(bits) : float_of_bf16(bits);
}

template <int bits, FloatKind kind, int count>
void panel_product(const PackedView& w, const uint8_t* p, const QuantizedRows& x, int row, float* y,
                   int64_t stride, int width) {
  float sums[count][kPanelRows] = {};
  const int blocks = w.group / kActivationGroup;
  for (int g = 0; g < x.groups;) {
    const uint8_t* head = p;
    p += w.head_bytes();
    for (int block = 0; block < blocks; block++, g++, p += w.block_bytes()) {
      for (int r = 0; r < kPanelRows; r++) {
        int codes[kActivationGroup];
        unpack_codes<bits>(p, r, codes);
        const float scale = head_of(kind, head, r);
        const float bias = head_of(kind, head + w.head_bytes() / 2, r);
        for (int m = 0; m < count; m++) {
          const size_t at = size_t(row + m) * x.groups + g;
          int16_t values[kActivationGroup];
          __builtin_memcpy(values, x.codes + at * kCodeBytes, kCodeBytes);
          int32_t d = 0;
          for (int k = 0; k < kActivationGroup; k++) d += codes[k] * values[k];
          sums[m][r] += float(d) * (scale * x.scales[at]);
          sums[m][r] += bias * x.sums[at];
        }
      }
    }
  }
  for (int m = 0; m < count; m++)
    for (int r = 0; r < width; r++) y[(row + m) * stride + r] = sums[m][r];
}

constexpr int kProductRows = 4;

}  // namespace
}  // namespace kr::ops

#include "product.h"
