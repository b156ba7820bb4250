// The transformer block of the Llama family as two operations, before and after the KV cache.
//
//   q, k, v = rotate(norm(x) . Wqkv + b)          enter
//   h = x + attention(q, k, v) . Wo + b           leave
//   h + (silu(g) * u) . Wdown + b,  g, u = norm(h) . Wgate + b, norm(h) . Wup + b
//
// with root mean square norms, optionally norms of the single heads of q and k too (Qwen 3), and no
// rotation in layers without positions.
#pragma once

#include "attention.h"
#include "matrix.h"
#include "rowwise.h"

namespace kr::ops {

/// Scale factors of a norm, and what is added to the mean of the squares.
struct Norm {
  std::vector<float> weight;
  float eps = 0;

  explicit operator bool() const { return !weight.empty(); }
};

/// One or several matrices side by side, with a bias (which may be empty) for all of their rows.
struct Projection {
  std::vector<MatrixPtr> matrices;
  std::vector<float> bias;

  int rows() const;
  int cols() const { return matrices.front()->view.cols; }
};

/// All of a block's constants. Throws std::invalid_argument from `check` if they don't fit.
struct Block {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;
  std::shared_ptr<const Rotary> rotary;  // may be null
  Norm input_norm, output_norm;          // before attention, before the gated part
  Norm q_norm, k_norm;                   // may be empty
  Projection qkv, out, gate_up, down;

  void check() const;
  int hidden() const { return qkv.cols(); }
  int inner() const { return gate_up.rows() / 2; }
  mx::Dtype dtype_for(const mx::array& x) const;
};
using BlockPtr = std::shared_ptr<const Block>;

/// x [batch, length, hidden] to q [batch, heads, length, head_dim] in float32, and k and v
/// [batch, kv_heads, length, head_dim] in the type that x and the scales of Wqkv promote to.
Arrays enter_block(const BlockPtr& block, const mx::array& x, const Offset& offset);

/// The block's result, of x's shape and of k's type. x and q are those of `enter`; k and v
/// [batch, kv_heads, keys, head_dim] are what the cache made of them.
mx::array leave_block(const BlockPtr& block, const mx::array& x, const mx::array& q,
                      const mx::array& k, const mx::array& v, const Mask& mask);

}  // namespace kr::ops
