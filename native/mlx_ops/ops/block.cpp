#include "block.h"

#include <algorithm>

namespace kr::ops {
namespace {

void check_projection(const Projection& p, int rows, int cols, const char* message) {
  require(!p.matrices.empty(), message);
  for (const MatrixPtr& w : p.matrices) require(w && w->view.cols == cols, message);
  require(p.rows() == rows, message);
  require(p.bias.empty() || int(p.bias.size()) == rows, message);
}

void check_norm(const Norm& norm, int size, const char* message) {
  require(int(norm.weight.size()) == size, message);
}

/// y[row] = x[row] . w + bias, for `rows` rows of all of the projection's columns.
void project(const Projection& p, const QuantizedRows& x, int rows, float* y) {
  const int64_t stride = p.rows();
  std::vector<ProductPart> parts;
  float* at = y;
  for (const MatrixPtr& w : p.matrices) {
    parts.push_back({w->view, at, stride});
    at += w->view.rows;
  }
  multiply(parts, x, rows);
  if (!p.bias.empty())
    for_rows(rows, stride, [&](int row) {
      kernels().add(y + row * stride, p.bias.data(), y + row * stride, int(stride));
    });
}

/// Dense rows of float32.
Rows dense_rows(const float* data, int64_t rows, int cols) {
  Rows view;
  view.data = reinterpret_cast<const char*>(data);
  view.lengths = {rows};
  view.strides = {cols};
  view.cols = cols;
  return view;
}

/// Where one of q, k or v goes: [batch, heads, length, head_dim].
struct HeadsOut {
  OutRows rows;
  int heads, length;

  int64_t row(int token, int head) const {
    return (int64_t(token / length) * heads + head) * length + token % length;
  }
};

struct Enter {
  BlockPtr block;
  Rows x;
  int batch, length;
  Positions positions;
  HeadsOut q, k, v;

  void operator()() const {
    const int tokens = batch * length;
    for (int first = 0; first < tokens; first += kRowBlock) {
      const int rows = std::min(kRowBlock, tokens - first);
      Workspace workspace;
      const QuantizedRows codes = quantize_rows(
          workspace, x, first, rows, block->input_norm.weight.data(), block->input_norm.eps);
      float* y = workspace.take<float>(size_t(rows) * block->qkv.rows());
      project(block->qkv, codes, rows, y);
      for_rows(rows, 2 * block->qkv.rows(),
               [&](int row) { put_token(first + row, y + int64_t(row) * block->qkv.rows()); });
    }
  }

  void put_token(int token, float* heads) const {
    Workspace workspace;
    float *cosines = nullptr, *sines = nullptr;
    if (block->rotary) {
      cosines = workspace.take<float>(block->rotary->dims / 2);
      sines = workspace.take<float>(block->rotary->dims / 2);
      block->rotary->angles(double(positions.start(token / length) + token % length), cosines,
                            sines);
    }
    put_heads(token, heads, q, block->q_norm, cosines, sines);
    heads += q.heads * block->head_dim;
    put_heads(token, heads, k, block->k_norm, cosines, sines);
    heads += k.heads * block->head_dim;
    put_heads(token, heads, v, {}, nullptr, nullptr);
  }

  /// Norm and rotation happen where the heads are; then they are written out.
  void put_heads(int token, float* heads, const HeadsOut& out, const Norm& norm,
                 const float* cosines, const float* sines) const {
    const int size = block->head_dim;
    for (int h = 0; h < out.heads; h++, heads += size) {
      if (norm) kernels().rms_norm(heads, norm.weight.data(), heads, size, norm.eps);
      if (cosines) block->rotary->rotate(heads, cosines, sines, heads, size);
      const int64_t row = out.row(token, h);
      kernels().from_float(heads, out.rows.kind,
                           out.rows.data + row * size * int64_t(bytes_of(out.rows.kind)), size);
    }
  }
};

struct Leave {
  BlockPtr block;
  Rows x;
  Attention attention;
  OutRows out;

  void operator()() const {
    Workspace workspace;
    const int tokens = attention.batch * attention.queries;
    const int width = block->heads * block->head_dim;
    float* seen = workspace.take<float>(size_t(tokens) * width);
    Attention run = attention;
    run.out = seen;
    run.out_strides[0] = int64_t(attention.queries) * width;
    run.out_strides[1] = block->head_dim;
    run.out_strides[2] = width;
    attend(run);
    const Rows heads = dense_rows(seen, tokens, width);
    for (int first = 0; first < tokens; first += kRowBlock)
      finish(heads, first, std::min(kRowBlock, tokens - first));
  }

  /// All that comes after attention, for some of the rows.
  void finish(const Rows& heads, int first, int rows) const {
    Workspace workspace;
    const int hidden = block->hidden();
    float* h = workspace.take<float>(size_t(rows) * hidden);
    project(block->out, quantize_rows(workspace, heads, first, rows), rows, h);
    for_rows(rows, hidden, [&](int row) {
      Workspace mine;
      const float* residual = x.get(first + row, mine.take<float>(hidden));
      kernels().add(residual, h + int64_t(row) * hidden, h + int64_t(row) * hidden, hidden);
    });
    float* y = workspace.take<float>(size_t(rows) * hidden);
    project(block->down, gated(workspace, h, rows), rows, y);
    for_rows(rows, hidden, [&](int row) {
      float* sum = h + int64_t(row) * hidden;
      float* place = out.place(first + row, sum);
      kernels().add(sum, y + int64_t(row) * hidden, place, hidden);
      out.put(first + row, place);
    });
  }

  /// silu(gate) * up of the normalized rows, quantized for the next product.
  QuantizedRows gated(Workspace& workspace, const float* h, int rows) const {
    const int inner = block->inner();
    const QuantizedRows result = workspace.take_rows(rows, inner);
    const QuantizedRows codes =
        quantize_rows(workspace, dense_rows(h, rows, block->hidden()), 0, rows,
                      block->output_norm.weight.data(), block->output_norm.eps);
    float* both = workspace.take<float>(size_t(rows) * 2 * inner);
    project(block->gate_up, codes, rows, both);
    for_rows(rows, 8 * int64_t(inner), [&](int row) {
      float* gate = both + int64_t(row) * 2 * inner;
      kernels().swiglu(gate, gate + inner, gate, inner);
      kernels().quantize_row(gate, inner, result, row);
    });
    return result;
  }
};

}  // namespace

int Projection::rows() const {
  int total = 0;
  for (const MatrixPtr& w : matrices) total += w->view.rows;
  return total;
}

void Block::check() const {
  require(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "heads must be shared evenly");
  require(head_dim > 0 && head_dim % 16 == 0, "head_dim must be a multiple of 16");
  require(!qkv.matrices.empty() && qkv.matrices.front(), "qkv must have matrices");
  check_projection(qkv, (heads + 2 * kv_heads) * head_dim, hidden(), "qkv doesn't fit the heads");
  check_projection(out, hidden(), heads * head_dim, "out doesn't fit");
  require(gate_up.rows() % 2 == 0, "gate and up must be of one size");
  check_projection(gate_up, gate_up.rows(), hidden(), "gate_up doesn't fit");
  check_projection(down, hidden(), inner(), "down doesn't fit");
  check_norm(input_norm, hidden(), "input_norm doesn't fit");
  check_norm(output_norm, hidden(), "output_norm doesn't fit");
  if (q_norm) check_norm(q_norm, head_dim, "q_norm doesn't fit");
  if (k_norm) check_norm(k_norm, head_dim, "k_norm doesn't fit");
  require(!rotary || rotary->dims <= head_dim, "heads are shorter than what is rotated");
}

mx::Dtype Block::dtype_for(const mx::array& x) const {
  return mx::promote_types(x.dtype(), qkv.matrices.front()->dtype);
}

Arrays enter_block(const BlockPtr& block, const mx::array& x, const Offset& offset) {
  require_float(x, "x must be of a float type");
  require(x.ndim() == 3 && x.shape(2) == block->hidden(), "x must be [batch, length, hidden]");
  const int batch = x.shape(0), length = x.shape(1);
  Arrays inputs = {x};
  if (auto offsets = offsets_input(offset, batch)) inputs.push_back(*offsets);
  const auto shape = [&](int heads) { return mx::Shape{batch, heads, length, block->head_dim}; };
  const mx::Dtype dtype = block->dtype_for(x);
  return operation(
      "KrEnterBlock", {shape(block->heads), shape(block->kv_heads), shape(block->kv_heads)},
      {mx::float32, dtype, dtype}, std::move(inputs),
      [block, offset = offset_number(offset), batch, length](const Arrays& in, Arrays& out) {
        const auto heads_of = [&](int i) {
          return HeadsOut{out_rows_of(out[i]), out[i].shape(1), length};
        };
        return Enter{block,
                     rows_of(in[0]),
                     batch,
                     length,
                     positions_of(offset, in.size() > 1 ? &in[1] : nullptr),
                     heads_of(0),
                     heads_of(1),
                     heads_of(2)};
      });
}

mx::array leave_block(const BlockPtr& block, const mx::array& x, const mx::array& q,
                      const mx::array& k, const mx::array& v, const Mask& mask) {
  require_float(x, "x must be of a float type");
  require(x.ndim() == 3 && x.shape(2) == block->hidden(), "x must be [batch, length, hidden]");
  require(can_attend(q, k, v), "attention of these shapes or types is not covered");
  require(q.shape(0) == x.shape(0) && q.shape(1) == block->heads && q.shape(2) == x.shape(1) &&
              k.shape(1) == block->kv_heads && q.shape(3) == block->head_dim &&
              v.shape(3) == block->head_dim,
          "q, k and v must be of this block");
  Arrays inputs = {x, q, k, v};
  if (auto array = mask_input(mask, q, k)) inputs.push_back(*array);
  return operation("KrLeaveBlock", x.shape(), block->dtype_for(x), std::move(inputs),
                   [block, causal = is_causal(mask)](const Arrays& in, Arrays& out) {
                     return Leave{block, rows_of(in[0]),
                                  attention_of(in[1], in[2], in[3], block->scale, causal,
                                               in.size() > 4 ? &in[4] : nullptr),
                                  out_rows_of(out[0])};
                   });
}

}  // namespace kr::ops
