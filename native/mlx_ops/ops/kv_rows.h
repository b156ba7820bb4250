// A batch whose rows have keys and values of their own (compute/kv_rows.h) as arrays of MLX.
#pragma once

#include <memory>
#include <vector>

#include "../compute/kv_rows.h"
#include "block.h"

namespace kr::ops {

/// Pieces of a row that nobody changes any more, from its first token on. Rows may have the same.
struct KvPieces {
  Arrays keys, values;  // each [1, kv_heads, tokens or more, head_dim]
  std::vector<KvPiece> pieces;
  int tokens = 0;
};
using KvPiecesPtr = std::shared_ptr<const KvPieces>;

/// Pieces of which each has so many tokens. Waits for the arrays. Throws std::invalid_argument unless
/// they fit together.
KvPiecesPtr kv_pieces(Arrays keys, Arrays values, const std::vector<int>& tokens);

/// Row b's keys and values: pieces, which may be null, then the first used[b] tokens of
/// keys[b] and values[b], each [1, kv_heads, capacity, head_dim].
struct KvRows {
  std::vector<KvPiecesPtr> pieces;
  Arrays keys, values;
  std::vector<int> used;
};

/// `step_block` on rows, each of which gets the tokens of its row of x. Returns the result, the new
/// keys of all rows, and the new values of all rows.
Arrays step_block_rows(const BlockPtr& block, const mx::array& x, const KvRows& rows);

}  // namespace kr::ops
