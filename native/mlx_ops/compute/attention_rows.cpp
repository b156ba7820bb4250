#include "attention_rows.h"

#include <algorithm>
#include <vector>

#include "../core/memory.h"
#include "../core/pool.h"

namespace kr::ops {
namespace {

// Products of a query's and a key's element that are worth the other threads.
constexpr int64_t kProductsPerPiece = 50'000;

/// A chunk of keys, and the rows that have it in the same memory.
struct Shared {
  int chunk, end;  // of its keys
  std::vector<int> rows;
};

std::vector<Shared> shared_chunks(const Attention& a) {
  std::vector<Shared> found;
  for (int begin = 0, chunk = 0; begin < a.keys; begin += kAttentionChunk, chunk++) {
    const size_t first = found.size();
    for (int b = 0; b < a.batch; b++) {
      if (a.rows[b].tokens <= begin) continue;
      const int end = std::min(begin + kAttentionChunk, a.rows[b].tokens);
      const auto same = std::find_if(found.begin() + first, found.end(), [&](const Shared& other) {
        return other.end == end && same_memory(a.rows[other.rows[0]], a.rows[b], begin, end);
      });
      if (same != found.end())
        same->rows.push_back(b);
      else
        found.push_back({chunk, end, {b}});
    }
  }
  return found;
}

class RowsRun {
 public:
  explicit RowsRun(const Attention& attention)
      : a_(attention),
        group_(a_.heads / a_.kv_heads),
        chunks_((a_.keys + kAttentionChunk - 1) / kAttentionChunk),
        each_(a_.queries * group_),
        shared_(shared_chunks(a_)) {
    const size_t count = size_t(a_.batch) * a_.kv_heads * each_;
    queries_ = workspace_.take<AttentionRow>(count);
    parts_ = workspace_.take<AttentionPart>(count * chunks_);
    float* query = workspace_.take<float>(count * a_.head_dim);
    float* values = workspace_.take<float>(count * chunks_ * a_.value_dim);
    for (size_t i = 0; i < count; i++, query += a_.head_dim) set_query(i, query);
    for (size_t i = 0; i < count * chunks_; i++) parts_[i] = {0, 0, values + i * a_.value_dim};
  }

  void operator()() {
    const int pieces = int(shared_.size()) * a_.kv_heads, ends = a_.batch * a_.kv_heads;
    const auto attend = [&](int i) { attend_chunk(shared_[i / a_.kv_heads], i % a_.kv_heads); };
    const auto merge = [&](int i) { merge_chunks(i / a_.kv_heads, i % a_.kv_heads); };
    const int64_t products = int64_t(a_.batch) * a_.heads * a_.queries * a_.keys * a_.head_dim;
    if (products > kProductsPerPiece) {
      Pool::shared().run(pieces, attend);
      Pool::shared().run(ends, merge);
      return;
    }
    for (int i = 0; i < pieces; i++) attend(i);
    for (int i = 0; i < ends; i++) merge(i);
  }

 private:
  /// Of row b and a group of heads, the first of `each_` queries: position by position.
  size_t place(int b, int kv_head) const { return (size_t(b) * a_.kv_heads + kv_head) * each_; }

  void set_query(size_t i, float* query) const {
    const int b = int(i / (size_t(a_.kv_heads) * each_));
    const int kv_head = int(i / each_) % a_.kv_heads;
    const int l = int(i % each_) / group_, head = kv_head * group_ + int(i % each_) % group_;
    const int64_t at = b * a_.q_strides[0] + head * a_.q_strides[1] + l * a_.q_strides[2];
    kernels().to_float(a_.q + at * int64_t(bytes_of(a_.q_kind)), a_.q_kind, query, a_.head_dim);
    kernels().scale(query, a_.scale, query, a_.head_dim);
    const int tokens = a_.rows[b].tokens;
    const bool causal = a_.mask_kind == MaskKind::causal;
    const int end = causal ? std::clamp(tokens - a_.queries + l + 1, 0, tokens) : tokens;
    queries_[i] = {query, nullptr, 0, end};
  }

  void attend_chunk(const Shared& shared, int kv_head) const {
    Workspace workspace;
    const int begin = shared.chunk * kAttentionChunk, end = shared.end;
    const int count = int(shared.rows.size()) * each_;
    auto* queries = workspace.take<AttentionRow>(count);
    auto* parts = workspace.take<AttentionPart>(count);
    for (size_t r = 0; r < shared.rows.size(); r++)
      for (int i = 0; i < each_; i++) {
        const size_t from = place(shared.rows[r], kv_head) + i;
        queries[r * each_ + i] = queries_[from];
        parts[r * each_ + i] = parts_[from * chunks_ + shared.chunk];
      }
    const KvRow& row = a_.rows[shared.rows[0]];
    const AttentionKeys keys =
        row.in_pieces(keys_of(a_, shared.rows[0], kv_head), kv_head, begin, end, workspace);
    for (int i = 0; i < count; i += kAttentionRows)
      kernels().attend(keys, queries + i, std::min(kAttentionRows, count - i), begin, end,
                       parts + i);
    for (int i = 0; i < count; i++)
      parts_[(place(shared.rows[i / each_], kv_head) + i % each_) * chunks_ + shared.chunk] =
          parts[i];
  }

  /// In their order, so that the result doesn't depend on who computed them.
  void merge_chunks(int b, int kv_head) const {
    Workspace workspace;
    const int chunks = (a_.rows[b].tokens + kAttentionChunk - 1) / kAttentionChunk;
    AttentionPart total{0, 0, workspace.take<float>(a_.value_dim)};
    for (int i = 0; i < each_; i++) {
      total.sum = 0;
      const size_t from = place(b, kv_head) + i;
      for (int chunk = 0; chunk < chunks; chunk++)
        kernels().merge_parts(&total, &parts_[from * chunks_ + chunk], a_.value_dim);
      const int l = i / group_, head = kv_head * group_ + i % group_;
      float* out = a_.out + b * a_.out_strides[0] + head * a_.out_strides[1] + l * a_.out_strides[2];
      if (total.sum == 0)
        std::fill_n(out, a_.value_dim, 0.f);
      else
        kernels().scale(total.values, 1 / total.sum, out, a_.value_dim);
    }
  }

  Workspace workspace_;
  const Attention& a_;
  const int group_, chunks_, each_;
  const std::vector<Shared> shared_;
  AttentionRow* queries_;
  AttentionPart* parts_;
};

}  // namespace

void attend_rows(const Attention& a) { RowsRun{a}(); }

}  // namespace kr::ops
