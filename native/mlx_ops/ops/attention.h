// Attention over the KV cache as an operation.
#pragma once

#include <string>
#include <variant>

#include "../compute/attention.h"
#include "kv_codes.h"
#include "operation.h"

namespace kr::ops {

/// None; "causal"; or an array that broadcasts to [batch, heads, queries, keys], bool (true: seen)
/// or of a float type (added to the scores).
using Mask = std::variant<std::monostate, std::string, mx::array>;

/// The mask as an input of an operation, if it is an array. Throws std::invalid_argument unless it
/// broadcasts to `shape`, [batch, heads, queries, keys].
std::optional<mx::array> mask_input(const Mask& mask, const mx::Shape& shape);
/// Throws std::invalid_argument if the mask has a name that is no mask's.
bool is_causal(const Mask& mask);

/// Whether attention of these shapes and types is covered; else use MLX's own.
bool can_attend(const mx::array& q, const mx::array& k, const mx::array& v);

/// Completes a computation with k [batch, kv_heads, keys, head_dim] and v [batch, kv_heads, keys,
/// value_dim], whose memory is ready.
void set_keys(Attention& a, const mx::array& k, const mx::array& v, bool causal,
              const mx::array* mask);

/// The same with keys and values as codes, of which the first `keys` tokens are seen.
void set_keys(Attention& a, const KvCodes& k, const KvCodes& v, int kv_heads, int keys, bool causal,
              const mx::array* mask);

/// The computation for q [batch, heads, queries, head_dim] and such k and v; where the result goes
/// is left to the caller.
Attention attention_of(const mx::array& q, const mx::array& k, const mx::array& v, float scale,
                       bool causal, const mx::array* mask);

/// softmax(scale * q . k^T + mask) . v, as mx.fast.scaled_dot_product_attention; the result has q's
/// shape (with value_dim) and type.
mx::array attention(const mx::array& q, const mx::array& k, const mx::array& v, float scale,
                    const Mask& mask);

/// The same with keys and values that are quantized. They are read where they lie, a chunk at a
/// time; the result is that of `attention` on what they stand for.
mx::array attention_on_codes(const mx::array& q, const Arrays& k, const Arrays& v, float scale,
                             const Mask& mask, int group_size, int bits);

}  // namespace kr::ops
