// The transformer block of the Llama family (compute/block.h) as operations: in one with the KV
// cache where that is a plain array, else in two, before the cache and after it.
#pragma once

#include "../compute/block.h"
#include "attention.h"
#include "matrix.h"
#include "rowwise.h"

namespace kr::ops {

/// A block's constants and what keeps the memory of its matrices.
struct Block {
  BlockConstants constants;
  std::vector<MatrixPtr> matrices;

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

/// The whole block on a cache keys, values [batch, kv_heads, capacity, head_dim] that holds `start`
/// tokens and gets those of x. Returns the result, the new keys and values, which take over the
/// memory of the old ones if nothing else uses that, and offset + length, if `offset` is an array.
Arrays step_block(const BlockPtr& block, const mx::array& x, const mx::array& keys,
                  const mx::array& values, int start, const Offset& offset, const Mask& mask);

/// The same on a cache that is quantized: keys and values are codes, scales and biases. Returns the
/// result, the new three of keys and three of values, and offset + length, if `offset` is an array.
Arrays step_block_on_codes(const BlockPtr& block, const mx::array& x, const Arrays& keys,
                           const Arrays& values, int group_size, int bits, int start,
                           const Offset& offset, const Mask& mask);

}  // namespace kr::ops
