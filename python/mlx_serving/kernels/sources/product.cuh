// The product of a few rows of activations and a 4-bit matrix: y = x Wᵀ, with mma.sync.
//
// W is the first operand of the matrix instructions, 16 of its rows at a time, and x the second, 8
// of its rows at a time. Every thread dequantizes the weights of its own fragments in registers.
// The order of k within a chunk is free as long as both operands agree on it. It is chosen so that
// 16 bytes of W are 32 values of k of one row, and 16 bytes of x belong to one word of W.
//
// A block computes WARPS_N * 16 * TILES_W rows of W; WARPS_K warps share each of them along k, and
// gridDim.y blocks do, too. If there are several, their sums go out apart, as float, in the same
// memory: `out` then has room for (gridDim.y, m, n) floats.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace product {

constexpr int CHUNK = 128;  // values of k in one turn of a warp
constexpr int PIECES = CHUNK * 2 / 16;  // of 16 bytes, of one row of x

// Two 16-bit floats. `magic` holds 2^7 or 2^10, whose lowest bits count single ones.
template <typename T>
struct Pair;

template <>
struct Pair<__nv_bfloat16> {
  using Type = __nv_bfloat162;
  static constexpr unsigned magic = 0x43004300u;
  static __device__ Type both(__nv_bfloat16 value) { return __bfloat162bfloat162(value); }
  static __device__ void mma(float* c, const unsigned* a, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

template <>
struct Pair<__half> {
  using Type = __half2;
  static constexpr unsigned magic = 0x64006400u;
  static __device__ Type both(__half value) { return __half2half2(value); }
  static __device__ void mma(float* c, const unsigned* a, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

// Zeros where `valid` is false.
template <int BYTES>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  int size = valid ? BYTES : 0;
  if constexpr (BYTES == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(size));
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                 ::"r"(address), "l"(from), "r"(size), "n"(BYTES));
  }
}

// Eight weights of one word, in order, as four pairs.
template <typename T>
__device__ __forceinline__ void dequantize(
    unsigned word, typename Pair<T>::Type scale, typename Pair<T>::Type bias, unsigned* out) {
  using P = typename Pair<T>::Type;
  constexpr unsigned magic = Pair<T>::magic;
  const P base = *reinterpret_cast<const P*>(&magic);
  unsigned odd = word >> 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    unsigned bits = __byte_perm(word, odd, i | ((i + 4) << 8));
    bits = (bits & 0x000f000fu) | magic;
    P value = __hsub2(*reinterpret_cast<P*>(&bits), base);
    value = __hfma2(value, scale, bias);
    out[i] = *reinterpret_cast<unsigned*>(&value);
  }
}

template <typename T, int GROUP, int TILES_X, int WARPS_N, int WARPS_K, int TILES_W, int STAGES>
struct Layout {
  static constexpr int threads = WARPS_N * WARPS_K * 32;
  static constexpr int rows_w = WARPS_N * TILES_W * 16;
  static constexpr int rows_x = TILES_X * 8;
  // One word holds the scales of a chunk of one row; with groups of 32 it takes two.
  static constexpr int scale_words = GROUP == 32 ? 2 : 1;
  static constexpr int w_bytes = rows_w * CHUNK / 2 * WARPS_K;
  static constexpr int x_bytes = rows_x * CHUNK * 2 * WARPS_K;
  static constexpr int s_bytes = rows_w * 2 * scale_words * 4 * WARPS_K;
  static constexpr int stage_bytes = w_bytes + x_bytes + s_bytes;
};

// One of the matrices that share x; out of all of them lies one behind the other.
template <typename T>
struct Matrix {
  const unsigned* w;
  const T* scales;
  const T* biases;
  int n;
};

template <typename T, int GROUP, int TILES_X, int WARPS_N, int WARPS_K, int TILES_W, int STAGES>
__device__ __forceinline__ void run(
    const T* __restrict__ x, const Matrix<T>& first_matrix, const Matrix<T>& second,
    const Matrix<T>& third, T* __restrict__ out, int m, int k) {
  using L = Layout<T, GROUP, TILES_X, WARPS_N, WARPS_K, TILES_W, STAGES>;
  using P = typename Pair<T>::Type;
  extern __shared__ uint4 shared[];
  char* base = reinterpret_cast<char*>(shared);

  const int thread = threadIdx.x;
  const int lane = thread % 32;
  const int warp = thread / 32;
  const int warp_n = warp % WARPS_N;
  const int warp_k = warp / WARPS_N;
  const int g = lane / 4;
  const int t = lane % 4;
  Matrix<T> matrix = first_matrix;
  int block = blockIdx.x;
  size_t before = 0;
  const Matrix<T>* others[] = {&second, &third};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int blocks = (matrix.n + L::rows_w - 1) / L::rows_w;
    if (block >= blocks) {
      block -= blocks;
      before += (size_t)m * matrix.n;
      matrix = *others[i];
    } else {
      break;
    }
  }
  const unsigned* __restrict__ w = matrix.w;
  const T* __restrict__ scales = matrix.scales;
  const T* __restrict__ biases = matrix.biases;
  const int n = matrix.n;
  const int row0 = block * L::rows_w;
  const int x0 = blockIdx.z * L::rows_x;
  const int chunks = k / CHUNK;
  const int share = (chunks + gridDim.y - 1) / gridDim.y;
  const int first = blockIdx.y * share;
  const int end = min(first + share, chunks);
  const int turns = (max(end - first, 0) + WARPS_K - 1) / WARPS_K;
  const int groups = k / GROUP;

  auto fetch = [&](int turn) {
    if (turn < turns) {
      char* stage = base + (turn % STAGES) * L::stage_bytes;
      // W: what this thread alone will read.
      uint4* to_w = reinterpret_cast<uint4*>(stage) + (warp * TILES_W * 2) * 32 + lane;
      const int chunk = first + turn * WARPS_K + warp_k;
      const bool live = chunk < end;
      const int at = live ? chunk : 0;
#pragma unroll
      for (int i = 0; i < TILES_W * 2; ++i) {
        int row = min(row0 + warp_n * TILES_W * 16 + i * 8 + g, n - 1);
        const unsigned* from = w + (size_t)row * (k / 8) + at * (CHUNK / 8) + t * 4;
        copy_async<16>(to_w + i * 32, from, live);
      }
      // x: shared by the block. The place of a piece avoids bank conflicts when it is read.
      uint4* to_x = reinterpret_cast<uint4*>(stage + L::w_bytes);
      for (int i = thread; i < WARPS_K * L::rows_x * PIECES; i += L::threads) {
        int piece = i % PIECES;
        int row = (i / PIECES) % L::rows_x;
        int part = i / (PIECES * L::rows_x);
        int c = first + turn * WARPS_K + part;
        bool valid = c < end && x0 + row < m;
        const T* from = x + (valid ? (size_t)(x0 + row) * k + c * CHUNK + piece * 8 : 0);
        int place = ((piece >> 2) | ((piece & 3) << 2)) ^ ((row & 1) << 2);
        copy_async<16>(to_x + (part * L::rows_x + row) * PIECES + place, from, valid);
      }
      unsigned* to_s = reinterpret_cast<unsigned*>(stage + L::w_bytes + L::x_bytes);
      for (int i = thread; i < WARPS_K * 2 * L::rows_w; i += L::threads) {
        int row = i % L::rows_w;
        int which = (i / L::rows_w) % 2;
        int c = first + turn * WARPS_K + i / (L::rows_w * 2);
        bool valid = c < end && row0 + row < n;
        const T* from = which ? biases : scales;
        if (valid) from += ((size_t)(row0 + row) * groups + c * CHUNK / GROUP) & ~size_t(1);
        copy_async<L::scale_words * 4>(to_s + i * L::scale_words, from, valid);
      }
    }
    asm volatile("cp.async.commit_group;");
  };

  float sums[TILES_W][TILES_X][4];
#pragma unroll
  for (int i = 0; i < TILES_W; ++i)
#pragma unroll
    for (int j = 0; j < TILES_X; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0.f;

#pragma unroll
  for (int i = 0; i < STAGES - 1; ++i) fetch(i);

  for (int turn = 0; turn < turns; ++turn) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
    __syncthreads();
    fetch(turn + STAGES - 1);

    const char* stage = base + (turn % STAGES) * L::stage_bytes;
    const uint4* ws = reinterpret_cast<const uint4*>(stage) + (warp * TILES_W * 2) * 32 + lane;
    const uint4* xs = reinterpret_cast<const uint4*>(stage + L::w_bytes) +
        warp_k * L::rows_x * PIECES;
    const T* ss = reinterpret_cast<const T*>(stage + L::w_bytes + L::x_bytes) +
        warp_k * 2 * L::rows_w * L::scale_words * 2;

    uint4 words[TILES_W * 2];
    P scale[TILES_W * 2], bias[TILES_W * 2];
    const int chunk = first + turn * WARPS_K + warp_k;
#pragma unroll
    for (int i = 0; i < TILES_W * 2; ++i) {
      words[i] = ws[i * 32];
      int row = warp_n * TILES_W * 16 + i * 8 + g;
      int place = GROUP == 128 ? chunk & 1 : t * 32 / GROUP;
      scale[i] = Pair<T>::both(ss[row * L::scale_words * 2 + place]);
      bias[i] = Pair<T>::both(ss[(L::rows_w + row) * L::scale_words * 2 + place]);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      unsigned a[TILES_W][2][4];  // tile, step, register
#pragma unroll
      for (int i = 0; i < TILES_W; ++i) {
        unsigned upper[4], lower[4];
        dequantize<T>((&words[2 * i].x)[j], scale[2 * i], bias[2 * i], upper);
        dequantize<T>((&words[2 * i + 1].x)[j], scale[2 * i + 1], bias[2 * i + 1], lower);
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          a[i][step][0] = upper[step * 2];
          a[i][step][1] = lower[step * 2];
          a[i][step][2] = upper[step * 2 + 1];
          a[i][step][3] = lower[step * 2 + 1];
        }
      }
#pragma unroll
      for (int tile = 0; tile < TILES_X; ++tile) {
        uint4 b = xs[(tile * 8 + g) * PIECES + ((t + 4 * j) ^ ((g & 1) << 2))];
#pragma unroll
        for (int i = 0; i < TILES_W; ++i) {
          Pair<T>::mma(sums[i][tile], a[i][0], b.x, b.y);
          Pair<T>::mma(sums[i][tile], a[i][1], b.z, b.w);
        }
      }
    }
  }

  asm volatile("cp.async.wait_group 0;");
  __syncthreads();
  constexpr int pitch = L::rows_w + 4;
  float* tile_sums = reinterpret_cast<float*>(base);
#pragma unroll
  for (int i = 0; i < TILES_W; ++i)
#pragma unroll
    for (int j = 0; j < TILES_X; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        int row = warp_n * TILES_W * 16 + i * 16 + g + (e / 2) * 8;
        int column = j * 8 + 2 * t + e % 2;
        tile_sums[(warp_k * L::rows_x + column) * pitch + row] = sums[i][j][e];
      }
  __syncthreads();
  const bool split = gridDim.y > 1;
  float* parts = reinterpret_cast<float*>(out) + before * gridDim.y + (size_t)blockIdx.y * m * n;
  out += before;
  for (int i = thread; i < L::rows_x * L::rows_w; i += L::threads) {
    int row = i % L::rows_w;
    int column = i / L::rows_w;
    if (x0 + column >= m || row0 + row >= n) continue;
    float sum = 0.f;
#pragma unroll
    for (int part = 0; part < WARPS_K; ++part)
      sum += tile_sums[(part * L::rows_x + column) * pitch + row];
    const size_t place = (size_t)(x0 + column) * n + row0 + row;
    if (split)
      parts[place] = sum;
    else
      out[place] = T(sum);
  }
}

// The parts' sums: one thread a value of the `total` that a part has. `ns` are the matrices' rows.
template <typename T>
__device__ __forceinline__ void add_parts(
    const T* parts_of, const int* ns, T* out, int split, int m, int total) {
  const long long place = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (place >= (long long)m * total) return;
  const float* parts = reinterpret_cast<const float*>(parts_of);
  long long at = place, size = (long long)m * ns[0];
#pragma unroll
  for (int i = 1; i < 3; ++i)
    if (at >= size) {
      at -= size;
      parts += size * split;
      size = (long long)m * ns[i];
    }
  float sum = 0.f;
  for (int part = 0; part < split; ++part) sum += parts[part * size + at];
  out[place] = T(sum);
}

}  // namespace product
