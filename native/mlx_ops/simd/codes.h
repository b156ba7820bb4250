// Keys and values of a cache as codes of 4 or 8 bits, written once for every `Vec`.
#pragma once

namespace kr::ops {
namespace {

/// What mx.quantize takes for the smallest scale.
constexpr float kScaleMin = 1e-7f;

// Plain loops, which the compiler turns into vectors.
void read_codes(const uint8_t* codes, const float* scales, const float* biases,
                const CodeGroups& groups, float* out) {
  for (int g = 0; g < groups.count; g++, out += groups.group) {
    const float scale = scales[g], bias = biases[g];
    if (groups.bits == 8) {
      for (int i = 0; i < groups.group; i++) out[i] = scale * float(codes[i]) + bias;
      codes += groups.group;
    } else {
      for (int i = 0; i < groups.group / 2; i++) {
        out[2 * i] = scale * float(codes[i] & 15) + bias;
        out[2 * i + 1] = scale * float(codes[i] >> 4) + bias;
      }
      codes += groups.group / 2;
    }
  }
}

/// Codes of one group as floats, in `out`.
inline void round_group(const float* x, int n, int bits, float* out, float* scale, float* bias) {
  const float codes = bits == 8 ? 255 : 15;
  Vec most = load(x), least = most, poison = all(0.f);
  for (int i = 0; i < n; i += Vec::width) {
    const Vec v = load(x + i);
    most = largest_of(v, most);
    least = smallest_of(v, least);
    poison = multiply_add(v, all(0.f), poison);  // not a number, if v is or is infinite
  }
  const float high = largest_in(most), low = -largest_in(all(0.f) - least);
  float step = (high - low) / codes;
  step = step > kScaleMin ? step : kScaleMin;
  const bool from_low = __builtin_fabsf(low) > __builtin_fabsf(high);
  if (!from_low) step = -step;
  const float edge = from_low ? low : high;
  const float first = __builtin_rintf(edge / step);
  const float offset = first != 0 ? edge : 0;
  if (first != 0) step = edge / first;
  for (int i = 0; i < n; i += Vec::width) {
    const Vec code = rounded((load(x + i) - all(offset)) / all(step));
    store(out + i, smallest_of(largest_of(code, all(0.f)), all(codes)));
  }
  *scale = step + sum(poison);
  *bias = offset;
}

void write_codes(const float* x, const CodeGroups& groups, uint8_t* codes, float* scales,
                 float* biases) {
  const int n = groups.group;
  float values[256];
  for (int g = 0; g < groups.count; g++, x += n) {
    round_group(x, n, groups.bits, values, scales + g, biases + g);
    // Where there was a not-a-number it may have stayed, and an integer of it need not be defined.
    for (int i = 0; i < n; i++) values[i] = values[i] >= 0 && values[i] <= 255 ? values[i] : 0;
    if (groups.bits == 8) {
      for (int i = 0; i < n; i++) codes[i] = uint8_t(int32_t(values[i]));
      codes += n;
    } else {
      for (int i = 0; i < n / 2; i++)
        codes[i] = uint8_t(int32_t(values[2 * i]) | int32_t(values[2 * i + 1]) << 4);
      codes += n / 2;
    }
  }
}

}  // namespace
}  // namespace kr::ops
