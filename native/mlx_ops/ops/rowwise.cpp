#include "rowwise.h"

#include "../compute/product.h"

namespace kr::ops {

mx::array rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps) {
  require_float(x, "x must be of a float type");
  require(x.ndim() > 0, "x must have an axis");
  mx::Dtype dtype = x.dtype();
  Arrays inputs = {with_rows(x)};
  if (weight) {
    require_float(*weight, "weight must be of a float type");
    require(weight->ndim() == 1 && weight->shape(0) == x.shape(-1),
            "weight must have one per element of a row");
    dtype = mx::promote_types(dtype, weight->dtype());
    inputs.push_back(*weight);
  }
  return operation("KrRmsNorm", x.shape(), dtype, std::move(inputs),
                   [eps](const Arrays& in, Arrays& out) {
                     std::optional<Rows> w;
                     if (in.size() > 1) w = rows_of(in[1]);
                     return [x = rows_of(in[0]), w, y = out_rows_of(out[0]), eps] {
                       Workspace shared;
                       const float* weights = w ? w->get(0, shared.take<float>(x.cols)) : nullptr;
                       for_rows(int(x.count()), 2 * x.cols, [&](int row) {
                         Workspace workspace;
                         float* scratch = workspace.take<float>(x.cols);
                         const float* values = x.get(row, scratch);
                         float* place = y.place(row, scratch);
                         kernels().rms_norm(values, weights, place, x.cols, eps);
                         y.put(row, place);
                       });
                     };
                   });
}

namespace {

/// A float32 array with one element for each of a row's.
mx::array one_each(const mx::array& a, const mx::array& x, const char* message) {
  require_float(a, message);
  require(a.ndim() == 1 && a.shape(0) == x.shape(-1), message);
  return mx::contiguous(mx::astype(a, mx::float32, mx::Device::cpu), false, mx::Device::cpu);
}

}  // namespace

mx::array add_layer_norm(const mx::array& x, const std::optional<mx::array>& addend,
                         const std::optional<mx::array>& shift, const mx::array& weight,
                         const mx::array& bias, float eps) {
  require_float(x, "x must be of a float type");
  require(x.ndim() > 0, "x must have an axis");
  Arrays inputs = {with_rows(x),
                   one_each(weight, x, "weight must have one float per element of a row"),
                   one_each(bias, x, "bias must have one float per element of a row")};
  if (shift)
    inputs.push_back(one_each(*shift, x, "shift must have one float per element of a row"));
  if (addend) {
    require_float(*addend, "addend must be of a float type");
    require(addend->shape() == x.shape(), "addend must have the shape of x");
    inputs.push_back(with_rows(*addend));
  }
  return operation(
      "KrAddLayerNorm", x.shape(), x.dtype(), std::move(inputs),
      [eps, shifts = bool(shift), adds = bool(addend)](const Arrays& in, Arrays& out) {
        const float* shift = shifts ? in[3].data<float>() : nullptr;
        std::optional<Rows> addend;
        if (adds) addend = rows_of(in.back());
        return [x = rows_of(in[0]), addend, shift, weight = in[1].data<float>(),
                bias = in[2].data<float>(), y = out_rows_of(out[0]), eps] {
          for_rows(int(x.count()), 4 * x.cols, [&](int row) {
            Workspace workspace;
            float* total = workspace.take<float>(x.cols);
            float* scratch = workspace.take<float>(x.cols);
            const float* values = x.get(row, total);
            const auto add = [&](const float* more) {
              kernels().add(values, more, total, x.cols);
              values = total;
            };
            if (shift) add(shift);
            if (addend) add(addend->get(row, scratch));
            float* place = y.place(row, scratch);
            kernels().layer_norm(values, weight, bias, place, x.cols, eps);
            y.put(row, place);
          });
        };
      });
}

mx::array add_gelu(const mx::array& x, const std::optional<mx::array>& shift) {
  require_float(x, "x must be of a float type");
  require(x.ndim() > 0, "x must have an axis");
  Arrays inputs = {with_rows(x)};
  if (shift)
    inputs.push_back(one_each(*shift, x, "shift must have one float per element of a row"));
  return operation("KrAddGelu", x.shape(), x.dtype(), std::move(inputs),
                   [](const Arrays& in, Arrays& out) {
                     const float* shift = in.size() > 1 ? in[1].data<float>() : nullptr;
                     return [x = rows_of(in[0]), shift, y = out_rows_of(out[0])] {
                       for_rows(int(x.count()), 16 * x.cols, [&](int row) {
                         Workspace workspace;
                         float* scratch = workspace.take<float>(x.cols);
                         const float* values = x.get(row, scratch);
                         float* place = y.place(row, scratch);
                         if (shift) kernels().add(values, shift, place, x.cols);
                         kernels().gelu(shift ? place : values, place, x.cols);
                         y.put(row, place);
                       });
                     };
                   });
}

mx::array swiglu(const mx::array& gate, const mx::array& up) {
  require_float(gate, "gate must be of a float type");
  require_float(up, "up must be of a float type");
  require(gate.ndim() > 0 && gate.shape() == up.shape(), "gate and up must have one shape");
  return operation("KrSwiglu", gate.shape(), mx::promote_types(gate.dtype(), up.dtype()),
                   {with_rows(gate), with_rows(up)}, [](const Arrays& in, Arrays& out) {
                     return [g = rows_of(in[0]), u = rows_of(in[1]), y = out_rows_of(out[0])] {
                       for_rows(int(g.count()), 8 * g.cols, [&](int row) {
                         Workspace workspace;
                         float* first = workspace.take<float>(g.cols);
                         float* second = workspace.take<float>(g.cols);
                         float* place = y.place(row, first);
                         kernels().swiglu(g.get(row, first), u.get(row, second), place, g.cols);
                         y.put(row, place);
                       });
                     };
                   });
}

std::optional<mx::array> offsets_input(const Offset& offset, int batch) {
  const auto* array = std::get_if<mx::array>(&offset);
  if (!array) return std::nullopt;
  require(array->ndim() <= 1 && (array->size() == 1 || int(array->size()) == batch),
          "offset must be a number, or one per row of the batch");
  return mx::astype(*array, mx::int32, mx::Device::cpu);
}

int64_t offset_number(const Offset& offset) {
  const auto* number = std::get_if<int64_t>(&offset);
  return number ? *number : 0;
}

Positions positions_of(int64_t offset, const mx::array* input) {
  if (!input) return {nullptr, 0, offset};
  return {input->data<int32_t>(), input->size() > 1 ? input->strides()[0] : 0, 0};
}

mx::array rotate(const mx::array& x, std::shared_ptr<const Rotary> rotary, const Offset& offset) {
  require_float(x, "x must be of a float type");
  require(x.ndim() == 4 && x.shape(3) >= rotary->dims,
          "x must be [batch, heads, length, head_dim], with heads as long as what is rotated");
  Arrays inputs = {x};
  if (auto offsets = offsets_input(offset, x.shape(0))) inputs.push_back(*offsets);
  return operation(
      "KrRotate", x.shape(), x.dtype(), std::move(inputs),
      [rotary, offset = offset_number(offset)](const Arrays& in, Arrays& out) {
        const Positions positions = positions_of(offset, in.size() > 1 ? &in[1] : nullptr);
        const int batch = in[0].shape(0), heads = in[0].shape(1), length = in[0].shape(2);
        return [=, x = rows_of(in[0]), y = out_rows_of(out[0])] {
          for_rows(batch * length, int64_t(heads) * x.cols, [&](int token) {
            Workspace workspace;
            const int b = token / length, l = token % length;
            float* cosines = workspace.take<float>(rotary->dims / 2);
            float* sines = workspace.take<float>(rotary->dims / 2);
            float* scratch = workspace.take<float>(x.cols);
            rotary->angles(double(positions.start(b) + l), cosines, sines);
            for (int h = 0; h < heads; h++) {
              const int64_t row = (int64_t(b) * heads + h) * length + l;
              float* place = y.place(row, scratch);
              rotary->rotate(x.get(row, scratch), cosines, sines, place, x.cols);
              y.put(row, place);
            }
          });
        };
      });
}

}  // namespace kr::ops
