#include "attention.h"

#include <algorithm>

#include "../core/memory.h"
#include "../core/pool.h"
#include "in_place.h"

namespace kr::ops {
namespace {

// Heads of these many elements are whole vectors for every instruction set.
constexpr int kHeadMultiple = 16;

bool has_dense_rows(const mx::array& a) { return a.shape(-1) == 1 || a.strides().back() == 1; }

/// The array, or a dense copy if its last axis is not contiguous. The copy is made at once, on the
/// stream's thread before the operation's own work.
mx::array with_dense_rows(const mx::array& a) {
  if (has_dense_rows(a)) return a;
  mx::array copy(a.shape(), a.dtype(), nullptr, {});
  copy.set_data(mx::allocator::malloc(copy.nbytes()));
  auto& encoder = mx::cpu::get_command_encoder(cpu_stream());
  encoder.add_temporary(copy);
  encoder.dispatch([rows = byte_rows_of(a), out = copy.data<char>()] { copy_into(rows, out); });
  return copy;
}

void set_strides(int64_t* to, const mx::array& a) {
  for (int i = 0; i < 3; i++) to[i] = a.strides()[i];
}

Attention queries_of(const mx::array& q, float scale) {
  Attention a{};
  a.batch = q.shape(0);
  a.heads = q.shape(1);
  a.queries = q.shape(2);
  a.scale = scale;
  const mx::array dense_q = with_dense_rows(q);
  a.q = dense_q.data<char>();
  a.q_kind = kind_of(q);
  set_strides(a.q_strides, dense_q);
  return a;
}

/// Attention whose result goes to rows of any float type.
class AttentionWork {
 public:
  AttentionWork(const Attention& attention, const OutRows& out) : a_(attention), out_(out) {
    a_.out_strides[0] = int64_t(a_.heads) * a_.queries * a_.value_dim;
    a_.out_strides[1] = int64_t(a_.queries) * a_.value_dim;
    a_.out_strides[2] = a_.value_dim;
  }

  void operator()() const {
    Workspace workspace;
    Attention run = a_;
    const int64_t rows = int64_t(a_.batch) * a_.heads * a_.queries;
    const bool in_place = out_.kind == FloatKind::f32;
    run.out = out_.place(0, in_place ? nullptr : workspace.take<float>(rows * a_.value_dim));
    attend(run);
    if (!in_place)
      for (int64_t row = 0; row < rows; row++) out_.put(row, run.out + row * a_.value_dim);
  }

 private:
  Attention a_;
  OutRows out_;
};

void set_mask(Attention& a, bool causal, const mx::array* mask) {
  if (causal) a.mask_kind = MaskKind::causal;
  if (!mask) return;
  a.mask_kind = mask->dtype() == mx::bool_ ? MaskKind::boolean : MaskKind::additive;
  a.mask = mask->data<char>();
  const size_t missing = 4 - mask->ndim();
  for (size_t axis = missing; axis < 4; axis++) {
    const bool repeated = mask->shape(int(axis - missing)) == 1;
    a.mask_strides[axis] =
        repeated ? 0 : mask->strides()[axis - missing] * int64_t(mask->itemsize());
  }
}

}  // namespace

bool is_causal(const Mask& mask) {
  const auto* name = std::get_if<std::string>(&mask);
  require(!name || *name == "causal", "the mask must be an array, \"causal\" or None");
  return name;
}

std::optional<mx::array> mask_input(const Mask& mask, const mx::Shape& shape) {
  const auto* array = std::get_if<mx::array>(&mask);
  if (!array) return std::nullopt;
  require(array->dtype() == mx::bool_ || is_float(array->dtype()),
          "the mask must be of bool or of a float type");
  require(array->ndim() <= shape.size(), "the mask has too many axes");
  const size_t missing = shape.size() - array->ndim();
  for (size_t axis = missing; axis < shape.size(); axis++) {
    const int length = array->shape(int(axis - missing));
    require(length == 1 || length == shape[axis], "the mask doesn't broadcast to the scores");
  }
  if (array->dtype() == mx::bool_) return *array;
  return mx::astype(*array, mx::float32, mx::Device::cpu);
}

bool can_attend(const mx::array& q, const mx::array& k, const mx::array& v) {
  return q.ndim() == 4 && k.ndim() == 4 && v.ndim() == 4 && is_float(q.dtype()) &&
         is_float(k.dtype()) && k.dtype() == v.dtype() && q.shape(0) == k.shape(0) &&
         k.shape(0) == v.shape(0) && k.shape(1) == v.shape(1) && k.shape(2) == v.shape(2) &&
         k.shape(1) > 0 && q.shape(1) % k.shape(1) == 0 && q.shape(3) == k.shape(3) &&
         q.shape(3) > 0 && q.shape(3) % kHeadMultiple == 0 && v.shape(3) > 0 &&
         v.shape(3) % kHeadMultiple == 0;
}

void set_keys(Attention& a, const mx::array& k, const mx::array& v, bool causal,
              const mx::array* mask) {
  a.kv_heads = k.shape(1);
  a.keys = k.shape(2);
  a.head_dim = k.shape(3);
  a.value_dim = v.shape(3);
  const mx::array dense_k = with_dense_rows(k), dense_v = with_dense_rows(v);
  a.k = dense_k.data<char>();
  a.v = dense_v.data<char>();
  a.kv_kind = kind_of(k);
  set_strides(a.k_strides, dense_k);
  set_strides(a.v_strides, dense_v);
  set_mask(a, causal, mask);
}

void set_keys(Attention& a, const KvCodes& k, const KvCodes& v, int kv_heads, int keys, bool causal,
              const mx::array* mask) {
  a.kv_heads = kv_heads;
  a.keys = keys;
  a.head_dim = k.head_dim();
  a.value_dim = v.head_dim();
  a.k_codes = k;
  a.v_codes = v;
  set_mask(a, causal, mask);
}


Attention attention_of(const mx::array& q, const mx::array& k, const mx::array& v, float scale,
                       bool causal, const mx::array* mask) {
  Attention a = queries_of(q, scale);
  set_keys(a, k, v, causal, mask);
  return a;
}

mx::array attention(const mx::array& q, const mx::array& k, const mx::array& v, float scale,
                    const Mask& mask) {
  require(can_attend(q, k, v), "attention of these shapes or types is not covered");
  Arrays inputs = {q, k, v};
  if (auto array = mask_input(mask, {q.shape(0), q.shape(1), q.shape(2), k.shape(2)}))
    inputs.push_back(*array);
  mx::Shape shape = q.shape();
  shape.back() = v.shape(3);
  return operation(
      "KrAttention", std::move(shape), q.dtype(), std::move(inputs),
      [scale, causal = is_causal(mask)](const Arrays& in, Arrays& out) {
        return AttentionWork(
            attention_of(in[0], in[1], in[2], scale, causal, in.size() > 3 ? &in[3] : nullptr),
            out_rows_of(out[0]));
      });
}

mx::array attention_on_codes(const mx::array& q, const Arrays& k, const Arrays& v, float scale,
                             const Mask& mask, int group_size, int bits) {
  const CodeArrays keys = code_arrays(k, group_size, bits), values = code_arrays(v, group_size, bits);
  require(q.ndim() == 4 && is_float(q.dtype()) && q.shape(0) == keys.codes.shape(0) &&
              q.shape(0) == values.codes.shape(0) && keys.heads() > 0 &&
              keys.heads() == values.heads() && keys.tokens() == values.tokens() &&
              q.shape(1) % keys.heads() == 0 && q.shape(3) == keys.dim(bits),
          "q, k and v don't fit together");
  Arrays inputs = {q};
  for (const CodeArrays* arrays : {&keys, &values})
    for (const mx::array& a : {arrays->codes, arrays->scales, arrays->biases})
      inputs.push_back(a);
  if (auto array = mask_input(mask, {q.shape(0), q.shape(1), q.shape(2), keys.tokens()}))
    inputs.push_back(*array);
  mx::Shape shape = q.shape();
  shape.back() = values.dim(bits);
  return operation(
      "KrAttentionOnCodes", std::move(shape), q.dtype(), std::move(inputs),
      [=, causal = is_causal(mask)](const Arrays& in, Arrays& out) {
        Attention a = queries_of(in[0], scale);
        const auto codes = [&](int first) {
          return codes_of(with_dense_rows(in[first]), with_dense_rows(in[first + 1]),
                          with_dense_rows(in[first + 2]), group_size, bits);
        };
        set_keys(a, codes(1), codes(4), in[1].shape(1), in[1].shape(2), causal,
                 in.size() > 7 ? &in[7] : nullptr);
        return AttentionWork(a, out_rows_of(out[0]));
      });
}

}  // namespace kr::ops
