// Attention of one query a row over the KV cache, where it lies: no copy of keys and values, no
// scores in memory.
//
// A block takes one row, one head of the cache and one part of its length, for all REPEATS query
// heads of that head. LANES lanes share a key; each keeps a running maximum, the sum of weights and
// weighted values, and all of these are merged at the end.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace attention {

constexpr int WARPS = 4;
constexpr int AHEAD = 2;  // keys of a lane in one turn: all their loads are under way together
constexpr float LOWEST = -1e30f;

__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }

template <typename T, int E>
struct Raw {
  uint4 at[E / 8];

  __device__ __forceinline__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < E / 8; ++i) at[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  __device__ __forceinline__ float operator[](int e) const {
    return to_float(reinterpret_cast<const T*>(at)[e]);
  }
};

struct View {
  long long row, head, token;  // strides
};

// `mask` may be null; true keeps a token. If the length has several parts, their weighted values go
// to `out` as they are, and (maximum, sum of weights) to `weights`.
template <typename T, int D, int REPEATS, int LANES, bool SPLIT, typename OUT>
__device__ __forceinline__ void run(
    const T* q, View q_at, const T* keys, View k_at, const T* values, View v_at, const bool* mask,
    View mask_at, float scale, OUT* out, float* weights, int heads, int length) {
  constexpr int E = D / LANES;
  constexpr int KEYS = 32 / LANES;  // of a warp at a time
  constexpr int LISTS = WARPS * KEYS;
  constexpr int PITCH = REPEATS * D + LANES;  // of a list in shared memory, without bank conflicts
  const int row = blockIdx.x, head = blockIdx.y, part = blockIdx.z, parts = gridDim.z;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int slot = lane / LANES, piece = lane % LANES;
  const int list = warp * KEYS + slot;

  float query[REPEATS][E], sum[REPEATS][E], best[REPEATS], total[REPEATS];
#pragma unroll
  for (int r = 0; r < REPEATS; ++r) {
    Raw<T, E> raw;
    raw.load(q + row * q_at.row + (head * REPEATS + r) * q_at.head + piece * E);
#pragma unroll
    for (int e = 0; e < E; ++e) {
      query[r][e] = raw[e] * (scale * 1.44269504f);
      sum[r][e] = 0.f;
    }
    best[r] = LOWEST;
    total[r] = 0.f;
  }
  keys += row * k_at.row + head * k_at.head + piece * E;
  values += row * v_at.row + head * v_at.head + piece * E;
  if (mask) mask += row * mask_at.row;

  const int share = (length + parts - 1) / parts;
  const int begin = part * share;
  const int end = min(begin + share, length);
  for (int start = begin; start < end; start += LISTS * AHEAD) {
    Raw<T, E> key[AHEAD], value[AHEAD];
    bool live[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      const int token = start + i * LISTS + list;
      const int at = min(token, end - 1);
      live[i] = token < end && (!mask || mask[at * mask_at.token]);
      key[i].load(keys + at * k_at.token);
      value[i].load(values + at * v_at.token);
    }
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      float score[REPEATS];
#pragma unroll
      for (int r = 0; r < REPEATS; ++r) score[r] = 0.f;
#pragma unroll
      for (int e = 0; e < E; ++e) {
        const float k = key[i][e];
#pragma unroll
        for (int r = 0; r < REPEATS; ++r) score[r] += query[r][e] * k;
      }
#pragma unroll
      for (int step = LANES / 2; step > 0; step /= 2)
#pragma unroll
        for (int r = 0; r < REPEATS; ++r)
          score[r] += __shfl_xor_sync(0xffffffffu, score[r], step);
      float now[REPEATS];
#pragma unroll
      for (int r = 0; r < REPEATS; ++r) {
        const float maximum = live[i] ? fmaxf(best[r], score[r]) : best[r];
        const float old = exp2f(best[r] - maximum);
        now[r] = live[i] ? exp2f(score[r] - maximum) : 0.f;
        best[r] = maximum;
        total[r] = total[r] * old + now[r];
#pragma unroll
        for (int e = 0; e < E; ++e) sum[r][e] *= old;
      }
#pragma unroll
      for (int e = 0; e < E; ++e) {
        const float v = value[i][e];
#pragma unroll
        for (int r = 0; r < REPEATS; ++r) sum[r][e] += now[r] * v;
      }
    }
  }

  __shared__ float all_best[LISTS][REPEATS], all_total[LISTS][REPEATS];
  __shared__ float all_sum[LISTS * PITCH];
#pragma unroll
  for (int r = 0; r < REPEATS; ++r) {
    if (piece == 0) {
      all_best[list][r] = best[r];
      all_total[list][r] = total[r];
    }
#pragma unroll
    for (int e = 0; e < E; ++e) all_sum[list * PITCH + r * D + e * LANES + piece] = sum[r][e];
  }
  __syncthreads();
  // The lists' factors, in the place of their maxima.
  float maximum = LOWEST, mass = 0.f;
  if (threadIdx.x < REPEATS) {
    const int r = threadIdx.x;
    for (int i = 0; i < LISTS; ++i) maximum = fmaxf(maximum, all_best[i][r]);
    for (int i = 0; i < LISTS; ++i) {
      const float factor = exp2f(all_best[i][r] - maximum);
      mass += all_total[i][r] * factor;
      all_best[i][r] = factor;
    }
    all_total[0][r] = mass;
  }
  __syncthreads();
  const long long place = ((long long)row * heads + head) * REPEATS;
  for (int i = threadIdx.x; i < REPEATS * D; i += WARPS * 32) {
    const int r = i / D, d = (i % LANES) * E + i % D / LANES;
    float result = 0.f;
#pragma unroll
    for (int j = 0; j < LISTS; ++j) result += all_sum[j * PITCH + i] * all_best[j][r];
    if constexpr (!SPLIT) result = all_total[0][r] > 0.f ? result / all_total[0][r] : 0.f;
    out[((place + r) * parts + part) * D + d] = OUT(result);
  }
  if constexpr (SPLIT)
    if (threadIdx.x < REPEATS) {
      weights[((place + threadIdx.x) * parts + part) * 2] = maximum;
      weights[((place + threadIdx.x) * parts + part) * 2 + 1] = mass;
    }
}

// One block a query head: the parts of `run`, merged.
template <typename T, int D>
__device__ __forceinline__ void merge(const float* sums, const float* weights, T* out, int parts) {
  const long long head = blockIdx.x;
  sums += head * parts * D;
  weights += head * parts * 2;
  float maximum = LOWEST, mass = 0.f;
  for (int i = 0; i < parts; ++i) maximum = fmaxf(maximum, weights[i * 2]);
  for (int i = 0; i < parts; ++i) mass += weights[i * 2 + 1] * exp2f(weights[i * 2] - maximum);
  for (int d = threadIdx.x; d < D; d += blockDim.x) {
    float result = 0.f;
    for (int i = 0; i < parts; ++i) result += sums[i * D + d] * exp2f(weights[i * 2] - maximum);
    out[head * D + d] = T(mass > 0.f ? result / mass : 0.f);
  }
}

}  // namespace attention
