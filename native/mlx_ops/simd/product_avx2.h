// The quantized product with AVX2.
//
// A lane of 32 bits is a row of the weights. `vpmaddwd` multiplies two unsigned bytes, widened to
// 16 bits, by two 16-bit codes of the activations and adds the two products; the result is exact.
#pragma once

#include "product_weights.h"

namespace kr::ops {
namespace {

/// Of four codes 0 1 2 3 the even ones come first, as the bytes of a lane are widened.
void store_codes(const int16_t* codes, uint8_t* out) {
  int16_t order[kActivationGroup];
  for (int i = 0; i < kActivationGroup; i += 4) {
    order[i] = codes[i];
    order[i + 1] = codes[i + 2];
    order[i + 2] = codes[i + 1];
    order[i + 3] = codes[i + 3];
  }
  __builtin_memcpy(out, order, sizeof order);
}

template <FloatKind kind>
inline __m256 load_head(const uint8_t* p) {
  if constexpr (kind == FloatKind::f32) return load(reinterpret_cast<const float*>(p)).v;
  if constexpr (kind == FloatKind::f16) return load_f16(reinterpret_cast<const uint16_t*>(p)).v;
  return load_bf16(reinterpret_cast<const uint16_t*>(p)).v;
}

inline __m256i two_codes(const uint8_t* p) {
  int32_t codes;
  __builtin_memcpy(&codes, p, 4);
  return _mm256_set1_epi32(codes);
}

/// Adds the products of four columns, widened to `even` and `odd`.
inline __m256i add_dot(__m256i sum, __m256i even, __m256i odd, const uint8_t* codes) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, two_codes(codes)));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(odd, two_codes(codes + 4)));
}

/// The integer products of 8 rows of weights with 32 codes of each of `count` rows.
template <int bits, int count>
inline void dots(const uint8_t* p, const uint8_t* const* codes, __m256i* sums) {
  const __m256i mask = _mm256_set1_epi16(bits == 8 ? 255 : 15);
  for (int m = 0; m < count; m++) sums[m] = _mm256_setzero_si256();
  for (int v = 0; v < bits; v++) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 64 * v));
    const __m256i even = _mm256_and_si256(w, mask);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(w, 8), mask);
    for (int m = 0; m < count; m++) sums[m] = add_dot(sums[m], even, odd, codes[m] + 8 * v);
    if constexpr (bits == 4) {
      const __m256i high_even = _mm256_and_si256(_mm256_srli_epi16(w, 4), mask);
      const __m256i high_odd = _mm256_srli_epi16(w, 12);
      for (int m = 0; m < count; m++)
        sums[m] = add_dot(sums[m], high_even, high_odd, codes[m] + 8 * (v + 4));
    }
  }
}

/// Half a panel, 8 rows of weights, with `count` rows of activations.
template <int bits, FloatKind kind, int count>
void half_product(const PackedView& w, const uint8_t* p, int half, const QuantizedRows& x, int row,
                  float* y, int64_t stride, int width) {
  __m256 sums[count];
  for (int m = 0; m < count; m++) sums[m] = _mm256_setzero_ps();
  const int blocks = w.group / kActivationGroup;
  for (int g = 0; g < x.groups;) {
    const size_t head = 8 * half * bytes_of(kind);
    const __m256 scale = load_head<kind>(p + head);
    const __m256 bias = load_head<kind>(p + w.head_bytes() / 2 + head);
    p += w.head_bytes();
    for (int block = 0; block < blocks; block++, g++, p += w.block_bytes()) {
      const uint8_t* codes[count];
      for (int m = 0; m < count; m++)
        codes[m] = x.codes + (size_t(row + m) * x.groups + g) * kCodeBytes;
      __m256i d[count];
      dots<bits, count>(p + 32 * half, codes, d);
      for (int m = 0; m < count; m++) {
        const size_t at = size_t(row + m) * x.groups + g;
        const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(x.scales[at]));
        sums[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[m]), factor, sums[m]);
        sums[m] = _mm256_fmadd_ps(bias, _mm256_set1_ps(x.sums[at]), sums[m]);
      }
    }
  }
  for (int m = 0; m < count; m++) store_first(y + (row + m) * stride, Vec{sums[m]}, width);
}

template <int bits, FloatKind kind, int count>
void panel_product(const PackedView& w, const uint8_t* p, const QuantizedRows& x, int row, float* y,
                   int64_t stride, int width) {
  half_product<bits, kind, count>(w, p, 0, x, row, y, stride, width);
  if (width > 8) half_product<bits, kind, count>(w, p, 1, x, row, y + 8, stride, width - 8);
}

constexpr int kProductRows = 4;

}  // namespace
}  // namespace kr::ops

#include "product.h"
