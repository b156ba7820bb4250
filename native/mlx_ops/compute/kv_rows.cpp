#include "kv_rows.h"

#include <algorithm>

namespace kr::ops {
namespace {

/// The piece in which a token is.
size_t place_of(const KvRow& row, int token) {
  const auto after = std::upper_bound(row.pieces.begin(), row.pieces.end(), token,
                                      [](int t, const KvPiece& piece) { return t < piece.end; });
  return size_t(after - row.pieces.begin());
}

/// `count` tokens, one behind the other, of `dim` elements each.
void gather(const char* from, int64_t stride, int count, int dim, int64_t bytes, char* to) {
  if (stride == dim) {
    std::copy_n(from, int64_t(count) * dim * bytes, to);
    return;
  }
  for (int t = 0; t < count; t++, from += stride * bytes, to += dim * bytes)
    std::copy_n(from, dim * bytes, to);
}

}  // namespace

AttentionKeys KvRow::in_pieces(const AttentionKeys& keys, int head, int begin, int end,
                               Workspace& workspace) const {
  const auto bytes = int64_t(bytes_of(keys.kind));
  const size_t first = place_of(*this, begin);
  size_t last = first + 1;
  while (pieces[last - 1].end < end) last++;
  auto* found = workspace.take<KeyPiece>(last - first);
  for (size_t i = first; i < last; i++) {
    const KvPiece& piece = pieces[i];
    found[i - first] = {piece.k + head * piece.k_strides[0] * bytes,
                        piece.v + head * piece.v_strides[0] * bytes,
                        piece.k_strides[1],
                        piece.v_strides[1],
                        piece.begin,
                        piece.end};
  }
  AttentionKeys all = keys;
  if (last - first > 1) {
    all.pieces = found;
    return all;
  }
  all.keys = found->keys;
  all.values = found->values;
  all.key_stride = found->key_stride;
  all.value_stride = found->value_stride;
  all.first = found->begin;
  return all;
}

AttentionKeys KvRow::opened(const AttentionKeys& keys, int head, int begin, int end,
                            Workspace& workspace) const {
  const AttentionKeys apart = in_pieces(keys, head, begin, end, workspace);
  if (!apart.pieces) return apart;
  const auto bytes = int64_t(bytes_of(keys.kind));
  char* k = workspace.take<char>(size_t(end - begin) * keys.head_dim * bytes);
  char* v = workspace.take<char>(size_t(end - begin) * keys.value_dim * bytes);
  AttentionKeys found = keys;
  found.keys = k;
  found.values = v;
  found.key_stride = keys.head_dim;
  found.value_stride = keys.value_dim;
  found.first = begin;
  const KeyPiece* piece = apart.pieces;
  for (int t = begin; t < end; t = piece->end, piece++) {
    const int count = std::min(piece->end, end) - t;
    gather(static_cast<const char*>(piece->keys) + (t - piece->begin) * piece->key_stride * bytes,
           piece->key_stride, count, keys.head_dim, bytes,
           k + int64_t(t - begin) * keys.head_dim * bytes);
    gather(
        static_cast<const char*>(piece->values) + (t - piece->begin) * piece->value_stride * bytes,
        piece->value_stride, count, keys.value_dim, bytes,
        v + int64_t(t - begin) * keys.value_dim * bytes);
  }
  return found;
}

bool same_memory(const KvRow& one, const KvRow& other, int begin, int end) {
  if (one.tokens < end || other.tokens < end) return false;
  size_t i = place_of(one, begin), k = place_of(other, begin);
  for (; i < one.pieces.size() && one.pieces[i].begin < end; i++, k++) {
    const KvPiece &a = one.pieces[i], &b = other.pieces[k];
    if (a.k != b.k || a.v != b.v || a.begin != b.begin || a.end != b.end) return false;
  }
  return true;
}

}  // namespace kr::ops
