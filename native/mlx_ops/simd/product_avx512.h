// The quantized product with AVX-512 VNNI.
//
// A lane is a row of the weights. `vpdpbusd` multiplies the four unsigned bytes of each lane by the
// same four signed bytes of the activations and adds the products to the lane. A 16-bit code is
// 256 * high + low with two signed bytes, so two such products give the exact integer result.
#pragma once

#include "product_weights.h"

namespace kr::ops {
namespace {

/// 32 bytes high, then 32 bytes low.
void store_codes(const int16_t* codes, uint8_t* out) {
  const __m512i v = _mm512_loadu_si512(codes);
  const __m512i high = _mm512_srai_epi16(_mm512_add_epi16(v, _mm512_set1_epi16(128)), 8);
  const __m512i low = _mm512_sub_epi16(v, _mm512_slli_epi16(high, 8));
  auto* bytes = reinterpret_cast<__m256i*>(out);
  _mm256_storeu_si256(bytes, _mm512_cvtepi16_epi8(high));
  _mm256_storeu_si256(bytes + 1, _mm512_cvtepi16_epi8(low));
}

template <FloatKind kind>
inline __m512 load_head(const uint8_t* p) {
  if constexpr (kind == FloatKind::f32) return _mm512_loadu_ps(p);
  if constexpr (kind == FloatKind::f16) return load_f16(reinterpret_cast<const uint16_t*>(p)).v;
  return load_bf16(reinterpret_cast<const uint16_t*>(p)).v;
}

/// Weights of 32 columns as eight vectors of bytes.
template <int bits>
inline void load_codes(const uint8_t* p, __m512i* w) {
  if constexpr (bits == 8) {
    for (int v = 0; v < 8; v++) w[v] = _mm512_loadu_si512(p + 64 * v);
  } else {
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int v = 0; v < 4; v++) {
      const __m512i both = _mm512_loadu_si512(p + 64 * v);
      w[v] = _mm512_and_si512(both, nibble);
      w[v + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
  }
}

/// sums + products of four unsigned bytes a lane with the same four signed bytes at p.
inline __m512i add_products(__m512i sums, __m512i w, const uint8_t* p) {
#if defined(__GNUC__) && !defined(__clang__)
  // GCC would load and spread the bytes by an instruction of its own, half of all there are here;
  // and it would put the products of one row behind those of another, which then wait less well.
  asm volatile("vpdpbusd %2%{1to16%}, %1, %0"
               : "+v"(sums)
               : "v"(w), "m"(*reinterpret_cast<const int32_t*>(p)));
  return sums;
#else
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return _mm512_dpbusd_epi32(sums, w, _mm512_set1_epi32(bytes));
#endif
}

/// The integer products of 16 rows of weights with 32 codes of each of `count` rows, which lie
/// `step` bytes apart. Several sums grow side by side, since each step of one waits for the last.
template <int count>
inline void dot(const __m512i* w, const uint8_t* codes, size_t step, __m512i* sums) {
  __m512i high[count], low[count];
  for (int m = 0; m < count; m++) high[m] = low[m] = _mm512_setzero_si512();
  for (int v = 0; v < 8; v++)
    for (int m = 0; m < count; m++) {
      high[m] = add_products(high[m], w[v], codes + m * step + 4 * v);
      low[m] = add_products(low[m], w[v], codes + m * step + 32 + 4 * v);
    }
  for (int m = 0; m < count; m++) sums[m] = _mm512_add_epi32(_mm512_slli_epi32(high[m], 8), low[m]);
}

/// One panel of weights with `count` rows of activations.
template <int bits, FloatKind kind, int count>
void panel_product(const PackedView& w, const uint8_t* p, const QuantizedRows& x, int row, float* y,
                   int64_t stride, int width) {
  __m512 sums[count];
  for (int m = 0; m < count; m++) sums[m] = _mm512_setzero_ps();
  const int blocks = w.group / kActivationGroup;
  for (int g = 0; g < x.groups;) {
    const __m512 scale = load_head<kind>(p), bias = load_head<kind>(p + w.head_bytes() / 2);
    p += w.head_bytes();
    for (int block = 0; block < blocks; block++, g++, p += w.block_bytes()) {
      __m512i codes[8];
      load_codes<bits>(p, codes);
      constexpr int together = count % 4 ? (count % 2 ? 1 : 2) : 4;
      for (int m = 0; m < count; m += together) {
        const size_t at = size_t(row + m) * x.groups + g;
        __m512i d[together];
        dot<together>(codes, x.codes + at * kCodeBytes, x.groups * size_t(kCodeBytes), d);
        for (int i = 0; i < together; i++) {
          const size_t mine = at + size_t(i) * x.groups;
          const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[mine]));
          sums[m + i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d[i]), factor, sums[m + i]);
          sums[m + i] = _mm512_fmadd_ps(bias, _mm512_set1_ps(x.sums[mine]), sums[m + i]);
        }
      }
    }
  }
  for (int m = 0; m < count; m++) store_first(y + (row + m) * stride, Vec{sums[m]}, width);
}

constexpr int kProductRows = 8;

}  // namespace
}  // namespace kr::ops

#include "product.h"
