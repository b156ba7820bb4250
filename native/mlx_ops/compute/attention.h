// Attention of many queries, shared among the threads of the pool.
#pragma once

#include "../core/memory.h"
#include "kv_codes.h"
#include "kv_rows.h"
#include "rows.h"

namespace kr::ops {

enum class MaskKind : uint8_t { none, causal, boolean, additive };

/// softmax(scale * q . k) . v for every query of every head and row of the batch.
///
/// Query heads in groups of `heads / kv_heads` share keys. With the causal mask the last query sees
/// all keys. A query that sees no key gets zeros.
struct Attention {
  int batch, heads, kv_heads, queries, keys, head_dim, value_dim;
  float scale;

  const char* q;
  FloatKind q_kind;
  int64_t q_strides[3];  // batch, head, query; in elements

  const char *k, *v;
  FloatKind kv_kind;
  int64_t k_strides[3], v_strides[3];  // batch, head, key
  KvCodes k_codes, v_codes;            // in the place of k and v, where there are any
  // Likewise, one for each row of the batch; `keys` is then that of the longest.
  const KvRow* rows = nullptr;

  MaskKind mask_kind = MaskKind::none;
  const char* mask = nullptr;    // bool or float32
  int64_t mask_strides[4] = {};  // batch, head, query, key; in bytes

  float* out;
  int64_t out_strides[3];  // batch, head, query

  int keys_of_row(int b) const { return rows ? rows[b].tokens : keys; }
};

void attend(const Attention& attention);

/// Keys and values of one head as kernels take them, the mask left out. Of codes and of rows that
/// have their own there are none before `opened`.
AttentionKeys keys_of(const Attention& attention, int b, int kv_head);

/// The same with the keys [begin, end) as floats, one behind the other: of codes and of pieces, in
/// memory of the workspace. They are read where they are used, a chunk at a time, so that it stays
/// in a core's own cache.
AttentionKeys opened(const Attention& attention, const AttentionKeys& keys, int b, int kv_head,
                     int begin, int end, Workspace& workspace);

/// Where `attend` packs keys and values that queries share (attention_tiles.h): the result is the
/// same, bit for bit. Where they gain, unless told otherwise; always is for tests.
enum class Tiles { never, where_they_gain, always };

void use_tiles(Tiles use);
bool uses_tiles();

}  // namespace kr::ops
