// `Vec` of one element, for processors without a table of their own, and as the reference.
#pragma once

#include "../core/float16.h"
#include "../core/kernels.h"

namespace kr::ops {
namespace {

/// A vector of `width` float32. Every instruction set defines the same operations.
struct Vec {
  static constexpr int width = 1;
  static constexpr bool many_registers = false;
  float v;
};

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
/// a * b + c
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec largest_of(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec smallest_of(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec absolute(Vec a) { return {__builtin_fabsf(a.v)}; }
inline Vec rounded(Vec a) { return {__builtin_rintf(a.v)}; }
/// a * 2^n for whole n, -126 <= n <= 127
inline Vec times_power_of_two(Vec a, Vec n) {
  const int64_t power = n.v == n.v ? int64_t(n.v) : 0;
  return {a.v * float_of_bits(uint32_t(power + 127) << 23)};
}
/// a, but 0 where x < limit
inline Vec zero_where_less(Vec a, Vec x, Vec limit) { return {x.v < limit.v ? 0 : a.v}; }

inline Vec all(float x) { return {x}; }
inline Vec load(const float* p) { return {*p}; }
inline void store(float* p, Vec a) { *p = a.v; }
/// The first n < width elements; the others are 0.
inline Vec load_first(const float*, int) { return {0}; }
inline void store_first(float*, Vec, int) {}
/// The first n elements stay, the others become 0.
inline Vec keep_first(Vec a, int n) { return {n > 0 ? a.v : 0}; }

inline Vec load_f16(const uint16_t* p) { return {float_of_f16(*p)}; }
inline Vec load_bf16(const uint16_t* p) { return {float_of_bf16(*p)}; }
inline void store_f16(uint16_t* p, Vec a) { *p = f16_of_float(a.v); }
inline void store_bf16(uint16_t* p, Vec a) { *p = bf16_of_float(a.v); }

inline float sum(Vec a) { return a.v; }
inline float largest_in(Vec a) { return a.v; }
/// The sums of four vectors.
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
  p[0] = a.v;
  p[1] = b.v;
  p[2] = c.v;
  p[3] = d.v;
}
/// The order in which store_sums adds lanes: neighbours in this order, then neighbouring pairs,
/// then pairs of pairs.
constexpr int summed_lane(int i) { return i; }
/// rows[i][k] becomes rows[k][i].
inline void transpose(Vec (&)[1]) {}

}  // namespace
}  // namespace kr::ops
