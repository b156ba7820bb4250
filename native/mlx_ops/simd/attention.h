// Attention of a few queries on a chunk of keys, written once for every `Vec`.
//
// A query's scores lie in a buffer on the stack; sums over keys run in the order of the keys, and
// sums over a head's elements in the order of a vector's lanes, so they don't depend on the number
// of queries or on where a chunk is in memory.
#pragma once

namespace kr::ops {
namespace {

struct F32 {
  using Element = float;
  static Vec load_vec(const float* p) { return load(p); }
};
struct F16 {
  using Element = uint16_t;
  static Vec load_vec(const uint16_t* p) { return load_f16(p); }
};
struct Bf16 {
  using Element = uint16_t;
  static Vec load_vec(const uint16_t* p) { return load_bf16(p); }
};

constexpr int kScoreKeys = 4;  // keys whose products with the queries are summed together

/// Calls work(piece, begin, end) for the pieces in which the keys [begin, end) lie.
template <class Work>
void for_each_piece(const AttentionKeys& keys, int begin, int end, const Work& work) {
  if (!keys.pieces) {
    work(KeyPiece{keys.keys, keys.values, keys.key_stride, keys.value_stride, keys.first, end},
         begin, end);
    return;
  }
  for (const KeyPiece* piece = keys.pieces; begin < end; piece++) {
    const int last = piece->end < end ? piece->end : end;
    if (begin < last) work(*piece, begin, last);
    begin = begin < last ? last : begin;
  }
}

/// scores[q][t - begin] for `count` queries; reads up to the last key again where four don't fit.
template <class Kind, int count>
void scores_of(const KeyPiece& piece, int head_dim, const AttentionRow* rows, int begin, int end,
               float (*scores)[kAttentionChunk + kScoreKeys], int place) {
  const auto* base = static_cast<const typename Kind::Element*>(piece.keys);
  for (int t = begin; t < end; t += kScoreKeys) {
    const typename Kind::Element* key[kScoreKeys];
    for (int k = 0; k < kScoreKeys; k++)
      key[k] = base + ((t + k < end ? t + k : end - 1) - piece.begin) * piece.key_stride;
    Vec products[count][kScoreKeys];
    for (int q = 0; q < count; q++)
      for (int k = 0; k < kScoreKeys; k++) products[q][k] = all(0.f);
    for (int d = 0; d < head_dim; d += Vec::width) {
      Vec part[kScoreKeys];
      for (int k = 0; k < kScoreKeys; k++) part[k] = Kind::load_vec(key[k] + d);
      for (int q = 0; q < count; q++) {
        const Vec query = load(rows[q].query + d);
        for (int k = 0; k < kScoreKeys; k++)
          products[q][k] = multiply_add(query, part[k], products[q][k]);
      }
    }
    for (int q = 0; q < count; q++)
      store_sums(scores[q] + place + t - begin, products[q][0], products[q][1], products[q][2],
                 products[q][3]);
  }
}

/// Hides the keys that a query must not see; false if none is left.
inline bool apply_mask(const AttentionKeys& keys, const AttentionRow& row, int begin, int end,
                       float* scores) {
  const float hidden = -__builtin_inff();
  bool any = false;
  for (int t = begin; t < end; t++) {
    float& score = scores[t - begin];
    if (t < row.begin || t >= row.end) {
      score = hidden;
    } else if (row.mask) {
      const char* entry = row.mask + t * keys.mask_stride;
      if (!keys.mask_is_bool) {
        float bias;
        __builtin_memcpy(&bias, entry, 4);
        score += bias;
      } else if (!*entry) {
        score = hidden;
      }
    }
    any |= score != hidden;
  }
  return any;
}

/// Turns scores into exp(score - largest).
inline void soften(float* scores, int n, AttentionPart* part) {
  part->largest = largest(scores, n);
  const Vec most = all(part->largest);
  Vec total = all(0.f);
  for_each_vec(
      n,
      [&](int i) {
        const Vec e = exponential(load(scores + i) - most);
        store(scores + i, e);
        total = total + e;
      },
      [&](int i, int left) {
        const Vec e = keep_first(exponential(load_first(scores + i, left) - most), left);
        store_first(scores + i, e, left);
        total = total + e;
      });
  part->sum = sum(total);
}

/// parts[q].values = sum over the keys of weights[q][t] * value[t].
template <class Kind, int count, int vectors>
void weigh_values(const AttentionKeys& keys, int begin, int end, int d,
                  const float (*weights)[kAttentionChunk + kScoreKeys], AttentionPart* parts) {
  Vec sums[count][vectors];
  for (int q = 0; q < count; q++)
    for (int i = 0; i < vectors; i++) sums[q][i] = all(0.f);
  for_each_piece(keys, begin, end, [&](const KeyPiece& piece, int first, int last) {
    const auto* value = static_cast<const typename Kind::Element*>(piece.values) +
                        (first - piece.begin) * piece.value_stride + d;
    Vec local[count][vectors];
    for (int q = 0; q < count; q++)
      for (int i = 0; i < vectors; i++) local[q][i] = sums[q][i];
    for (int t = first - begin; t < last - begin; t++, value += piece.value_stride) {
      Vec part[vectors];
      for (int i = 0; i < vectors; i++) part[i] = Kind::load_vec(value + i * Vec::width);
      for (int q = 0; q < count; q++) {
        const Vec weight = all(weights[q][t]);
        for (int i = 0; i < vectors; i++) local[q][i] = multiply_add(weight, part[i], local[q][i]);
      }
    }
    for (int q = 0; q < count; q++)
      for (int i = 0; i < vectors; i++) sums[q][i] = local[q][i];
  });
  for (int q = 0; q < count; q++)
    for (int i = 0; i < vectors; i++) store(parts[q].values + d + i * Vec::width, sums[q][i]);
}

template <class Kind, int count>
void attend_rows(const AttentionKeys& keys, const AttentionRow* rows, int begin, int end,
                 AttentionPart* parts) {
  // A query's own range may end sooner; what lies beyond all of them need not be read.
  int first = end, last = begin;
  for (int q = 0; q < count; q++) {
    first = rows[q].begin < first ? rows[q].begin : first;
    last = rows[q].end > last ? rows[q].end : last;
    parts[q].sum = 0;
  }
  if (last < end) end = last;
  if (first >= end) return;
  float scores[count][kAttentionChunk + kScoreKeys];
  for_each_piece(keys, begin, end, [&](const KeyPiece& piece, int from, int to) {
    scores_of<Kind, count>(piece, keys.head_dim, rows, from, to, scores, from - begin);
  });
  for (int q = 0; q < count; q++) {
    const bool plain = !rows[q].mask && rows[q].begin <= begin && rows[q].end >= end;
    if (plain || apply_mask(keys, rows[q], begin, end, scores[q])) {
      soften(scores[q], end - begin, &parts[q]);
    } else {
      for (int t = 0; t < end - begin; t++) scores[q][t] = 0;
    }
  }
  // As many vectors at once as registers hold.
  constexpr int vectors = Vec::width == 1 ? 16 : Vec::many_registers ? 4 : 2;
  int d = 0;
  for (; d + vectors * Vec::width <= keys.value_dim; d += vectors * Vec::width)
    weigh_values<Kind, count, vectors>(keys, begin, end, d, scores, parts);
  for (; d < keys.value_dim; d += Vec::width)
    weigh_values<Kind, count, 1>(keys, begin, end, d, scores, parts);
}

template <class Kind>
void attend_kind(const AttentionKeys& keys, const AttentionRow* rows, int count, int begin, int end,
                 AttentionPart* parts) {
  constexpr int most = Vec::many_registers ? 4 : 2;
  for (int q = 0; q < count; q += most) {
    switch (count - q < most ? count - q : most) {
      case 1:
        attend_rows<Kind, 1>(keys, rows + q, begin, end, parts + q);
        break;
      case 2:
        attend_rows<Kind, 2>(keys, rows + q, begin, end, parts + q);
        break;
      case 3:
        attend_rows < Kind, most<3 ? 1 : 3>(keys, rows + q, begin, end, parts + q);
        break;
      default:
        attend_rows < Kind, most<4 ? 1 : 4>(keys, rows + q, begin, end, parts + q);
    }
  }
}

void attend(const AttentionKeys& keys, const AttentionRow* rows, int count, int begin, int end,
            AttentionPart* parts) {
  switch (keys.kind) {
    case FloatKind::f32:
      return attend_kind<F32>(keys, rows, count, begin, end, parts);
    case FloatKind::f16:
      return attend_kind<F16>(keys, rows, count, begin, end, parts);
    case FloatKind::bf16:
      return attend_kind<Bf16>(keys, rows, count, begin, end, parts);
  }
}

void merge_parts(AttentionPart* into, const AttentionPart* more, int value_dim) {
  if (more->sum == 0) return;
  const bool first = into->sum == 0;
  const float largest_score =
      first || more->largest > into->largest ? more->largest : into->largest;
  const Vec kept = first ? all(0.f) : exponential(all(into->largest - largest_score));
  const Vec added = exponential(all(more->largest - largest_score));
  for (int d = 0; d < value_dim; d += Vec::width) {
    const Vec old = first ? all(0.f) : load(into->values + d);
    store(into->values + d, multiply_add(load(more->values + d), added, old * kept));
  }
  into->sum = (first ? 0 : into->sum * largest_in(kept)) + more->sum * largest_in(added);
  into->largest = largest_score;
}

}  // namespace
}  // namespace kr::ops
