// The transformer block of the Llama family.
//
//   q, k, v = rotate(norm(x) . Wqkv + b)                            enter
//   h = x + attention(q, k, v) . Wo + b                             leave
//   h + (silu(g) * u) . Wdown + b,  g, u = norm(h) . Wgate_up + b
//
// with root mean square norms, optionally norms of the single heads of q and k too (Qwen 3), and no
// rotation in layers without positions (SmolLM 3).
#pragma once

#include <memory>
#include <vector>

#include "attention.h"
#include "rotary.h"

namespace kr::ops {

/// Scale factors of a norm, and what is added to the mean of the squares.
struct Norm {
  std::vector<float> weight;
  float eps = 0;

  explicit operator bool() const { return !weight.empty(); }
};

/// One or several matrices side by side, with a bias (which may be empty) for all of their rows.
struct Projection {
  std::vector<PackedView> matrices;
  std::vector<float> bias;

  int rows() const;
  int cols() const { return matrices.front().cols; }
};

/// All of a block's constants.
struct BlockConstants {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;
  std::shared_ptr<const Rotary> rotary;  // may be null
  Norm input_norm, output_norm;          // before attention, before the gated part
  Norm q_norm, k_norm;                   // may be empty
  Projection qkv, out, gate_up, down;

  int hidden() const { return qkv.cols(); }
  int inner() const { return gate_up.rows() / 2; }
  /// Why the parts don't fit together, or null.
  const char* problem() const;
};

/// Where the heads of one row go.
struct RowOut {
  char* data;
  int64_t head_stride, token_stride;  // in elements
};

/// Where the heads of q, k or v go: to floats, or from token `first` on to codes.
struct HeadsOut {
  char* data = nullptr;
  const RowOut* rows = nullptr;  // in the place of data and strides, one for each row of the batch
  FloatKind kind = FloatKind::f32;
  int64_t strides[3] = {};  // batch, head, token; in elements
  KvCodes codes{};
  int first = 0;

  RowOut row(int b) const {
    if (rows) return rows[b];
    return {data + b * strides[0] * int64_t(bytes_of(kind)), strides[1], strides[2]};
  }
};

/// The first part, for x of batch * length rows.
void enter_block(const BlockConstants& block, const Rows& x, int batch, int length,
                 const Positions& positions, const HeadsOut& q, const HeadsOut& k,
                 const HeadsOut& v);

/// The second part. `attention` is complete but for where its result goes.
void leave_block(const BlockConstants& block, const Rows& x, const Attention& attention,
                 const OutRows& out);

}  // namespace kr::ops
