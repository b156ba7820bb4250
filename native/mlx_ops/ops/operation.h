// Operations of ours in MLX's graph.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../compute/rows.h"
#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/mlx.h"
#include "mlx/primitives.h"

namespace kr::ops {

namespace mx = mlx::core;
using Arrays = std::vector<mx::array>;

/// A primitive for the CPU. When its turn comes MLX has the inputs' memory ready, though perhaps
/// not yet their values; `prepare(inputs, outputs)`, with the outputs' memory ready too, returns
/// the work, which then runs on the stream's own thread. MLX keeps the memory until that is done.
template <class Prepare>
class Operation : public mx::Primitive {
 public:
  Operation(mx::Stream stream, const char* name, Prepare prepare)
      : mx::Primitive(stream), name_(name), prepare_(std::move(prepare)) {}

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (mx::array& out : outputs) out.set_data(mx::allocator::malloc(out.nbytes()));
    mx::cpu::get_command_encoder(stream()).dispatch(prepare_(inputs, outputs));
  }
  void eval_gpu(const Arrays&, Arrays&) override {
    throw std::runtime_error(std::string(name_) + " runs on the CPU alone");
  }
  const char* name() const override { return name_; }

 private:
  const char* name_;
  Prepare prepare_;
};

inline mx::Stream cpu_stream() { return mx::default_stream(mx::Device::cpu); }

template <class Prepare>
mx::array operation(const char* name, mx::Shape shape, mx::Dtype dtype, Arrays inputs,
                    Prepare prepare) {
  auto primitive = std::make_shared<Operation<Prepare>>(cpu_stream(), name, std::move(prepare));
  return mx::array(std::move(shape), dtype, std::move(primitive), std::move(inputs));
}

template <class Prepare>
Arrays operation(const char* name, std::vector<mx::Shape> shapes, std::vector<mx::Dtype> dtypes,
                 Arrays inputs, Prepare prepare) {
  auto primitive = std::make_shared<Operation<Prepare>>(cpu_stream(), name, std::move(prepare));
  return mx::array::make_arrays(std::move(shapes), dtypes, std::move(primitive), inputs);
}

inline bool is_float(mx::Dtype dtype) {
  return dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
}

/// Throws std::invalid_argument unless `condition` holds.
inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

inline void require_float(const mx::array& a, const char* message) {
  require(is_float(a.dtype()), message);
}

inline FloatKind kind_of(const mx::array& a) {
  return a.dtype() == mx::float32   ? FloatKind::f32
         : a.dtype() == mx::float16 ? FloatKind::f16
                                    : FloatKind::bf16;
}

/// An array that an operation takes rows of: with fewer axes where it has too many.
inline mx::array with_rows(const mx::array& a) {
  if (int(a.ndim()) <= kRowAxesMax + 1) return a;
  return mx::flatten(a, 0, -2, mx::Device::cpu);
}

/// For an array of at least one axis and a float type.
inline Rows rows_of(const mx::array& a) {
  Rows rows;
  rows.data = a.data<char>();
  rows.kind = kind_of(a);
  rows.cols = a.shape(-1);
  rows.col_stride = a.strides().back();
  if (a.flags().row_contiguous) {
    rows.axes = 1;
    rows.lengths[0] = rows.cols ? int64_t(a.size()) / rows.cols : 0;
    rows.strides[0] = rows.cols;
    return rows;
  }
  rows.axes = int(a.ndim()) - 1;
  for (int axis = 0; axis < rows.axes; axis++) {
    rows.lengths[axis] = a.shape(axis);
    rows.strides[axis] = a.strides()[axis];
  }
  return rows;
}

/// The rows of an array whose elements have 2 or 4 bytes, whatever they are: to be copied alone.
inline Rows byte_rows_of(const mx::array& a) {
  Rows rows = rows_of(a);
  rows.kind = a.itemsize() == 4 ? FloatKind::f32 : FloatKind::f16;
  return rows;
}

inline OutRows out_rows_of(mx::array& a) { return {a.data<char>(), kind_of(a), a.shape(-1)}; }

}  // namespace kr::ops
