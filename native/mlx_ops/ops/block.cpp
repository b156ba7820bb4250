#include "block.h"

#include <algorithm>

#include "in_place.h"

namespace kr::ops {
namespace {

void require_hidden(const Block& block, const mx::array& x) {
  require_float(x, "x must be of a float type");
  require(x.ndim() == 3 && x.shape(2) == block.constants.hidden(),
          "x must be [batch, length, hidden]");
}

/// The heads of an array [batch, heads, tokens, head_dim], from one token on.
HeadsOut heads_out(mx::array& a, int64_t first = 0) {
  HeadsOut out;
  out.kind = kind_of(a);
  for (int i = 0; i < 3; i++) out.strides[i] = a.strides()[i];
  out.data = a.data<char>() + first * out.strides[2] * int64_t(bytes_of(out.kind));
  return out;
}

/// The part of a cache that is in use, as an input of attention.
mx::array first_tokens(const mx::array& cache, int count) {
  mx::array part({cache.shape(0), cache.shape(1), count, cache.shape(3)}, cache.dtype(), nullptr,
                 {});
  part.copy_shared_buffer(cache, cache.strides(), {false, false, false}, cache.data_size());
  return part;
}

struct Step {
  BlockPtr block;
  Rows x;
  int batch, length;
  Positions positions;
  HeadsOut k, v;
  Attention attention;  // its queries are computed here
  OutRows out;
  int32_t* next = nullptr;  // the positions behind x, or null

  void operator()() const {
    Workspace workspace;
    if (next)
      for (int b = 0; b < batch; b++) next[b] = int32_t(positions.start(b) + length);
    const BlockConstants& c = block->constants;
    const int width = c.heads * c.head_dim;
    HeadsOut q;
    q.data = workspace.take<char>(size_t(batch) * length * width * sizeof(float));
    q.strides[0] = int64_t(length) * width;
    q.strides[1] = c.head_dim;
    q.strides[2] = width;
    kr::ops::enter_block(c, x, batch, length, positions, q, k, v);
    Attention run = attention;
    run.q = q.data;
    run.q_kind = FloatKind::f32;
    std::copy_n(q.strides, 3, run.q_strides);
    kr::ops::leave_block(c, x, run, out);
  }
};

}  // namespace

mx::Dtype Block::dtype_for(const mx::array& x) const {
  return mx::promote_types(x.dtype(), matrices.front()->dtype);
}

Arrays enter_block(const BlockPtr& block, const mx::array& x, const Offset& offset) {
  require_hidden(*block, x);
  const BlockConstants& c = block->constants;
  const int batch = x.shape(0), length = x.shape(1);
  Arrays inputs = {x};
  if (auto offsets = offsets_input(offset, batch)) inputs.push_back(*offsets);
  const auto shape = [&](int heads) { return mx::Shape{batch, heads, length, c.head_dim}; };
  const mx::Dtype dtype = block->dtype_for(x);
  return operation(
      "KrEnterBlock", {shape(c.heads), shape(c.kv_heads), shape(c.kv_heads)},
      {mx::float32, dtype, dtype}, std::move(inputs),
      [block, offset = offset_number(offset), batch, length](const Arrays& in, Arrays& out) {
        return [block, batch, length, x = rows_of(in[0]),
                positions = positions_of(offset, in.size() > 1 ? &in[1] : nullptr),
                q = heads_out(out[0]), k = heads_out(out[1]), v = heads_out(out[2])] {
          kr::ops::enter_block(block->constants, x, batch, length, positions, q, k, v);
        };
      });
}

mx::array leave_block(const BlockPtr& block, const mx::array& x, const mx::array& q,
                      const mx::array& k, const mx::array& v, const Mask& mask) {
  require_hidden(*block, x);
  const BlockConstants& c = block->constants;
  require(can_attend(q, k, v), "attention of these shapes or types is not covered");
  require(q.shape(0) == x.shape(0) && q.shape(1) == c.heads && q.shape(2) == x.shape(1) &&
              k.shape(1) == c.kv_heads && q.shape(3) == c.head_dim && v.shape(3) == c.head_dim,
          "q, k and v must be of this block");
  Arrays inputs = {x, q, k, v};
  if (auto array = mask_input(mask, {q.shape(0), c.heads, q.shape(2), k.shape(2)}))
    inputs.push_back(*array);
  return operation("KrLeaveBlock", x.shape(), block->dtype_for(x), std::move(inputs),
                   [block, causal = is_causal(mask)](const Arrays& in, Arrays& out) {
                     return [block, x = rows_of(in[0]), y = out_rows_of(out[0]),
                             a = attention_of(in[1], in[2], in[3], block->constants.scale, causal,
                                              in.size() > 4 ? &in[4] : nullptr)] {
                       kr::ops::leave_block(block->constants, x, a, y);
                     };
                   });
}

Arrays step_block(const BlockPtr& block, const mx::array& x, const mx::array& keys,
                  const mx::array& values, int start, const Offset& offset, const Mask& mask) {
  require_hidden(*block, x);
  const BlockConstants& c = block->constants;
  const int batch = x.shape(0), length = x.shape(1);
  const mx::Dtype dtype = block->dtype_for(x);
  for (const mx::array& cache : {keys, values})
    require(cache.ndim() == 4 && cache.dtype() == dtype && cache.shape(0) == batch &&
                cache.shape(1) == c.kv_heads && cache.shape(3) == c.head_dim && start >= 0 &&
                cache.shape(2) - length >= start,
            "keys and values must be of this block, and have room for x");
  Arrays inputs = {x, keys, values};
  const auto mask_array = mask_input(mask, {batch, c.heads, length, start + length});
  if (mask_array) inputs.push_back(*mask_array);
  const auto offsets = offsets_input(offset, batch);
  if (offsets) inputs.push_back(*offsets);
  std::vector<mx::Shape> shapes = {x.shape(), keys.shape(), values.shape()};
  std::vector<mx::Dtype> dtypes = {dtype, dtype, dtype};
  if (offsets) {
    shapes.push_back({batch});
    dtypes.push_back(mx::int32);
  }
  return in_place_operation(
      "KrStepBlock", std::move(shapes), std::move(dtypes), std::move(inputs), {{1, 1}, {2, 2}},
      [=, offset = offset_number(offset), causal = is_causal(mask), masked = bool(mask_array),
       moving = bool(offsets)](const Arrays& in, Arrays& out) {
        const mx::array k = first_tokens(out[1], start + length),
                        v = first_tokens(out[2], start + length);
        Attention a{};
        a.batch = batch;
        a.heads = block->constants.heads;
        a.queries = length;
        a.scale = block->constants.scale;
        set_keys(a, k, v, causal, masked ? &in[3] : nullptr);
        return Step{block,
                    rows_of(in[0]),
                    batch,
                    length,
                    positions_of(offset, moving ? &in.back() : nullptr),
                    heads_out(out[1], start),
                    heads_out(out[2], start),
                    a,
                    out_rows_of(out[0]),
                    moving ? out[3].data<int32_t>() : nullptr};
      });
}

Arrays step_block_on_codes(const BlockPtr& block, const mx::array& x, const Arrays& keys,
                           const Arrays& values, int group_size, int bits, int start,
                           const Offset& offset, const Mask& mask) {
  require_hidden(*block, x);
  const BlockConstants& c = block->constants;
  const int batch = x.shape(0), length = x.shape(1);
  const mx::Dtype dtype = block->dtype_for(x);
  Arrays inputs = {x};
  for (const Arrays* arrays : {&keys, &values}) {
    const CodeArrays cache = code_arrays(*arrays, group_size, bits);
    require(cache.codes.shape(0) == batch && cache.heads() == c.kv_heads &&
                cache.dim(bits) == c.head_dim && start >= 0 && cache.tokens() - length >= start,
            "keys and values must be of this block, and have room for x");
    inputs.insert(inputs.end(), arrays->begin(), arrays->end());
  }
  std::vector<mx::Shape> shapes = {x.shape()};
  std::vector<mx::Dtype> dtypes = {dtype};
  std::vector<Takeover> takeovers;
  for (int i = 1; i < 7; i++) {
    shapes.push_back(inputs[i].shape());
    dtypes.push_back(inputs[i].dtype());
    takeovers.push_back({i, i});
  }
  const auto mask_array = mask_input(mask, {batch, c.heads, length, start + length});
  if (mask_array) inputs.push_back(*mask_array);
  const auto offsets = offsets_input(offset, batch);
  if (offsets) {
    inputs.push_back(*offsets);
    shapes.push_back({batch});
    dtypes.push_back(mx::int32);
  }
  return in_place_operation(
      "KrStepBlockOnCodes", std::move(shapes), std::move(dtypes), std::move(inputs),
      std::move(takeovers),
      [=, offset = offset_number(offset), causal = is_causal(mask), masked = bool(mask_array),
       moving = bool(offsets)](const Arrays& in, Arrays& out) {
        HeadsOut k, v;
        k.codes = codes_of(out[1], out[2], out[3], group_size, bits);
        v.codes = codes_of(out[4], out[5], out[6], group_size, bits);
        k.first = v.first = start;
        Attention a{};
        a.batch = batch;
        a.heads = block->constants.heads;
        a.queries = length;
        a.scale = block->constants.scale;
        set_keys(a, k.codes, v.codes, block->constants.kv_heads, start + length, causal,
                 masked ? &in[7] : nullptr);
        return Step{block,
                    rows_of(in[0]),
                    batch,
                    length,
                    positions_of(offset, moving ? &in.back() : nullptr),
                    k,
                    v,
                    a,
                    out_rows_of(out[0]),
                    moving ? out[7].data<int32_t>() : nullptr};
      });
}

}  // namespace kr::ops
