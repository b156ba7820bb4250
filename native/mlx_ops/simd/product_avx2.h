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

/// Adds the products of two columns of each lane.
inline __m256i add_products(__m256i sums, __m256i w, __m256i codes) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(w, codes));
}

/// The weights of four columns, widened to 16 bits: 0 and 2, 1 and 3.
struct Widened {
  __m256i even, odd;
};

/// The low or the high nibbles, or whole bytes, of 8 rows of weights.
template <int bits, bool high>
inline Widened widen(const uint8_t* p) {
  const __m256i mask = _mm256_set1_epi16(bits == 8 ? 255 : 15);
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  if constexpr (high)
    return {_mm256_and_si256(_mm256_srli_epi16(w, 4), mask), _mm256_srli_epi16(w, 12)};
  return {_mm256_and_si256(w, mask), _mm256_and_si256(_mm256_srli_epi16(w, 8), mask)};
}

/// Adds the products of four columns of both halves of a panel. `p`: their weights; `place`: of the
/// columns among the 32.
template <int bits, bool high, int count>
inline void add_columns(const uint8_t* p, const uint8_t* const* codes, int place,
                        __m256i (*sums)[2]) {
  const Widened first = widen<bits, high>(p), second = widen<bits, high>(p + 32);
  for (int m = 0; m < count; m++) {
    const __m256i even = two_codes(codes[m] + 8 * place);
    sums[m][0] = add_products(sums[m][0], first.even, even);
    sums[m][1] = add_products(sums[m][1], second.even, even);
    const __m256i odd = two_codes(codes[m] + 8 * place + 4);
    sums[m][0] = add_products(sums[m][0], first.odd, odd);
    sums[m][1] = add_products(sums[m][1], second.odd, odd);
  }
}

/// The integer products of 16 rows of weights with 32 codes of each of `count` rows.
template <int bits, int count>
inline void dots(const uint8_t* p, const uint8_t* const* codes, __m256i (*sums)[2]) {
  for (int m = 0; m < count; m++) sums[m][0] = sums[m][1] = _mm256_setzero_si256();
  for (int v = 0; v < bits; v++) {
    add_columns<bits, false, count>(p + 64 * v, codes, v, sums);
    if constexpr (bits == 4) add_columns<bits, true, count>(p + 64 * v, codes, v + 4, sums);
  }
}

/// One panel of weights with `count` rows of activations.
template <int bits, FloatKind kind, int count>
void panel_product(const PackedView& w, const uint8_t* p, const QuantizedRows& x, int row, float* y,
                   int64_t stride, int width) {
  __m256 sums[count][2];
  for (int m = 0; m < count; m++) sums[m][0] = sums[m][1] = _mm256_setzero_ps();
  const int blocks = w.group / kActivationGroup;
  constexpr size_t half = 8 * bytes_of(kind);
  for (int g = 0; g < x.groups;) {
    const uint8_t* const biases = p + w.head_bytes() / 2;
    const __m256 scale[2] = {load_head<kind>(p), load_head<kind>(p + half)};
    const __m256 bias[2] = {load_head<kind>(biases), load_head<kind>(biases + half)};
    p += w.head_bytes();
    for (int block = 0; block < blocks; block++, g++, p += w.block_bytes()) {
      const uint8_t* codes[count];
      for (int m = 0; m < count; m++)
        codes[m] = x.codes + (size_t(row + m) * x.groups + g) * kCodeBytes;
      __m256i d[count][2];
      dots<bits, count>(p, codes, d);
      for (int m = 0; m < count; m++) {
        const size_t at = size_t(row + m) * x.groups + g;
        const __m256 x_scale = _mm256_set1_ps(x.scales[at]), x_sum = _mm256_set1_ps(x.sums[at]);
        for (int h = 0; h < 2; h++) {
          const __m256 factor = _mm256_mul_ps(scale[h], x_scale);
          sums[m][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[m][h]), factor, sums[m][h]);
          sums[m][h] = _mm256_fmadd_ps(bias[h], x_sum, sums[m][h]);
        }
      }
    }
  }
  for (int m = 0; m < count; m++) {
    store_first(y + (row + m) * stride, Vec{sums[m][0]}, width);
    if (width > 8) store_first(y + (row + m) * stride + 8, Vec{sums[m][1]}, width - 8);
  }
}

constexpr int kProductRows = 4;

}  // namespace
}  // namespace kr::ops

#include "product.h"
