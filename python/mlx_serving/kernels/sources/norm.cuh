// RMSNorm of one row by one block, forward and backward. Sums are float.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace rms_norm {

__device__ __forceinline__ float block_sum(float value) {
  __shared__ float parts[32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  const int warps = (blockDim.x + 31) / 32;
  value = threadIdx.x % 32 < warps ? parts[threadIdx.x % 32] : 0.f;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

// N values at once, as many as 16 bytes hold, or 1 where a row's width or start doesn't allow that.
template <typename T, int N>
struct alignas(sizeof(T) * N) Values {
  T at[N];
};

template <typename T, int N, bool ADD>
__device__ __forceinline__ void forward(
    const T* x, const T* residual, const T* weight, float eps, T* sum, T* out, int width) {
  using V = Values<T, N>;
  constexpr int KEPT = 4;  // of each thread in registers; what is wider is read again
  const long long start = (long long)blockIdx.x * width;
  const V* xs = reinterpret_cast<const V*>(x + start);
  const V* rs = reinterpret_cast<const V*>(residual + start);
  const V* ws = reinterpret_cast<const V*>(weight);
  V* totals = reinterpret_cast<V*>(sum + start);
  V* outs = reinterpret_cast<V*>(out + start);
  const int count = width / N;
  V kept[KEPT];
  float squares = 0.f;
#pragma unroll
  for (int turn = 0; turn < KEPT; ++turn) {
    int i = threadIdx.x + turn * blockDim.x;
    if (i < count) {
      kept[turn] = xs[i];
      if constexpr (ADD) {
        V other = rs[i];
#pragma unroll
        for (int e = 0; e < N; ++e) kept[turn].at[e] = T(float(kept[turn].at[e]) + float(other.at[e]));
        totals[i] = kept[turn];
      }
#pragma unroll
      for (int e = 0; e < N; ++e) squares += float(kept[turn].at[e]) * float(kept[turn].at[e]);
    }
  }
  for (int i = threadIdx.x + KEPT * blockDim.x; i < count; i += blockDim.x) {
    V value = xs[i];
    if constexpr (ADD) {
      V other = rs[i];
#pragma unroll
      for (int e = 0; e < N; ++e) value.at[e] = T(float(value.at[e]) + float(other.at[e]));
      totals[i] = value;
    }
#pragma unroll
    for (int e = 0; e < N; ++e) squares += float(value.at[e]) * float(value.at[e]);
  }
  const float factor = rsqrtf(block_sum(squares) / width + eps);
  for (int turn = 0, i = threadIdx.x; i < count; ++turn, i += blockDim.x) {
    V value;
    if (turn < KEPT) {
#pragma unroll
      for (int j = 0; j < KEPT; ++j)
        if (turn == j) value = kept[j];
    } else if constexpr (ADD) {
      value = totals[i];
    } else {
      value = xs[i];
    }
    V factors = ws[i];
#pragma unroll
    for (int e = 0; e < N; ++e)
      value.at[e] = T(float(value.at[e]) * factor * float(factors.at[e]));
    outs[i] = value;
  }
}

// dx = r (w g - x r² mean(w g x)) with r = 1 / sqrt(mean(x²) + eps); `scaled` = g x r, whose sum
// over the rows is the weight's gradient.
template <typename T>
__device__ __forceinline__ void backward(
    const T* x, const T* weight, const T* g, float eps, T* dx, float* scaled, int width) {
  const long long start = (long long)blockIdx.x * width;
  float squares = 0.f, products = 0.f;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float value = float(x[start + i]);
    squares += value * value;
    products += float(weight[i]) * float(g[start + i]) * value;
  }
  squares = block_sum(squares);
  products = block_sum(products);
  const float r = rsqrtf(squares / width + eps);
  const float along = r * r * products / width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float value = float(x[start + i]), gradient = float(g[start + i]);
    dx[start + i] = T(r * (float(weight[i]) * gradient - value * along));
    scaled[start + i] = gradient * value * r;
  }
}

}  // namespace rms_norm
