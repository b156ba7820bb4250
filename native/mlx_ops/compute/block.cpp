#include "block.h"

#include <algorithm>

#include "product.h"

namespace kr::ops {
namespace {

bool fits(const Projection& p, int rows, int cols) {
  if (p.matrices.empty()) return false;
  for (const PackedView& w : p.matrices)
    if (w.cols != cols) return false;
  return p.rows() == rows && (p.bias.empty() || int(p.bias.size()) == rows);
}

bool fits(const Norm& norm, int size) { return int(norm.weight.size()) == size; }

/// y[row] = x[row] . w + bias, for all columns of the projection.
void project(const Projection& p, const QuantizedRows& x, int rows, float* y) {
  const int64_t stride = p.rows();
  std::vector<ProductPart> parts;
  float* at = y;
  for (const PackedView& w : p.matrices) {
    parts.push_back({w, at, stride});
    at += w.rows;
  }
  multiply(parts, x, rows);
  if (!p.bias.empty())
    for_rows(rows, stride, [&](int row) {
      kernels().add(y + row * stride, p.bias.data(), y + row * stride, int(stride));
    });
}

/// Norm and rotation happen where the heads are; then they are written out.
struct Heads {
  const BlockConstants& block;
  const float *cosines, *sines;  // null: no rotation

  void put(float* heads, int count, const Norm* norm, const HeadsOut& out, int b, int l) const {
    const auto bytes = int64_t(bytes_of(out.kind));
    const RowOut row = out.row(b);
    char* at = row.data + l * row.token_stride * bytes;
    for (int h = 0; h < count; h++, heads += block.head_dim) {
      if (norm && *norm)
        kernels().rms_norm(heads, norm->weight.data(), heads, block.head_dim, norm->eps);
      if (norm && cosines) block.rotary->rotate(heads, cosines, sines, heads, block.head_dim);
      if (out.codes)
        out.codes.write(b, h, out.first + l, heads);
      else
        kernels().from_float(heads, out.kind, at + h * row.head_stride * bytes, block.head_dim);
    }
  }
};

/// silu(gate) * up of the normalized rows, quantized for the next product.
QuantizedRows gated(const BlockConstants& block, Workspace& workspace, const float* h, int rows) {
  const int inner = block.inner();
  const QuantizedRows result = workspace.take_rows(rows, inner);
  const QuantizedRows codes = quantize_rows(workspace, dense_rows(h, rows, block.hidden()), 0, rows,
                                            block.output_norm.weight.data(), block.output_norm.eps);
  float* both = workspace.take<float>(size_t(rows) * 2 * inner);
  project(block.gate_up, codes, rows, both);
  for_rows(rows, 8 * int64_t(inner), [&](int row) {
    float* gate = both + int64_t(row) * 2 * inner;
    kernels().swiglu(gate, gate + inner, gate, inner);
    kernels().quantize_row(gate, inner, result, row);
  });
  return result;
}

/// All that comes after attention, for the rows [first, first + rows).
void finish_rows(const BlockConstants& block, const Rows& x, const Rows& heads, int first, int rows,
                 const OutRows& out) {
  Workspace workspace;
  const int hidden = block.hidden();
  float* h = workspace.take<float>(size_t(rows) * hidden);
  project(block.out, quantize_rows(workspace, heads, first, rows), rows, h);
  for_rows(rows, hidden, [&](int row) {
    Workspace mine;
    const float* residual = x.get(first + row, mine.take<float>(hidden));
    kernels().add(residual, h + int64_t(row) * hidden, h + int64_t(row) * hidden, hidden);
  });
  float* y = workspace.take<float>(size_t(rows) * hidden);
  project(block.down, gated(block, workspace, h, rows), rows, y);
  for_rows(rows, hidden, [&](int row) {
    float* sum = h + int64_t(row) * hidden;
    float* place = out.place(first + row, sum);
    kernels().add(sum, y + int64_t(row) * hidden, place, hidden);
    out.put(first + row, place);
  });
}

}  // namespace

int Projection::rows() const {
  int total = 0;
  for (const PackedView& w : matrices) total += w.rows;
  return total;
}

const char* BlockConstants::problem() const {
  if (heads <= 0 || kv_heads <= 0 || heads % kv_heads) return "heads must be shared evenly";
  if (head_dim <= 0 || head_dim % 16) return "head_dim must be a multiple of 16";
  if (qkv.matrices.empty() || !fits(qkv, (heads + 2 * kv_heads) * head_dim, hidden()))
    return "qkv doesn't fit the heads";
  if (!fits(out, hidden(), heads * head_dim)) return "out doesn't fit";
  if (gate_up.rows() % 2 || !fits(gate_up, gate_up.rows(), hidden())) return "gate_up doesn't fit";
  if (!fits(down, hidden(), inner())) return "down doesn't fit";
  if (!fits(input_norm, hidden())) return "input_norm doesn't fit";
  if (!fits(output_norm, hidden())) return "output_norm doesn't fit";
  if (q_norm && !fits(q_norm, head_dim)) return "q_norm doesn't fit";
  if (k_norm && !fits(k_norm, head_dim)) return "k_norm doesn't fit";
  if (rotary && rotary->dims > head_dim) return "heads are shorter than what is rotated";
  return nullptr;
}

void enter_block(const BlockConstants& block, const Rows& x, int batch, int length,
                 const Positions& positions, const HeadsOut& q, const HeadsOut& k,
                 const HeadsOut& v) {
  const int tokens = batch * length, width = block.qkv.rows();
  const int pairs = block.rotary ? block.rotary->dims / 2 : 0;
  for (int first = 0; first < tokens; first += kRowBlock) {
    const int rows = std::min(kRowBlock, tokens - first);
    Workspace workspace;
    const QuantizedRows codes = quantize_rows(workspace, x, first, rows,
                                              block.input_norm.weight.data(), block.input_norm.eps);
    float* y = workspace.take<float>(size_t(rows) * width);
    project(block.qkv, codes, rows, y);
    for_rows(rows, 2 * width, [&](int row) {
      Workspace mine;
      const int b = (first + row) / length, l = (first + row) % length;
      auto* cosines = pairs ? mine.take<float>(pairs) : nullptr;
      auto* sines = pairs ? mine.take<float>(pairs) : nullptr;
      if (pairs) block.rotary->angles(double(positions.start(b) + l), cosines, sines);
      const Heads heads{block, cosines, sines};
      float* at = y + int64_t(row) * width;
      heads.put(at, block.heads, &block.q_norm, q, b, l);
      at += block.heads * block.head_dim;
      heads.put(at, block.kv_heads, &block.k_norm, k, b, l);
      at += block.kv_heads * block.head_dim;
      heads.put(at, block.kv_heads, nullptr, v, b, l);
    });
  }
}

void leave_block(const BlockConstants& block, const Rows& x, const Attention& attention,
                 const OutRows& out) {
  Workspace workspace;
  const int tokens = attention.batch * attention.queries;
  const int width = block.heads * block.head_dim;
  float* seen = workspace.take<float>(size_t(tokens) * width);
  Attention run = attention;
  run.out = seen;
  run.out_strides[0] = int64_t(attention.queries) * width;
  run.out_strides[1] = block.head_dim;
  run.out_strides[2] = width;
  attend(run);
  const Rows heads = dense_rows(seen, tokens, width);
  for (int first = 0; first < tokens; first += kRowBlock)
    finish_rows(block, x, heads, first, std::min(kRowBlock, tokens - first), out);
}

}  // namespace kr::ops
