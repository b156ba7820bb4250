// Kernels that go over a row element by element, written once for every `Vec`.
#pragma once

namespace kr::ops {
namespace {

/// Calls whole(i) for each full vector of n elements, then part(i, count) for what is left.
template <class Whole, class Part>
inline void for_each_vec(int n, Whole whole, Part part) {
  int i = 0;
  for (; i + Vec::width <= n; i += Vec::width) whole(i);
  if (i < n) part(i, n - i);
}

/// out[i] = f(a[i], b[i]); out may be a or b.
template <class F>
inline void map2(const float* a, const float* b, float* out, int n, F f) {
  for_each_vec(
      n, [&](int i) { store(out + i, f(load(a + i), load(b + i))); },
      [&](int i, int left) {
        store_first(out + i, f(load_first(a + i, left), load_first(b + i, left)), left);
      });
}

/// exp, to about 2 units in the last place: exactly 1 for 0, 0 below -87.3, no more than exp(88).
/// Range reduction and polynomial as in Cephes' expf (S. Moshier).
inline Vec exponential(Vec x) {
  // The limit comes first: a not-a-number in second place is kept.
  const Vec clamped = largest_of(all(-87.3f), smallest_of(all(88.f), x));
  const Vec n = rounded(clamped * all(1.44269504f));
  Vec r = multiply_add(n, all(-0.693359375f), clamped);
  r = multiply_add(n, all(2.12194440e-4f), r);
  Vec p = all(1.9875691500e-4f);
  p = multiply_add(p, r, all(1.3981999507e-3f));
  p = multiply_add(p, r, all(8.3334519073e-3f));
  p = multiply_add(p, r, all(4.1665795894e-2f));
  p = multiply_add(p, r, all(1.6666665459e-1f));
  p = multiply_add(p, r, all(5.0000001201e-1f));
  p = multiply_add(r * r, p, r) + all(1.f);
  return zero_where_less(times_power_of_two(p, n), x, all(-87.3f));
}

void add(const float* a, const float* b, float* out, int n) {
  map2(a, b, out, n, [](Vec x, Vec y) { return x + y; });
}

void swiglu(const float* gate, const float* up, float* out, int n) {
  map2(gate, up, out, n,
       [](Vec g, Vec u) { return g * u / (all(1.f) + exponential(all(0.f) - g)); });
}

void scale(const float* x, float factor, float* out, int n) {
  map2(x, x, out, n, [=](Vec v, Vec) { return v * all(factor); });
}

void shift_scale(const float* x, float offset, float factor, float* out, int n) {
  map2(x, x, out, n, [=](Vec v, Vec) { return (v - all(offset)) * all(factor); });
}

void rms_norm(const float* x, const float* weight, float* out, int n, float eps) {
  Vec squares[2] = {all(0.f), all(0.f)};  // two, since one would wait for itself
  for_each_vec(
      n,
      [&](int i) {
        Vec& s = squares[i / Vec::width % 2];
        s = multiply_add(load(x + i), load(x + i), s);
      },
      [&](int i, int left) {
        const Vec v = load_first(x + i, left);
        squares[0] = multiply_add(v, v, squares[0]);
      });
  const float mean = sum(squares[0] + squares[1]) / float(n);
  const float factor = 1.f / __builtin_sqrtf(mean + eps);
  if (!weight) return scale(x, factor, out, n);
  map2(x, weight, out, n, [=](Vec v, Vec w) { return v * all(factor) * w; });
}

/// The sum of f of all elements.
template <class F>
inline float summed(const float* x, int n, F f) {
  Vec sums[2] = {all(0.f), all(0.f)};  // two, since one would wait for itself
  for_each_vec(
      n,
      [&](int i) {
        Vec& s = sums[i / Vec::width % 2];
        s = s + f(load(x + i));
      },
      [&](int i, int left) { sums[0] = sums[0] + keep_first(f(load_first(x + i, left)), left); });
  return sum(sums[0] + sums[1]);
}

void layer_norm(const float* x, const float* weight, const float* bias, float* out, int n,
                float eps) {
  const Vec mean = all(summed(x, n, [](Vec v) { return v; }) / float(n));
  const float variance = summed(x, n, [=](Vec v) { return (v - mean) * (v - mean); }) / float(n);
  const Vec factor = all(1.f / __builtin_sqrtf(variance + eps));
  const auto normed = [=](Vec v, Vec w, Vec b) {
    return multiply_add((v - mean) * factor, w, b);
  };
  for_each_vec(
      n,
      [&](int i) { store(out + i, normed(load(x + i), load(weight + i), load(bias + i))); },
      [&](int i, int left) {
        const Vec v = normed(load_first(x + i, left), load_first(weight + i, left),
                             load_first(bias + i, left));
        store_first(out + i, v, left);
      });
}

/// The error function, off by 4e-7 at most: a quotient of polynomials, Eigen's and XLA's for
/// float32. From the limit on it is 1.
inline Vec error_function(Vec x) {
  const Vec limit = all(3.832506856900711f);
  // The limit comes first: a not-a-number in second place is kept.
  x = largest_of(all(0.f) - limit, smallest_of(limit, x));
  const Vec square = x * x;
  Vec above = all(-2.72614225801306e-10f);
  above = multiply_add(above, square, all(2.77068142495902e-08f));
  above = multiply_add(above, square, all(-2.10102402082508e-06f));
  above = multiply_add(above, square, all(-5.69250639462346e-05f));
  above = multiply_add(above, square, all(-7.34990630326855e-04f));
  above = multiply_add(above, square, all(-2.95459980854025e-03f));
  above = multiply_add(above, square, all(-1.60960333262415e-02f));
  Vec below = all(-1.45660718464996e-05f);
  below = multiply_add(below, square, all(-2.13374055278905e-04f));
  below = multiply_add(below, square, all(-1.68282697438203e-03f));
  below = multiply_add(below, square, all(-7.37332916720468e-03f));
  below = multiply_add(below, square, all(-1.42647390514189e-02f));
  return x * above / below;
}

void gelu(const float* x, float* out, int n) {
  map2(x, x, out, n, [](Vec v, Vec) {
    return v * all(0.5f) * (all(1.f) + error_function(v * all(0.70710678f)));
  });
}

float largest(const float* x, int n) {
  Vec m = all(-__builtin_inff());
  float rest = -__builtin_inff();
  for_each_vec(
      n, [&](int i) { m = largest_of(load(x + i), m); },
      [&](int i, int left) {
        for (int k = i; k < i + left; k++) rest = x[k] > rest ? x[k] : rest;
      });
  const float most = largest_in(m);
  return most > rest ? most : rest;
}

double exp_sum(const float* x, float offset, float factor, float* out, int n) {
  // In float32 over short stretches, so that a large vocabulary costs no precision.
  constexpr int stretch = 1024;
  double total = 0;
  for (int start = 0; start < n; start += stretch) {
    const int count = n - start < stretch ? n - start : stretch;
    Vec terms = all(0.f);
    const auto term = [=](Vec v) { return exponential((v - all(offset)) * all(factor)); };
    for_each_vec(
        count,
        [&](int i) {
          const Vec e = term(load(x + start + i));
          terms = terms + e;
          if (out) store(out + start + i, e);
        },
        [&](int i, int left) {
          const Vec e = keep_first(term(load_first(x + start + i, left)), left);
          terms = terms + e;
          if (out) store_first(out + start + i, e, left);
        });
    total += double(sum(terms));
  }
  return total;
}

void to_float(const void* x, FloatKind kind, float* out, int n) {
  const auto* shorts = static_cast<const uint16_t*>(x);
  switch (kind) {
    case FloatKind::f32:
      __builtin_memcpy(out, x, size_t(n) * 4);
      return;
    case FloatKind::f16:
      return for_each_vec(
          n, [&](int i) { store(out + i, load_f16(shorts + i)); },
          [&](int i, int left) {
            for (int k = i; k < i + left; k++) out[k] = float_of_f16(shorts[k]);
          });
    case FloatKind::bf16:
      return for_each_vec(
          n, [&](int i) { store(out + i, load_bf16(shorts + i)); },
          [&](int i, int left) {
            for (int k = i; k < i + left; k++) out[k] = float_of_bf16(shorts[k]);
          });
  }
}

void from_float(const float* x, FloatKind kind, void* out, int n) {
  auto* shorts = static_cast<uint16_t*>(out);
  switch (kind) {
    case FloatKind::f32:
      __builtin_memcpy(out, x, size_t(n) * 4);
      return;
    case FloatKind::f16:
      return for_each_vec(
          n, [&](int i) { store_f16(shorts + i, load(x + i)); },
          [&](int i, int left) {
            for (int k = i; k < i + left; k++) shorts[k] = f16_of_float(x[k]);
          });
    case FloatKind::bf16:
      return for_each_vec(
          n, [&](int i) { store_bf16(shorts + i, load(x + i)); },
          [&](int i, int left) {
            for (int k = i; k < i + left; k++) shorts[k] = bf16_of_float(x[k]);
          });
  }
}

}  // namespace
}  // namespace kr::ops
