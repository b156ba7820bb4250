// The Python module `krserve_mlx_ops`. What the functions mean is said in the headers.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "attention.h"
#include "block.h"
#include "matrix.h"
#include "rowwise.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace kr::ops {
namespace {

void bind_matrices(nb::module_& m) {
  nb::class_<Matrix>(m, "Matrix")
      .def_prop_ro("shape",
                   [](const Matrix& w) { return std::make_pair(w.view.rows, w.view.cols); })
      .def_prop_ro("bits", [](const Matrix& w) { return w.view.bits; })
      .def_prop_ro("group_size", [](const Matrix& w) { return w.view.group; })
      .def_prop_ro("nbytes", [](const Matrix& w) { return w.view.bytes(); });
  nb::class_<MatrixStore>(m, "MatrixStore")
      .def(nb::init<size_t>(), "nbytes"_a)
      .def("pack", &MatrixStore::pack, "weight"_a, "scales"_a, "biases"_a, "group_size"_a, "bits"_a)
      .def_prop_ro("used", &MatrixStore::used);
  m.def("packed_bytes", &packed_bytes, "weight"_a, "scales"_a, "biases"_a, "group_size"_a,
        "bits"_a);
  m.def("linear", &linear, "x"_a, "matrix"_a, "bias"_a = nb::none());
  m.def("embedding", &embedding, "ids"_a, "matrix"_a);
}

std::shared_ptr<const Rotary> make_rotary(std::vector<double> turns, bool traditional,
                                          float magnitude) {
  return std::make_shared<const Rotary>(
      Rotary{2 * int(turns.size()), traditional, magnitude, std::move(turns)});
}

void bind_rowwise(nb::module_& m) {
  m.def("rms_norm", &rms_norm, "x"_a, "weight"_a.none(), "eps"_a);
  m.def("swiglu", &swiglu, "gate"_a, "up"_a);
  nb::class_<Rotary>(m, "Rotary")
      .def_ro("dims", &Rotary::dims)
      .def(
          "__call__",
          [](std::shared_ptr<const Rotary> r, const mx::array& x, const Offset& offset) {
            return rotate(x, r, offset);
          },
          "x"_a, "offset"_a = int64_t{0});
  m.def("rotary", &make_rotary, "turns"_a, "traditional"_a = false, "magnitude"_a = 1.0f);
}

void bind_blocks(nb::module_& m) {
  nb::class_<Norm>(m, "Norm").def(
      "__init__",
      [](Norm* n, std::vector<float> weight, float eps) { new (n) Norm{std::move(weight), eps}; },
      "weight"_a, "eps"_a);
  nb::class_<Projection>(m, "Projection")
      .def(
          "__init__",
          [](Projection* p, std::vector<MatrixPtr> matrices, std::vector<float> bias) {
            new (p) Projection{std::move(matrices), std::move(bias)};
          },
          "matrices"_a, "bias"_a = std::vector<float>());
  nb::class_<Block>(m, "Block")
      .def(
          "enter",
          [](const BlockPtr& b, const mx::array& x, const Offset& offset) {
            Arrays out = enter_block(b, x, offset);
            return std::make_tuple(out[0], out[1], out[2]);
          },
          "x"_a, "offset"_a)
      .def("leave", &leave_block, "x"_a, "q"_a, "k"_a, "v"_a, "mask"_a.none());
  m.def(
      "block",
      [](int heads, int kv_heads, int head_dim, float scale, std::shared_ptr<const Rotary> rotary,
         Norm input_norm, Norm output_norm, Norm q_norm, Norm k_norm, Projection qkv,
         Projection out, Projection gate_up, Projection down) {
        auto block = std::make_shared<const Block>(
            Block{heads, kv_heads, head_dim, scale, std::move(rotary), std::move(input_norm),
                  std::move(output_norm), std::move(q_norm), std::move(k_norm), std::move(qkv),
                  std::move(out), std::move(gate_up), std::move(down)});
        block->check();
        return block;
      },
      nb::kw_only(), "heads"_a, "kv_heads"_a, "head_dim"_a, "scale"_a, "rotary"_a.none(),
      "input_norm"_a, "output_norm"_a, "q_norm"_a, "k_norm"_a, "qkv"_a, "out"_a, "gate_up"_a,
      "down"_a);
}

}  // namespace
}  // namespace kr::ops

NB_MODULE(krserve_mlx_ops, m) {
  using namespace kr::ops;
  m.attr("__version__") = KR_VERSION;
  m.attr("mlx_version") = KR_MLX_VERSION;
  m.def("isa", [] { return kernels().name; });
  m.def("supported_isas", &supported_isas);
  m.def("use_isa", &use_isa, "name"_a);
  m.def("threads", [] { return Pool::shared().size(); });
  bind_matrices(m);
  bind_rowwise(m);
  bind_blocks(m);
  m.def("can_attend", &can_attend, "q"_a, "k"_a, "v"_a);
  m.def("attention", &attention, "q"_a, "k"_a, "v"_a, "scale"_a, "mask"_a = nb::none());
}
