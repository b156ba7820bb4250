// Activations to 16-bit integers, written once for every `Vec`.
//
// The including file has defined how 32 codes are stored: `store_codes(const int16_t*, uint8_t*)`.
#pragma once

namespace kr::ops {
namespace {

void store_codes(const int16_t* codes, uint8_t* out);

/// Two to the power -100: what is smaller than that is taken for 0, so that its inverse is finite.
constexpr float kSmallest = 0x1p-100f;

inline void quantize_group(const float* x, const QuantizedRows& out, size_t group) {
  Vec most = all(0.f), poison = all(0.f);
  for (int i = 0; i < kActivationGroup; i += Vec::width) {
    const Vec v = load(x + i);
    most = largest_of(absolute(v), most);
    poison = multiply_add(v, all(0.f), poison);  // not a number, if v is or is infinite
  }
  const float size = largest_in(most);
  const float inverse = size > kSmallest ? kCodeMax / size : 0.f;
  float values[kActivationGroup];
  for (int i = 0; i < kActivationGroup; i += Vec::width)
    store(values + i, rounded(load(x + i) * all(inverse)));
  int16_t codes[kActivationGroup];
  int32_t total = 0;
  for (int i = 0; i < kActivationGroup; i++) {
    // Where there was a not-a-number it stays, and int32 of it need not be defined.
    const float code = values[i] <= kCodeMax && values[i] >= -kCodeMax ? values[i] : 0.f;
    codes[i] = int16_t(int32_t(code));
    total += codes[i];
  }
  store_codes(codes, out.codes + group * kCodeBytes);
  const float scale = (size > kSmallest ? size / kCodeMax : 0.f) + sum(poison);
  out.scales[group] = scale;
  out.sums[group] = scale * float(total);
  out.code_sums[group] = total;
}

void quantize_row(const float* x, int cols, const QuantizedRows& out, int row) {
  for (int g = 0; g < out.groups; g++)
    quantize_group(x + g * kActivationGroup, out, size_t(row) * out.groups + g);
  (void)cols;
}

}  // namespace
}  // namespace kr::ops
