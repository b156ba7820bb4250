// `Vec` for NEON on 64-bit ARM. What each operation means is said in vec_scalar.h.
#pragma once

#include <arm_neon.h>

#include "../core/float16.h"
#include "../core/kernels.h"

namespace kr::ops {
namespace {

struct Vec {
  static constexpr int width = 4;
  static constexpr bool many_registers = true;
  float32x4_t v;
};

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec largest_of(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec smallest_of(Vec a, Vec b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec absolute(Vec a) { return {vabsq_f32(a.v)}; }
inline Vec rounded(Vec a) { return {vrndnq_f32(a.v)}; }
inline Vec times_power_of_two(Vec a, Vec n) {
  const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n.v), vdupq_n_s32(127));
  return {vmulq_f32(a.v, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)))};
}
inline Vec zero_where_less(Vec a, Vec x, Vec limit) {
  const uint32x4_t less = vcltq_f32(x.v, limit.v);
  return {vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a.v), less))};
}

inline Vec all(float x) { return {vdupq_n_f32(x)}; }
inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline Vec load_first(const float* p, int n) {
  float values[4] = {};
  for (int i = 0; i < n; i++) values[i] = p[i];
  return load(values);
}
inline void store_first(float* p, Vec a, int n) {
  float values[4];
  store(values, a);
  for (int i = 0; i < n; i++) p[i] = values[i];
}
inline Vec keep_first(Vec a, int n) {
  const int32x4_t lanes = {0, 1, 2, 3};
  const uint32x4_t keep = vcltq_s32(lanes, vdupq_n_s32(n));
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), keep))};
}

inline Vec load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
inline Vec load_bf16(const uint16_t* p) {
  return {vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16))};
}
inline void store_f16(uint16_t* p, Vec a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.v))); }
inline void store_bf16(uint16_t* p, Vec a) {
  for (int i = 0; i < 4; i++) p[i] = bf16_of_float(a.v[i]);
}

inline float sum(Vec a) { return vaddvq_f32(a.v); }
inline float largest_in(Vec a) { return vmaxnmvq_f32(a.v); }
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
  vst1q_f32(p, vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v)));
}
constexpr int summed_lane(int i) { return i; }

inline float64x2_t pairs_of(float32x4_t a) { return vreinterpretq_f64_f32(a); }
inline void transpose(Vec (&rows)[4]) {
  const float32x4_t even01 = vtrn1q_f32(rows[0].v, rows[1].v);
  const float32x4_t odd01 = vtrn2q_f32(rows[0].v, rows[1].v);
  const float32x4_t even23 = vtrn1q_f32(rows[2].v, rows[3].v);
  const float32x4_t odd23 = vtrn2q_f32(rows[2].v, rows[3].v);
  rows[0].v = vreinterpretq_f32_f64(vtrn1q_f64(pairs_of(even01), pairs_of(even23)));
  rows[1].v = vreinterpretq_f32_f64(vtrn1q_f64(pairs_of(odd01), pairs_of(odd23)));
  rows[2].v = vreinterpretq_f32_f64(vtrn2q_f64(pairs_of(even01), pairs_of(even23)));
  rows[3].v = vreinterpretq_f32_f64(vtrn2q_f64(pairs_of(odd01), pairs_of(odd23)));
}

}  // namespace
}  // namespace kr::ops
