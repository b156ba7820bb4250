// The interface between the MLX operations and the SIMD kernels.
//
// A kernel works on plain pointers, on one thread, and knows nothing of MLX. Every instruction set
// fills one `Kernels` table (simd/table_*.cpp); core/isa.h says which one is in use.
//
// All kernels keep one promise: what they compute for a row depends on that row alone, never on how
// many rows come with it or how the work is split. So a token's result is the same, bit for bit,
// alone or in a batch, in a prefill or in a decode step.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kr::ops {

/// Element types that kernels read and write. They compute in float32.
enum class FloatKind : uint8_t { f32, f16, bf16 };

inline constexpr size_t bytes_of(FloatKind kind) { return kind == FloatKind::f32 ? 4 : 2; }

/// Activations are quantized in groups of this many elements, whatever the group of the weights.
inline constexpr int kActivationGroup = 32;
/// Bytes that one quantized group of activations takes: 32 numbers of 16 bits.
inline constexpr int kCodeBytes = 2 * kActivationGroup;
/// Largest code. Its high byte, rounded, must be at most 127.
inline constexpr float kCodeMax = 32512;
/// Rows of a weight matrix that are stored interleaved.
inline constexpr int kPanelRows = 16;
/// Keys that attention handles at once. Results depend on it, so it is the same everywhere.
inline constexpr int kAttentionChunk = 256;
/// Queries that `attend` takes at once.
inline constexpr int kAttentionRows = 4;
/// Queries that `attend_tile` takes at once. Where panels of queries begin is a multiple of it.
inline constexpr int kTileRows = 24;

/// A matrix of `rows` x `cols`: w[n][k] = scale[n][k / group] * code[n][k] + bias[n][k / group].
///
/// The rows are cut into panels of 16, the last one padded with zeros. A panel is stored as its
/// groups of columns, one after the other, each as
///   16 scales | 16 biases | codes of 32 columns | codes of the next 32 columns ...
/// 32 columns of 8 bits are eight vectors of 64 bytes; vector v holds, for each of the 16 rows, the
/// columns 4v .. 4v + 3. With 4 bits they are four such vectors, v = 0 .. 3; the low nibbles are
/// columns 4v .. 4v + 3 and the high ones columns 4(v + 4) .. 4(v + 4) + 3.
struct PackedView {
  const uint8_t* data;
  int rows, cols;
  int group;         // 32, 64 or 128 columns share a scale and a bias
  int bits;          // 4 or 8
  FloatKind scales;  // of scales and biases

  int panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  size_t head_bytes() const { return 2 * kPanelRows * bytes_of(scales); }
  size_t block_bytes() const { return size_t(kActivationGroup) * kPanelRows * bits / 8; }
  size_t group_bytes() const { return head_bytes() + group / kActivationGroup * block_bytes(); }
  size_t panel_bytes() const { return cols / group * group_bytes(); }
  size_t bytes() const { return panels() * panel_bytes(); }
};

/// Rows of activations as integers of 16 bits: x = scale * code, |code| <= kCodeMax, one scale per
/// 32 elements. How 32 codes lie in their 64 bytes is the instruction set's own affair.
struct QuantizedRows {
  uint8_t* codes;      // [rows][groups][64]
  float* scales;       // [rows][groups]
  float* sums;         // [rows][groups], scale * sum of the codes
  int32_t* code_sums;  // [rows][groups], the sum of the codes
  int groups;          // cols / 32
};

/// A query of attention and the keys it may see.
struct AttentionRow {
  const float* query;  // [head_dim], already multiplied by the scale
  const char* mask;    // entry of key 0; null: it sees all in range
  int begin, end;      // the range of keys
};

/// Softmax over some of the keys: the largest score, the sum of exp(score - largest), and the
/// values weighted by these terms. A sum of 0 says that no key was seen; then the rest is not set.
struct AttentionPart {
  float largest, sum;
  float* values;  // [value_dim]
};

/// Keys and values [begin, end) of one head, where they don't lie with the others.
struct KeyPiece {
  const void *keys, *values;         // of key `begin` on
  int64_t key_stride, value_stride;  // from one key to the next, in elements
  int begin, end;
};

struct AttentionKeys {
  const void *keys, *values;         // of key `first` on: [length][head_dim], [length][value_dim]
  int64_t key_stride, value_stride;  // from one key to the next, in elements
  FloatKind kind;
  int head_dim, value_dim;  // multiples of 16
  int64_t mask_stride;      // from one key to the next, in bytes
  bool mask_is_bool;        // else float32, added to the scores
  int first = 0;
  // In the place of keys and values: pieces, one behind the other, with all that are asked for.
  // `attend` alone takes them.
  const KeyPiece* pieces = nullptr;
};

/// Elements as codes of 4 or 8 bits, as mx.quantize has them: element = scale * code + bias, where
/// `group` of them, a multiple of 16, share both. Of 4 bits the first is the low half of a byte.
struct CodeGroups {
  int count, group, bits;
};

/// Some keys and values as `pack_tile` leaves them: float32, in an order of its own, with room for
/// kAttentionChunk keys of head_dim elements, and values of value_dim elements and 16 more.
struct AttentionTile {
  const float *keys, *values;
  int begin, end;  // which keys these are
  int head_dim, value_dim;
};

struct Kernels {
  const char* name;

  /// x[cols] to one row of `out`. A group with a not-a-number or an infinity gets the scale
  /// not-a-number.
  void (*quantize_row)(const float* x, int cols, const QuantizedRows& out, int row);

  /// y[m][16 p + r - 16 first_panel] = x[m] . w[16 p + r] for the rows first_row <= m < last_row
  /// and the panels first_panel <= p < last_panel. Writes whole panels only as far as w has rows.
  /// `stride`: from one row of y to the next, in elements; y points to row 0.
  void (*product)(const PackedView& w, const QuantizedRows& x, int first_row, int last_row,
                  int first_panel, int last_panel, float* y, int64_t stride);

  /// One row of the matrix.
  void (*unpack_row)(const PackedView& w, int row, float* out);

  /// out = x / sqrt(mean(x^2) + eps) * weight; weight may be null, out may be x.
  void (*rms_norm)(const float* x, const float* weight, float* out, int n, float eps);

  /// out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias; out may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float* out, int n,
                     float eps);
  /// out = x / 2 * (1 + erf(x / sqrt(2))); out may be x.
  void (*gelu)(const float* x, float* out, int n);

  /// out = gate / (1 + exp(-gate)) * up; out may be gate or up.
  void (*swiglu)(const float* gate, const float* up, float* out, int n);

  /// Cosines and sines, times `factor`, of position * turns[i] full turns.
  void (*cos_sin)(const double* turns, double position, float factor, float* cosines, float* sines,
                  int n);
  /// Rotates 2 n elements by n angles, element i with element n + i; out may be x.
  void (*rotate_halves)(const float* x, const float* cosines, const float* sines, float* out,
                        int n);
  /// The same, element 2 i with element 2 i + 1.
  void (*rotate_pairs)(const float* x, const float* cosines, const float* sines, float* out, int n);

  /// `count` queries, at most kAttentionRows, on the keys begin <= t < end, at most
  /// kAttentionChunk of them.
  void (*attend)(const AttentionKeys& keys, const AttentionRow* rows, int count, int begin, int end,
                 AttentionPart* parts);
  /// Takes the softmax over other keys into `into`.
  void (*merge_parts)(AttentionPart* into, const AttentionPart* more, int value_dim);

  /// The keys begin <= t < end, at most kAttentionChunk of them, for `attend_tile`.
  void (*pack_tile)(const AttentionKeys& keys, int begin, int end, float* packed_keys,
                    float* packed_values);
  /// The query number `q` of a tile, already multiplied by the scale, to its place in `packed`,
  /// which has the elements of a multiple of kTileRows queries.
  void (*pack_query)(const float* query, int head_dim, int q, float* packed);
  /// As `attend`, with the same result to the bit, for `count` packed queries, at most kTileRows.
  /// Query q sees the keys t < ends[q].
  void (*attend_tile)(const AttentionTile& tile, const float* queries, const int* ends, int count,
                      AttentionPart* parts);

  /// out[count * group] of codes, with a scale and a bias for each group.
  void (*read_codes)(const uint8_t* codes, const float* scales, const float* biases,
                     const CodeGroups& groups, float* out);
  /// The same codes, scales and biases as mx.quantize's. A group with a not-a-number gets it as its
  /// scale, one with an infinity too.
  void (*write_codes)(const float* x, const CodeGroups& groups, uint8_t* codes, float* scales,
                      float* biases);

  void (*add)(const float* a, const float* b, float* out, int n);
  void (*scale)(const float* x, float factor, float* out, int n);
  /// out = factor * (x - offset).
  void (*shift_scale)(const float* x, float offset, float factor, float* out, int n);
  void (*to_float)(const void* x, FloatKind kind, float* out, int n);
  void (*from_float)(const float* x, FloatKind kind, void* out, int n);

  /// The largest element; not-a-number is passed over.
  float (*largest)(const float* x, int n);
  /// out = exp(factor * (x - offset)), and the sum of it; out may be null.
  double (*exp_sum)(const float* x, float offset, float factor, float* out, int n);
};

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kNeonKernels;

}  // namespace kr::ops
