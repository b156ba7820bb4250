// `Vec` for AVX-512 (F, BW, DQ, VL). What each operation means is said in vec_scalar.h.
#pragma once

#include <immintrin.h>

#include "../core/float16.h"
#include "../core/kernels.h"

namespace kr::ops {
namespace {

struct Vec {
  static constexpr int width = 16;
  static constexpr bool many_registers = true;
  __m512 v;
};

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec largest_of(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec smallest_of(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec rounded(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Vec times_power_of_two(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline Vec zero_where_less(Vec a, Vec x, Vec limit) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), a.v)};
}

inline Vec all(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline __mmask16 first_lanes(int n) { return n < 16 ? __mmask16((1u << n) - 1) : __mmask16(-1); }
inline Vec load_first(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store_first(float* p, Vec a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline Vec keep_first(Vec a, int n) { return {_mm512_maskz_mov_ps(first_lanes(n), a.v)}; }

inline __m256i load_shorts(const uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline Vec load_f16(const uint16_t* p) { return {_mm512_cvtph_ps(load_shorts(p))}; }
inline Vec load_bf16(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_shorts(p)), 16))};
}
inline void store_f16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store_bf16(uint16_t* p, Vec a) {
  alignas(64) float values[16];
  _mm512_store_ps(values, a.v);
  for (int i = 0; i < 16; i++) p[i] = bf16_of_float(values[i]);
}

inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float largest_in(Vec a) { return _mm512_reduce_max_ps(a.v); }
/// Adds neighbouring elements: the result holds, in turn, pairs of a and pairs of b.
inline __m512 pairs_added(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
  const __m512 quarters = pairs_added(pairs_added(a.v, b.v), pairs_added(c.v, d.v));
  const __m256 half =
      _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
// Quarters of a vector are added crosswise: the first to the third, the second to the fourth.
constexpr int summed_lane(int i) { return i / 4 == 1 ? i + 4 : i / 4 == 2 ? i - 4 : i; }

inline void transpose(Vec (&rows)[16]) {
  __m512 pairs[16], fours[16], halves[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4)
    for (int k = 0; k < 2; k++) {
      fours[i + 2 * k] = _mm512_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0x44);
      fours[i + 2 * k + 1] = _mm512_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0xee);
    }
  // fours[4 g + k] holds, in its quarter q, column 4 q + k of the rows 4 g .. 4 g + 3.
  for (int k = 0; k < 4; k++)
    for (int g = 0; g < 16; g += 8) {
      halves[g + k] = _mm512_shuffle_f32x4(fours[g + k], fours[g + k + 4], 0x88);
      halves[g + k + 4] = _mm512_shuffle_f32x4(fours[g + k], fours[g + k + 4], 0xdd);
    }
  for (int k = 0; k < 4; k++) {
    rows[k].v = _mm512_shuffle_f32x4(halves[k], halves[k + 8], 0x88);
    rows[k + 8].v = _mm512_shuffle_f32x4(halves[k], halves[k + 8], 0xdd);
    rows[k + 4].v = _mm512_shuffle_f32x4(halves[k + 4], halves[k + 12], 0x88);
    rows[k + 12].v = _mm512_shuffle_f32x4(halves[k + 4], halves[k + 12], 0xdd);
  }
}

}  // namespace
}  // namespace kr::ops
