#include "attention_tiles.h"

#include <algorithm>
#include <vector>

#include "../core/memory.h"
#include "../core/pool.h"

namespace kr::ops {
namespace {

// Queries, of all heads that share keys, and keys for each, from which on packing these pays.
constexpr int kQueriesMin = 96;
constexpr int kKeysMin = 1024;
// Queries that share packed keys: what is kept of them, and a tile, stay in a core's own cache.
constexpr int kQueriesMax = 384;
// Where there are many threads a piece is smaller, but packing must still be a small part of it.
constexpr int kQueriesWorthPacking = 192;
constexpr int kPiecesPerThread = 8;
// Time that threads may lose, of it all, since pieces can't be shared evenly among them.
constexpr double kImbalanceMax = 1.2;

/// Queries of one row of the batch that share keys: positions [first, last) of a group of heads,
/// position by position.
struct Piece {
  int b, kv_head, first, last;
};

class PieceRun {
 public:
  PieceRun(const Attention& attention, const Piece& piece)
      : a_(attention),
        piece_(piece),
        group_(a_.heads / a_.kv_heads),
        count_((piece.last - piece.first) * group_),
        ends_(workspace_.take<int>(count_)),
        queries_(workspace_.take<float>(padded() * a_.head_dim)),
        total_(take_parts(count_)),
        part_(take_parts(kTileRows)) {}

  void operator()() {
    pack_queries();
    const AttentionKeys keys = keys_of(a_, piece_.b, piece_.kv_head);
    float* packed_keys = workspace_.take<float>(size_t(kAttentionChunk) * a_.head_dim);
    float* packed_values = workspace_.take<float>(size_t(kAttentionChunk) * (a_.value_dim + 16));
    const int last = *std::max_element(ends_, ends_ + count_);
    for (int begin = 0; begin < last; begin += kAttentionChunk) {
      const int end = std::min(begin + kAttentionChunk, last);
      pack(keys, begin, end, packed_keys, packed_values);
      attend_tile({packed_keys, packed_values, begin, end, a_.head_dim, a_.value_dim});
    }
    put();
  }

 private:
  size_t padded() const { return size_t(count_ + kTileRows - 1) / kTileRows * kTileRows; }

  AttentionPart* take_parts(int count) {
    auto* parts = workspace_.take<AttentionPart>(count);
    auto* values = workspace_.take<float>(size_t(count) * a_.value_dim);
    for (int i = 0; i < count; i++) parts[i] = {0, 0, values + size_t(i) * a_.value_dim};
    return parts;
  }

  int position(int i) const { return piece_.first + i / group_; }
  int head(int i) const { return piece_.kv_head * group_ + i % group_; }

  int end_of(int l) const {
    const int keys = a_.keys_of_row(piece_.b);
    if (a_.mask_kind == MaskKind::none) return keys;
    return std::clamp(keys - a_.queries + l + 1, 0, keys);
  }

  void pack_queries() {
    Workspace mine;
    float* query = mine.take<float>(a_.head_dim);
    const int64_t *strides = a_.q_strides, bytes = int64_t(bytes_of(a_.q_kind));
    std::fill_n(queries_, padded() * a_.head_dim, 0.f);
    for (int i = 0; i < count_; i++) {
      const int64_t at = piece_.b * strides[0] + head(i) * strides[1] + position(i) * strides[2];
      kernels().to_float(a_.q + at * bytes, a_.q_kind, query, a_.head_dim);
      kernels().scale(query, a_.scale, query, a_.head_dim);
      kernels().pack_query(query, a_.head_dim, i, queries_);
      ends_[i] = end_of(position(i));
    }
  }

  void pack(const AttentionKeys& keys, int begin, int end, float* packed_keys,
            float* packed_values) const {
    Workspace mine;
    const AttentionKeys here = opened(a_, keys, piece_.b, piece_.kv_head, begin, end, mine);
    kernels().pack_tile(here, begin, end, packed_keys, packed_values);
  }

  void attend_tile(const AttentionTile& tile) {
    for (int i = 0; i < count_; i += kTileRows) {
      const int count = std::min(kTileRows, count_ - i);
      kernels().attend_tile(tile, queries_ + size_t(i) * a_.head_dim, ends_ + i, count, part_);
      for (int q = 0; q < count; q++)
        kernels().merge_parts(&total_[i + q], &part_[q], a_.value_dim);
    }
  }

  void put() const {
    for (int i = 0; i < count_; i++) {
      float* out = a_.out + piece_.b * a_.out_strides[0] + head(i) * a_.out_strides[1] +
                   position(i) * a_.out_strides[2];
      if (total_[i].sum == 0)
        std::fill_n(out, a_.value_dim, 0.f);
      else
        kernels().scale(total_[i].values, 1 / total_[i].sum, out, a_.value_dim);
    }
  }

  Workspace workspace_;
  const Attention& a_;
  const Piece piece_;
  const int group_, count_;
  int* ends_;
  float* queries_;
  AttentionPart *total_, *part_;
};

/// Positions of a piece.
int step_of(const Attention& a) {
  const int group = a.heads / a.kv_heads;
  const int64_t rows = int64_t(a.batch) * a.kv_heads * a.queries * group;
  const int64_t share = rows / (int64_t(Pool::shared().size()) * kPiecesPerThread);
  const auto queries = int(std::clamp<int64_t>(share, kQueriesWorthPacking, kQueriesMax));
  return std::max(1, queries / group);
}

/// The longest first: with the causal mask these are the last positions.
std::vector<Piece> pieces_of(const Attention& a) {
  const int step = step_of(a);
  std::vector<Piece> pieces;
  for (int last = a.queries; last > 0; last -= step)
    for (int b = 0; b < a.batch; b++)
      for (int h = 0; h < a.kv_heads; h++) pieces.push_back({b, h, std::max(0, last - step), last});
  return pieces;
}

}  // namespace

bool tiles_suit(const Attention& a) {
  return a.mask_kind == MaskKind::none || a.mask_kind == MaskKind::causal;
}

bool tiles_gain(const Attention& a) {
  const int group = a.heads / a.kv_heads;
  if (a.keys < kKeysMin || int64_t(a.queries) * group < kQueriesMin) return false;
  const int64_t steps = (a.queries + step_of(a) - 1) / step_of(a);
  const int64_t pieces = steps * a.batch * a.kv_heads, threads = Pool::shared().size();
  const int64_t rounds = (pieces + threads - 1) / threads;
  return double(rounds * threads) <= kImbalanceMax * double(pieces);
}

void attend_tiles(const Attention& a) {
  const std::vector<Piece> pieces = pieces_of(a);
  Pool::shared().run(int(pieces.size()), [&](int i) { PieceRun(a, pieces[i])(); });
}

}  // namespace kr::ops
