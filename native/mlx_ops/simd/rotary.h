// Rotary embedding: cosines and sines, and the two ways to pair the elements of a head.
#pragma once

namespace kr::ops {
namespace {

/// The quarter turn that is nearest is taken off first; the rest is at most pi/4, where the
/// polynomials of Cephes' sinf and cosf hold (S. Moshier).
inline void cos_sin_of(Vec turns, Vec* cosine, Vec* sine) {
  const Vec quarters = rounded(turns * all(4.f));  // -2 .. 2
  const Vec x = multiply_add(quarters, all(-0.25f), turns) * all(6.28318530718f);
  const Vec x2 = x * x;
  Vec s = all(-1.9515295891e-4f);
  s = multiply_add(s, x2, all(8.3321608736e-3f));
  s = multiply_add(s, x2, all(-1.6666654611e-1f));
  s = multiply_add(s * x2, x, x);
  Vec c = all(2.443315711809948e-5f);
  c = multiply_add(c, x2, all(-1.388731625493765e-3f));
  c = multiply_add(c, x2, all(4.166664568298827e-2f));
  c = multiply_add(c * x2, x2, multiply_add(x2, all(-0.5f), all(1.f)));
  // Cosine and sine of the quarters themselves, which are all 0, 1 or -1.
  const Vec size = absolute(quarters);
  const Vec quarter_cos = all(1.f) - size;
  const Vec quarter_sin = quarters * (all(2.f) - size);
  *cosine = c * quarter_cos - s * quarter_sin;
  *sine = s * quarter_cos + c * quarter_sin;
}

void cos_sin(const double* turns, double position, float factor, float* cosines, float* sines,
             int n) {
  // Whole turns go in double: in float32 a large position would leave an angle of few digits.
  for (int i = 0; i < n; i++) {
    const double angle = position * turns[i];
    sines[i] = float(angle - __builtin_rint(angle));
  }
  for_each_vec(
      n,
      [&](int i) {
        Vec c, s;
        cos_sin_of(load(sines + i), &c, &s);
        store(cosines + i, c * all(factor));
        store(sines + i, s * all(factor));
      },
      [&](int i, int left) {
        Vec c, s;
        cos_sin_of(load_first(sines + i, left), &c, &s);
        store_first(cosines + i, c * all(factor), left);
        store_first(sines + i, s * all(factor), left);
      });
}

void rotate_halves(const float* x, const float* cosines, const float* sines, float* out, int n) {
  const float* second = x + n;
  for_each_vec(
      n,
      [&](int i) {
        const Vec a = load(x + i), b = load(second + i);
        const Vec c = load(cosines + i), s = load(sines + i);
        store(out + i, a * c - b * s);
        store(out + n + i, a * s + b * c);
      },
      [&](int i, int left) {
        const Vec a = load_first(x + i, left), b = load_first(second + i, left);
        const Vec c = load_first(cosines + i, left), s = load_first(sines + i, left);
        store_first(out + i, a * c - b * s, left);
        store_first(out + n + i, a * s + b * c, left);
      });
}

void rotate_pairs(const float* x, const float* cosines, const float* sines, float* out, int n) {
  for (int i = 0; i < n; i++) {
    const float a = x[2 * i], b = x[2 * i + 1];
    out[2 * i] = a * cosines[i] - b * sines[i];
    out[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

}  // namespace
}  // namespace kr::ops
