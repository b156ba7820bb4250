#include "kv_rows.h"

#include <algorithm>

#include "in_place.h"

namespace kr::ops {
namespace {

bool is_one_row(const mx::array& a) { return a.ndim() == 4 && a.shape(0) == 1; }

KvPiece piece_of(const mx::array& k, const mx::array& v, int begin, int tokens) {
  return {k.data<char>(),
          v.data<char>(),
          {k.strides()[1], k.strides()[2]},
          {v.strides()[1], v.strides()[2]},
          begin,
          begin + tokens};
}

/// Where a row's next tokens go.
RowOut behind(mx::array& a, int used) {
  const auto bytes = int64_t(a.itemsize());
  return {a.data<char>() + used * a.strides()[2] * bytes, a.strides()[1], a.strides()[2]};
}

struct Step {
  BlockPtr block;
  Rows x;
  int length;
  FloatKind kind;
  std::vector<KvRow> rows;
  std::vector<RowOut> keys, values;
  std::vector<int32_t> positions;
  std::vector<KvPiecesPtr> kept;
  OutRows out;

  void operator()() const {
    Workspace workspace;
    const BlockConstants& c = block->constants;
    const int batch = int(rows.size()), width = c.heads * c.head_dim;
    HeadsOut q, k, v;
    q.data = workspace.take<char>(size_t(batch) * length * width * sizeof(float));
    q.strides[0] = int64_t(length) * width;
    q.strides[1] = c.head_dim;
    q.strides[2] = width;
    k.kind = v.kind = kind;
    k.rows = keys.data();
    v.rows = values.data();
    kr::ops::enter_block(c, x, batch, length, {positions.data(), 1, 0}, q, k, v);
    Attention a{};
    a.batch = batch;
    a.heads = c.heads;
    a.kv_heads = c.kv_heads;
    a.queries = length;
    for (const KvRow& row : rows) a.keys = std::max(a.keys, row.tokens);
    a.head_dim = a.value_dim = c.head_dim;
    a.scale = c.scale;
    a.q = q.data;
    a.q_kind = FloatKind::f32;
    std::copy_n(q.strides, 3, a.q_strides);
    a.kv_kind = kind;
    a.rows = rows.data();
    if (length > 1) a.mask_kind = MaskKind::causal;
    kr::ops::leave_block(c, x, a, out);
  }
};

}  // namespace

KvPiecesPtr kv_pieces(Arrays keys, Arrays values, const std::vector<int>& tokens) {
  require(!keys.empty() && keys.size() == values.size() && keys.size() == tokens.size(),
          "there must be as many values, and numbers of tokens, as keys");
  auto found = std::make_shared<KvPieces>();
  for (Arrays* arrays : {&keys, &values})
    for (size_t i = 0; i < arrays->size(); i++) {
      const mx::array& a = (*arrays)[i];
      require(is_one_row(a) && is_float(a.dtype()) && a.dtype() == keys[0].dtype() &&
                  a.shape(1) == keys[0].shape(1) && a.shape(3) == keys[0].shape(3) &&
                  tokens[i] > 0 && a.shape(2) >= tokens[i],
              "pieces must be of one row, and alike");
    }
  Arrays all = keys;
  all.insert(all.end(), values.begin(), values.end());
  mx::eval(all);
  for (Arrays* arrays : {&keys, &values})
    for (mx::array& a : *arrays)
      if (a.strides().back() != 1) {
        a = mx::contiguous(a, false, mx::Device::cpu);
        a.eval();
      }
  for (size_t i = 0; i < keys.size(); i++) {
    found->pieces.push_back(piece_of(keys[i], values[i], found->tokens, tokens[i]));
    found->tokens += tokens[i];
  }
  found->keys = std::move(keys);
  found->values = std::move(values);
  return found;
}

Arrays step_block_rows(const BlockPtr& block, const mx::array& x, const KvRows& rows) {
  const BlockConstants& c = block->constants;
  require_float(x, "x must be of a float type");
  require(x.ndim() == 3 && x.shape(2) == c.hidden(), "x must be [batch, length, hidden]");
  const int batch = x.shape(0), length = x.shape(1);
  const size_t count = size_t(batch);
  require(rows.pieces.size() == count && rows.keys.size() == count &&
              rows.values.size() == count && rows.used.size() == count,
          "there must be keys and values for each row of x");
  const mx::Dtype dtype = block->dtype_for(x);
  for (int b = 0; b < batch; b++) {
    for (const mx::array* a : {&rows.keys[b], &rows.values[b]})
      require(is_one_row(*a) && a->dtype() == dtype && a->shape(1) == c.kv_heads &&
                  a->shape(3) == c.head_dim && rows.used[b] >= 0 &&
                  a->shape(2) - length >= rows.used[b],
              "keys and values must be of this block, and have room for x");
    const KvPieces* pieces = rows.pieces[b].get();
    require(!pieces || (pieces->keys[0].dtype() == dtype &&
                        pieces->keys[0].shape(1) == c.kv_heads &&
                        pieces->keys[0].shape(3) == c.head_dim),
            "pieces must be of this block");
  }
  Arrays inputs = {x};
  inputs.insert(inputs.end(), rows.keys.begin(), rows.keys.end());
  inputs.insert(inputs.end(), rows.values.begin(), rows.values.end());
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes(inputs.size(), dtype);
  std::vector<Takeover> takeovers;
  for (size_t i = 0; i < inputs.size(); i++) {
    shapes.push_back(inputs[i].shape());
    if (i) takeovers.push_back({int(i), int(i)});
  }
  return in_place_operation(
      "KrStepBlockRows", std::move(shapes), std::move(dtypes), std::move(inputs),
      std::move(takeovers),
      [block, batch, length, pieces = rows.pieces, used = rows.used](const Arrays& in,
                                                                     Arrays& out) {
        Step step{block, rows_of(in[0]), length, kind_of(out[0]),  {}, {}, {}, {}, pieces,
                  out_rows_of(out[0])};
        for (int b = 0; b < batch; b++) {
          mx::array &k = out[1 + b], &v = out[1 + batch + b];
          KvRow row;
          if (pieces[b]) {
            row.pieces = pieces[b]->pieces;
            row.tokens = pieces[b]->tokens;
          }
          step.positions.push_back(row.tokens + used[b]);
          row.pieces.push_back(piece_of(k, v, row.tokens, used[b] + length));
          row.tokens += used[b] + length;
          step.rows.push_back(std::move(row));
          step.keys.push_back(behind(k, used[b]));
          step.values.push_back(behind(v, used[b]));
        }
        return step;
      });
}

}  // namespace kr::ops
