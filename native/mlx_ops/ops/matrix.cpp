#include "matrix.h"

#include <algorithm>

#include "../core/pack.h"

namespace kr::ops {
namespace {

constexpr size_t kStorePage = 4096;
constexpr size_t kMatrixAlignment = 64;

size_t aligned(size_t bytes, size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

bool is_heads(const mx::array& a, int rows, int groups) {
  return is_float(a.dtype()) && a.ndim() == 2 && a.shape(0) == rows && a.shape(1) == groups;
}

/// The arrays dense and with values.
struct Affine {
  mx::array weight, scales, biases;
  AffineView view;
};

Affine affine_of(const mx::array& weight, const mx::array& scales, const mx::array& biases,
                 int group, int bits) {
  require(group == 32 || group == 64 || group == 128, "group_size must be 32, 64 or 128");
  require(bits >= 2 && bits <= 8 && bits != 7, "bits must be 2, 3, 4, 5, 6 or 8");
  require(weight.dtype() == mx::uint32 && weight.ndim() == 2 && weight.shape(0) > 0,
          "weight must be a matrix of uint32");
  const int rows = weight.shape(0);
  const int64_t cols = int64_t(weight.shape(1)) * 32 / bits;
  require(cols > 0 && cols % group == 0 && cols * bits == int64_t(weight.shape(1)) * 32,
          "weight must have whole groups of columns");
  const int groups = int(cols / group);
  require(is_heads(scales, rows, groups) && is_heads(biases, rows, groups) &&
              scales.dtype() == biases.dtype(),
          "scales and biases must be floats of one type, one a group");
  Affine a{mx::contiguous(weight, false, mx::Device::cpu),
           mx::contiguous(scales, false, mx::Device::cpu),
           mx::contiguous(biases, false, mx::Device::cpu),
           {}};
  mx::eval({a.weight, a.scales, a.biases});
  a.view = {a.weight.data<uint8_t>(),
            a.scales.data<char>(),
            a.biases.data<char>(),
            kind_of(a.scales),
            rows,
            int(cols),
            group,
            bits};
  return a;
}

PackedView packed_view(const AffineView& from) {
  return {nullptr, from.rows, from.cols, from.group, packed_bits(from.bits), smallest_scales(from)};
}

}  // namespace

MatrixStore::MatrixStore(size_t bytes)
    : memory_(mx::allocator::malloc(aligned(bytes + kMatrixAlignment, kStorePage)),
              mx::Shape{int(aligned(bytes + kMatrixAlignment, kStorePage) / kStorePage),
                        int(kStorePage)},
              mx::uint8) {
  prefer_large_pages(memory_.data<uint8_t>(), memory_.nbytes());
  const auto address = reinterpret_cast<uintptr_t>(memory_.data<uint8_t>());
  first_ = next_ = aligned(address, kMatrixAlignment) - address;
}

MatrixPtr MatrixStore::pack(const mx::array& weight, const mx::array& scales,
                            const mx::array& biases, int group_size, int bits) {
  const Affine affine = affine_of(weight, scales, biases, group_size, bits);
  PackedView view = packed_view(affine.view);
  require(view.bytes() <= memory_.nbytes() - next_, "the store is too small for this matrix");
  uint8_t* const place = memory_.data<uint8_t>() + next_;
  kr::ops::pack(affine.view, view, place);
  view.data = place;
  next_ += aligned(view.bytes(), kMatrixAlignment);
  return std::make_shared<const Matrix>(Matrix{memory_, view, scales.dtype()});
}

size_t packed_bytes(const mx::array& weight, const mx::array& scales, const mx::array& biases,
                    int group_size, int bits) {
  const Affine affine = affine_of(weight, scales, biases, group_size, bits);
  return aligned(packed_view(affine.view).bytes(), kMatrixAlignment);
}

namespace {

void add_bias(const float* bias, float* y, int rows, int cols) {
  for_rows(rows, cols, [&](int row) {
    float* at = y + int64_t(row) * cols;
    kernels().add(at, bias, at, cols);
  });
}

void run_linear(const Matrix& w, const Rows& x, const Rows* bias, const OutRows& out) {
  const int64_t count = x.count();
  const int n = w.view.rows;
  for (int64_t first = 0; first < count; first += kRowBlock) {
    const int rows = int(std::min<int64_t>(kRowBlock, count - first));
    Workspace workspace;
    const bool in_place = out.kind == FloatKind::f32;
    float* y = out.place(first, in_place ? nullptr : workspace.take<float>(size_t(rows) * n));
    const QuantizedRows codes = quantize_rows(workspace, x, first, rows);
    multiply({{w.view, y, n}}, codes, rows);
    if (bias) add_bias(bias->get(0, workspace.take<float>(n)), y, rows, n);
    if (!in_place) for_rows(rows, n, [&](int row) { out.put(first + row, y + int64_t(row) * n); });
  }
}

int64_t id_at(const char* ids, mx::Dtype dtype, size_t i) {
  switch (dtype.val()) {
    case mx::Dtype::Val::uint32:
      return reinterpret_cast<const uint32_t*>(ids)[i];
    case mx::Dtype::Val::int64:
      return reinterpret_cast<const int64_t*>(ids)[i];
    default:
      return reinterpret_cast<const int32_t*>(ids)[i];
  }
}

}  // namespace

mx::array linear(const mx::array& x, MatrixPtr w, const std::optional<mx::array>& bias) {
  require_float(x, "x must be of a float type");
  require(x.ndim() > 0 && x.shape(-1) == w->view.cols, "x must have as many columns as w");
  if (bias) {
    require_float(*bias, "bias must be of a float type");
    require(bias->ndim() == 1 && bias->shape(0) == w->view.rows, "bias must have one per row of w");
  }
  mx::Shape shape = x.shape();
  shape.back() = w->view.rows;
  mx::Dtype dtype = mx::promote_types(x.dtype(), w->dtype);
  Arrays inputs = {with_rows(x)};
  if (bias) {
    inputs.push_back(*bias);
    dtype = mx::promote_types(dtype, bias->dtype());
  }
  return operation("KrLinear", std::move(shape), dtype, std::move(inputs),
                   [w](const Arrays& in, Arrays& out) {
                     std::optional<Rows> b;
                     if (in.size() > 1) b = rows_of(in[1]);
                     return [w, x = rows_of(in[0]), b, y = out_rows_of(out[0])] {
                       run_linear(*w, x, b ? &*b : nullptr, y);
                     };
                   });
}

mx::array embedding(const mx::array& ids, MatrixPtr w) {
  require(mx::issubdtype(ids.dtype(), mx::integer), "ids must be of an integer type");
  mx::array dense = mx::contiguous(ids, false, mx::Device::cpu);
  if (dense.dtype() != mx::int32 && dense.dtype() != mx::uint32 && dense.dtype() != mx::int64)
    dense = mx::astype(dense, mx::int64, mx::Device::cpu);
  mx::Shape shape = ids.shape();
  shape.push_back(w->view.cols);
  return operation("KrEmbedding", std::move(shape), w->dtype, {dense},
                   [w](const Arrays& in, Arrays& out) {
                     return [w, ids = in[0].data<char>(), dtype = in[0].dtype(),
                             y = out_rows_of(out[0]), count = int(in[0].size())] {
                       const int rows = w->view.rows, cols = w->view.cols;
                       for_rows(count, 4 * int64_t(cols), [&](int i) {
                         Workspace workspace;
                         float* place = y.place(i, workspace.take<float>(cols));
                         const int64_t id = id_at(ids, dtype, i), row = id < 0 ? id + rows : id;
                         if (row >= 0 && row < rows)
                           kernels().unpack_row(w->view, int(row), place);
                         else
                           std::fill_n(place, cols, 0.f);
                         y.put(i, place);
                       });
                     };
                   });
}

}  // namespace kr::ops
