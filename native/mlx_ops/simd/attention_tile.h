// Attention of many queries on a chunk of keys, written once for every `Vec`: a product of packed
// matrices, the softmax, and another product.
//
// Bit for bit the result of `attend`, which goes over few queries without packing: every sum has
// the same terms in the same order. A score there is one vector of sums, lane by lane, whose lanes
// are then added in pairs. Here a lane is a key, so those lanes are computed one after the other
// and added as they come, in the order that `summed_lane` gives.
#pragma once

namespace kr::ops {
namespace {

/// Keys of a panel, and elements of a value's panel, are this many vectors.
constexpr int kPanelVecs = 2;
constexpr int kPanelWidth = kPanelVecs * Vec::width;
/// Queries that share a load of a panel: as many as registers hold sums of.
constexpr int kTileQueries = Vec::many_registers ? 12 : 6;
static_assert(kTileRows % kTileQueries == 0 && kAttentionChunk % kPanelWidth == 0);

using Scores = float[kAttentionChunk + kScoreKeys];

constexpr int log2_of(int n) { return n < 2 ? 0 : 1 + log2_of(n / 2); }

/// Where element d of a head lies in a packed panel of keys or queries: lane by lane, in the order
/// in which `tile_scores` adds them.
inline int packed_place(int d, int head_dim) {
  static_assert((Vec::width & (Vec::width - 1)) == 0);
  const int lane = d % Vec::width;
  for (int n = 0;; n++)
    if (summed_lane(n) == lane) return n * (head_dim / Vec::width) + d / Vec::width;
}

template <class Kind>
void pack_keys(const AttentionKeys& keys, int begin, int end, float* out) {
  const auto* base = static_cast<const typename Kind::Element*>(keys.keys);
  const int each = keys.head_dim / Vec::width;
  for (int first = begin; first < end; first += kPanelWidth, out += kPanelWidth * keys.head_dim)
    for (int v = 0; v < kPanelVecs; v++)
      for (int i = 0; i < each; i++) {
        Vec rows[Vec::width];
        for (int r = 0; r < Vec::width; r++) {
          const int t = first + v * Vec::width + r;
          rows[r] =
              t < end ? Kind::load_vec(base + (t - keys.first) * keys.key_stride + i * Vec::width)
                      : all(0.f);
        }
        transpose(rows);
        for (int n = 0; n < Vec::width; n++)
          store(out + (n * each + i) * kPanelWidth + v * Vec::width, rows[summed_lane(n)]);
      }
}

template <class Kind>
void pack_values(const AttentionKeys& keys, int begin, int end, float* out) {
  const auto* base = static_cast<const typename Kind::Element*>(keys.values);
  for (int d = 0; d < keys.value_dim; d += kPanelWidth)
    for (int t = begin; t < end; t++, out += kPanelWidth)
      for (int v = 0; v < kPanelVecs; v++) {
        const int at = d + v * Vec::width;
        const bool there = at < keys.value_dim;
        store(out + v * Vec::width,
              there ? Kind::load_vec(base + (t - keys.first) * keys.value_stride + at) : all(0.f));
      }
}

void pack_tile(const AttentionKeys& keys, int begin, int end, float* packed_keys,
               float* packed_values) {
  switch (keys.kind) {
    case FloatKind::f32:
      pack_keys<F32>(keys, begin, end, packed_keys);
      return pack_values<F32>(keys, begin, end, packed_values);
    case FloatKind::f16:
      pack_keys<F16>(keys, begin, end, packed_keys);
      return pack_values<F16>(keys, begin, end, packed_values);
    case FloatKind::bf16:
      pack_keys<Bf16>(keys, begin, end, packed_keys);
      return pack_values<Bf16>(keys, begin, end, packed_values);
  }
}

/// Element d of query q goes to the panel of kTileQueries queries that q belongs to.
void pack_query(const float* query, int head_dim, int q, float* packed) {
  packed += q / kTileQueries * kTileQueries * head_dim + q % kTileQueries;
  for (int d = 0; d < head_dim; d++) packed[packed_place(d, head_dim) * kTileQueries] = query[d];
}

/// scores[q][0 .. kPanelWidth) of one panel of queries and one of keys.
inline void tile_scores(const float* keys, const float* queries, int head_dim, float* scores) {
  constexpr int levels = log2_of(Vec::width);
  const int each = head_dim / Vec::width;
  Vec kept[levels + 1][kTileQueries][kPanelVecs];
  for (int lane = 0; lane < Vec::width; lane++) {
    Vec sums[kTileQueries][kPanelVecs];
    for (int q = 0; q < kTileQueries; q++)
      for (int v = 0; v < kPanelVecs; v++) sums[q][v] = all(0.f);
    for (int i = 0; i < each; i++, keys += kPanelWidth, queries += kTileQueries) {
      Vec key[kPanelVecs];
      for (int v = 0; v < kPanelVecs; v++) key[v] = load(keys + v * Vec::width);
      for (int q = 0; q < kTileQueries; q++) {
        const Vec query = all(queries[q]);
        for (int v = 0; v < kPanelVecs; v++) sums[q][v] = multiply_add(query, key[v], sums[q][v]);
      }
    }
    // As a binary number counts up: what two sums of equal size are kept as is one of twice the
    // size.
    int level = 0;
    for (int n = lane; n & 1; n >>= 1, level++)
      for (int q = 0; q < kTileQueries; q++)
        for (int v = 0; v < kPanelVecs; v++) sums[q][v] = kept[level][q][v] + sums[q][v];
    for (int q = 0; q < kTileQueries; q++)
      for (int v = 0; v < kPanelVecs; v++) kept[level][q][v] = sums[q][v];
  }
  for (int q = 0; q < kTileQueries; q++)
    for (int v = 0; v < kPanelVecs; v++)
      store(scores + q * (sizeof(Scores) / sizeof(float)) + v * Vec::width, kept[levels][q][v]);
}

/// For each query of a panel the values of n keys, of one panel, weighted.
inline void tile_values(const float* values, const Scores* weights, int n,
                        Vec (*sums)[kPanelVecs]) {
  Vec local[kTileQueries][kPanelVecs];
  for (int q = 0; q < kTileQueries; q++)
    for (int v = 0; v < kPanelVecs; v++) local[q][v] = all(0.f);
  for (int t = 0; t < n; t++, values += kPanelWidth) {
    Vec value[kPanelVecs];
    for (int v = 0; v < kPanelVecs; v++) value[v] = load(values + v * Vec::width);
    for (int q = 0; q < kTileQueries; q++) {
      const Vec weight = all(weights[q][t]);
      for (int v = 0; v < kPanelVecs; v++)
        local[q][v] = multiply_add(weight, value[v], local[q][v]);
    }
  }
  for (int q = 0; q < kTileQueries; q++)
    for (int v = 0; v < kPanelVecs; v++) sums[q][v] = local[q][v];
}

/// Weights of the queries [0, count) of a panel; `n`: keys that any of them sees.
inline void soften_panel(const AttentionTile& tile, const int* ends, int count, int n,
                         Scores* scores, AttentionPart* parts) {
  for (int q = 0; q < kTileQueries; q++) {
    const int seen = q < count ? (ends[q] < tile.end ? ends[q] : tile.end) - tile.begin : 0;
    if (seen <= 0) {
      for (int t = 0; t < n; t++) scores[q][t] = 0;
      if (q < count) parts[q].sum = 0;
      continue;
    }
    for (int t = seen; t < n; t++) scores[q][t] = -__builtin_inff();
    soften(scores[q], n, &parts[q]);
  }
}

void attend_tile(const AttentionTile& tile, const float* queries, const int* ends, int count,
                 AttentionPart* parts) {
  alignas(64) Scores scores[kTileRows];
  int seen[kTileRows / kTileQueries];
  const int panels = (count + kTileQueries - 1) / kTileQueries;
  for (int p = 0; p < panels; p++) {
    int last = tile.begin;
    for (int q = p * kTileQueries; q < count && q < (p + 1) * kTileQueries; q++)
      last = ends[q] > last ? ends[q] : last;
    seen[p] = (last < tile.end ? last : tile.end) - tile.begin;
  }
  const int keys = tile.end - tile.begin;
  for (int first = 0; first < keys; first += kPanelWidth)
    for (int p = 0; p < panels; p++)
      if (first < seen[p])
        tile_scores(tile.keys + first * tile.head_dim, queries + p * kTileQueries * tile.head_dim,
                    tile.head_dim, scores[p * kTileQueries] + first);
  for (int p = 0; p < panels; p++) {
    const int at = p * kTileQueries;
    const int left = count - at < kTileQueries ? count - at : kTileQueries;
    soften_panel(tile, ends + at, left, seen[p], scores + at, parts + at);
  }
  for (int d = 0; d < tile.value_dim; d += kPanelWidth)
    for (int p = 0; p < panels; p++) {
      Vec sums[kTileQueries][kPanelVecs];
      tile_values(tile.values + d * keys, scores + p * kTileQueries, seen[p], sums);
      for (int q = 0; q < kTileQueries && p * kTileQueries + q < count; q++)
        for (int v = 0; v < kPanelVecs && d + v * Vec::width < tile.value_dim; v++)
          store(parts[p * kTileQueries + q].values + d + v * Vec::width, sums[q][v]);
    }
}

}  // namespace
}  // namespace kr::ops
