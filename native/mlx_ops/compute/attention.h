// Attention of many queries, shared among the threads of the pool.
#pragma once

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

  MaskKind mask_kind = MaskKind::none;
  const char* mask = nullptr;    // bool or float32
  int64_t mask_strides[4] = {};  // batch, head, query, key; in bytes

  float* out;
  int64_t out_strides[3];  // batch, head, query
};

void attend(const Attention& attention);

/// Where `attend` packs keys and values that queries share (attention_tiles.h): the result is the
/// same, bit for bit. Where they gain, unless told otherwise; always is for tests.
enum class Tiles { never, where_they_gain, always };

void use_tiles(Tiles use);
bool uses_tiles();

}  // namespace kr::ops
