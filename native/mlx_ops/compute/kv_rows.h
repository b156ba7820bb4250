// Keys and values of rows of a batch where they lie: each row has pieces of its own, and may share
// some with other rows.
#pragma once

#include <vector>

#include "../core/memory.h"

namespace kr::ops {

/// Some consecutive tokens of one row, of all heads.
struct KvPiece {
  const char *k, *v;                   // of the piece's first token
  int64_t k_strides[2], v_strides[2];  // head, token; in elements
  int begin, end;                      // which tokens these are
};

struct KvRow {
  std::vector<KvPiece> pieces;  // one behind the other, from token 0 on
  int tokens = 0;

  /// The keys [begin, end) of one head, of `keys.kind` and sizes: where they lie, or, where they are
  /// in several pieces, put together in memory of the workspace.
  AttentionKeys opened(const AttentionKeys& keys, int head, int begin, int end,
                       Workspace& workspace) const;
  /// The same in pieces where they lie in several.
  AttentionKeys in_pieces(const AttentionKeys& keys, int head, int begin, int end,
                          Workspace& workspace) const;
};

/// Whether both rows have the tokens [begin, end), and in the same memory.
bool same_memory(const KvRow& one, const KvRow& other, int begin, int end);

}  // namespace kr::ops
