// float16 and bfloat16 to float32 and back, without help of the processor.
#pragma once

#include <cstdint>

namespace kr::ops {
namespace {  // one copy for each instruction set that includes it

inline float float_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

inline float float_of_bf16(uint16_t bits) { return float_of_bits(uint32_t(bits) << 16); }

/// Rounds to nearest, ties to even.
inline uint16_t bf16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return uint16_t(bits >> 16 | 0x40);  // not a number
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float float_of_f16(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16;
  const uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00) return float_of_bits(sign | 0x7f800000u | (rest & 0x3ff) << 13);
  // Moving the exponent by a product treats subnormal numbers right too.
  return float_of_bits(sign | bits_of_float(float_of_bits(rest << 13) * 0x1p112f));
}

/// Rounds to nearest, ties to even; too large becomes infinity.
inline uint16_t f16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  const uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return uint16_t(sign | 0x7e00);
  if (size >= 0x477ff000u) return uint16_t(sign | 0x7c00);  // rounds to 65536 or more
  if (size < 0x38800000u) {                                 // below 2^-14: subnormal
    // Adding 1/2 leaves the result, rounded, in the lowest bits.
    const float rounded = float_of_bits(size) + 0.5f;
    return uint16_t(sign | (bits_of_float(rounded) - bits_of_float(0.5f)));
  }
  const uint32_t odd = size >> 13 & 1;
  return uint16_t(sign | (((size + 0xfff + odd) >> 13) - (112u << 10)));
}

}  // namespace
}  // namespace kr::ops
