#include "attention.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "../core/memory.h"
#include "../core/pool.h"
#include "attention_rows.h"
#include "attention_tiles.h"

namespace kr::ops {
namespace {

// Queries that go over the keys together; a group of heads may make it a few more.
constexpr int kQueryBlock = 32;
// Products of a query's and a key's element that are worth another thread.
constexpr int64_t kProductsPerPiece = 50'000;

/// The keys that query l of row b may see at most.
struct Range {
  int begin, end;
  bool whole;  // it sees all of them
};

Range range_of_mask(const Attention& a, int b, int l) {
  const char* row = a.mask + b * a.mask_strides[0] + l * a.mask_strides[2];
  int begin = 0, end = a.keys, seen = 0;
  while (begin < end && !row[begin * a.mask_strides[3]]) begin++;
  while (end > begin && !row[(end - 1) * a.mask_strides[3]]) end--;
  for (int t = begin; t < end; t++) seen += row[t * a.mask_strides[3]] != 0;
  return {begin, end, seen == end - begin};
}

Range range_of(const Attention& a, int b, int l) {
  switch (a.mask_kind) {
    case MaskKind::none:
      return {0, a.keys_of_row(b), true};
    case MaskKind::causal: {
      const int keys = a.keys_of_row(b);
      return {0, std::clamp(keys - a.queries + l + 1, 0, keys), true};
    }
    case MaskKind::boolean:
      if (a.mask_strides[1] == 0) return range_of_mask(a, b, l);
      break;
    case MaskKind::additive:
      break;
  }
  return {0, a.keys, false};
}

/// Queries of one row of the batch that share keys: positions [first, last) of a group of heads,
/// position by position.
struct Block {
  int b, kv_head, first, last;
};

class BlockRun {
 public:
  BlockRun(const Attention& attention, const Block& block, Workspace& workspace)
      : a_(attention),
        block_(block),
        group_(a_.heads / a_.kv_heads),
        count_((block.last - block.first) * group_),
        rows_(workspace.take<AttentionRow>(count_)) {
    auto* queries = workspace.take<float>(size_t(count_) * a_.head_dim);
    begin_ = a_.keys;
    end_ = 0;
    for (int l = block.first; l < block.last; l++) {
      const Range range = range_of(a_, block.b, l);
      begin_ = std::min(begin_, range.begin);
      end_ = std::max(end_, range.end);
      for (int h = 0; h < group_; h++, queries += a_.head_dim)
        rows_[(l - block.first) * group_ + h] = row_of(l, h, range, queries);
    }
    keys_ = keys_of(a_, block_.b, block_.kv_head);
    keys_.mask_stride = a_.mask_strides[3];
    keys_.mask_is_bool = a_.mask_kind == MaskKind::boolean;
  }

  int count() const { return count_; }
  int chunks() const {
    return begin_ < end_ ? (end_ - begin_ + kAttentionChunk - 1) / kAttentionChunk : 0;
  }

  /// The softmax over one chunk of the keys, for every query.
  void attend_chunk(int chunk, AttentionPart* parts) const {
    const int begin = begin_ + chunk * kAttentionChunk;
    const int end = std::min(begin + kAttentionChunk, end_);
    Workspace workspace;
    const AttentionKeys keys =
        a_.rows ? a_.rows[block_.b].in_pieces(keys_, block_.kv_head, begin, end, workspace)
                : opened(a_, keys_, block_.b, block_.kv_head, begin, end, workspace);
    for (int i = 0; i < count_; i += kAttentionRows)
      kernels().attend(keys, rows_ + i, std::min(kAttentionRows, count_ - i), begin, end,
                       parts + i);
  }

  void put(const AttentionPart* parts) const {
    for (int i = 0; i < count_; i++) {
      const int l = block_.first + i / group_, h = block_.kv_head * group_ + i % group_;
      float* out =
          a_.out + block_.b * a_.out_strides[0] + h * a_.out_strides[1] + l * a_.out_strides[2];
      if (parts[i].sum == 0)
        std::fill_n(out, a_.value_dim, 0.f);
      else
        kernels().scale(parts[i].values, 1 / parts[i].sum, out, a_.value_dim);
    }
  }

 private:
  AttentionRow row_of(int l, int h, const Range& range, float* query) const {
    const int head = block_.kv_head * group_ + h;
    const int64_t at = block_.b * a_.q_strides[0] + head * a_.q_strides[1] + l * a_.q_strides[2];
    kernels().to_float(a_.q + at * int64_t(bytes_of(a_.q_kind)), a_.q_kind, query, a_.head_dim);
    kernels().scale(query, a_.scale, query, a_.head_dim);
    const char* mask = nullptr;
    if (!range.whole)
      mask = a_.mask + block_.b * a_.mask_strides[0] + head * a_.mask_strides[1] +
             l * a_.mask_strides[2];
    return {query, mask, range.begin, range.end};
  }

  const Attention& a_;
  const Block block_;
  const int group_, count_;
  AttentionRow* rows_;
  AttentionKeys keys_;
  int begin_, end_;
};

AttentionPart* take_parts(Workspace& workspace, int count, int value_dim) {
  auto* parts = workspace.take<AttentionPart>(count);
  auto* values = workspace.take<float>(size_t(count) * value_dim);
  for (int i = 0; i < count; i++) parts[i] = {0, 0, values + size_t(i) * value_dim};
  return parts;
}

/// Merges the chunks in their order, so that the result doesn't depend on who computed them.
void merge(AttentionPart* into, const AttentionPart* more, int count, int value_dim) {
  for (int i = 0; i < count; i++) kernels().merge_parts(&into[i], &more[i], value_dim);
}

void run_block(const Attention& a, const Block& block) {
  Workspace workspace;
  const BlockRun run(a, block, workspace);
  AttentionPart* total = take_parts(workspace, run.count(), a.value_dim);
  AttentionPart* part = take_parts(workspace, run.count(), a.value_dim);
  for (int chunk = 0; chunk < run.chunks(); chunk++) {
    run.attend_chunk(chunk, part);
    merge(total, part, run.count(), a.value_dim);
  }
  run.put(total);
}

/// For few queries on many keys: every chunk of every block is a piece of its own.
void run_chunks(const Attention& a, const std::vector<Block>& blocks) {
  Workspace workspace;
  std::vector<BlockRun> runs;
  std::vector<AttentionPart*> parts;  // of block after block, chunk after chunk
  std::vector<std::pair<int, int>> pieces;
  runs.reserve(blocks.size());
  for (const Block& block : blocks) {
    runs.emplace_back(a, block, workspace);
    for (int chunk = 0; chunk < runs.back().chunks(); chunk++) {
      pieces.emplace_back(int(runs.size()) - 1, chunk);
      parts.push_back(take_parts(workspace, runs.back().count(), a.value_dim));
    }
  }
  Pool::shared().run(int(pieces.size()), [&](int i) {
    runs[pieces[i].first].attend_chunk(pieces[i].second, parts[i]);
  });
  size_t next = 0;
  for (const BlockRun& run : runs) {
    AttentionPart* total = take_parts(workspace, run.count(), a.value_dim);
    for (int chunk = 0; chunk < run.chunks(); chunk++)
      merge(total, parts[next++], run.count(), a.value_dim);
    run.put(total);
  }
}

std::vector<Block> blocks_of(const Attention& a) {
  std::vector<Block> blocks;
  const int step = std::max(1, kQueryBlock / (a.heads / a.kv_heads));
  for (int b = 0; b < a.batch; b++)
    for (int h = 0; h < a.kv_heads; h++)
      for (int l = 0; l < a.queries; l += step)
        blocks.push_back({b, h, l, std::min(l + step, a.queries)});
  return blocks;
}

std::atomic<Tiles> tiles{Tiles::where_they_gain};

bool takes_tiles(const Attention& a) {
  const Tiles use = tiles.load(std::memory_order_relaxed);
  return use != Tiles::never && tiles_suit(a) && (use == Tiles::always || tiles_gain(a));
}

}  // namespace

void use_tiles(Tiles use) { tiles.store(use, std::memory_order_relaxed); }

bool uses_tiles() { return tiles.load(std::memory_order_relaxed) != Tiles::never; }

AttentionKeys keys_of(const Attention& a, int b, int kv_head) {
  AttentionKeys keys{nullptr,   nullptr,    a.k_strides[2], a.v_strides[2], a.kv_kind,
                     a.head_dim, a.value_dim, 0,              false,          0};
  if (a.k_codes) {
    keys.key_stride = a.head_dim;
    keys.value_stride = a.value_dim;
    keys.kind = FloatKind::f32;
    return keys;
  }
  if (a.rows) return keys;
  const auto bytes = int64_t(bytes_of(a.kv_kind));
  keys.keys = a.k + (b * a.k_strides[0] + kv_head * a.k_strides[1]) * bytes;
  keys.values = a.v + (b * a.v_strides[0] + kv_head * a.v_strides[1]) * bytes;
  return keys;
}

AttentionKeys opened(const Attention& a, const AttentionKeys& keys, int b, int kv_head, int begin,
                     int end, Workspace& workspace) {
  if (a.rows) return a.rows[b].opened(keys, kv_head, begin, end, workspace);
  if (!a.k_codes) return keys;
  auto* k = workspace.take<float>(size_t(end - begin) * a.head_dim);
  auto* v = workspace.take<float>(size_t(end - begin) * a.value_dim);
  a.k_codes.read(b, kv_head, begin, end, k);
  a.v_codes.read(b, kv_head, begin, end, v);
  AttentionKeys found = keys;
  found.keys = k;
  found.values = v;
  found.first = begin;
  return found;
}

void attend(const Attention& a) {
  if (takes_tiles(a)) return attend_tiles(a);
  if (a.rows && a.batch > 1) return attend_rows(a);
  const std::vector<Block> blocks = blocks_of(a);
  const int count = int(blocks.size());
  const int threads = Pool::shared().size();
  const int64_t products = int64_t(a.batch) * a.heads * a.queries * a.keys * a.head_dim;
  if (products > kProductsPerPiece && count < 4 * threads && a.keys > kAttentionChunk)
    return run_chunks(a, blocks);
  const int64_t grain = products ? kProductsPerPiece * count / products + 1 : count;
  Pool::shared().run_ranges(count, int(std::min<int64_t>(grain, count)), [&](int begin, int end) {
    for (int i = begin; i < end; i++) run_block(a, blocks[i]);
  });
}

}  // namespace kr::ops
