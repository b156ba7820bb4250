// The Python module `krserve_mlx_ops`. What the functions mean is said in the headers.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "attention.h"
#include "block.h"
#include "kv_rows.h"
#include "matrix.h"
#include "rowwise.h"
#include "sampling.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace kr::ops {
namespace {

/// What Python holds. A shared_ptr that nanobind makes of a Python object holds that object, and
/// dropping it takes Python's lock: on MLX's own threads that could block them, or kill the process
/// at its end.
template <class T>
struct Handle {
  std::shared_ptr<const T> value;
};

void bind_matrices(nb::module_& m) {
  using Matrices = Handle<Matrix>;
  nb::class_<Matrices>(m, "Matrix")
      .def_prop_ro(
          "shape",
          [](const Matrices& w) { return std::make_pair(w.value->view.rows, w.value->view.cols); })
      .def_prop_ro("bits", [](const Matrices& w) { return w.value->view.bits; })
      .def_prop_ro("group_size", [](const Matrices& w) { return w.value->view.group; })
      .def_prop_ro("nbytes", [](const Matrices& w) { return w.value->view.bytes(); });
  nb::class_<MatrixStore>(m, "MatrixStore")
      .def(nb::init<size_t>(), "nbytes"_a)
      .def(
          "pack",
          [](MatrixStore& store, const mx::array& weight, const mx::array& scales,
             const mx::array& biases, int group_size,
             int bits) { return Matrices{store.pack(weight, scales, biases, group_size, bits)}; },
          "weight"_a, "scales"_a, "biases"_a, "group_size"_a, "bits"_a)
      .def_prop_ro("used", &MatrixStore::used);
  m.def("packed_bytes", &packed_bytes, "weight"_a, "scales"_a, "biases"_a, "group_size"_a,
        "bits"_a);
  m.def(
      "linear",
      [](const mx::array& x, const Matrices& w, const std::optional<mx::array>& bias) {
        return linear(x, w.value, bias);
      },
      "x"_a, "matrix"_a, "bias"_a = nb::none());
  m.def(
      "embedding", [](const mx::array& ids, const Matrices& w) { return embedding(ids, w.value); },
      "ids"_a, "matrix"_a);
}

void bind_rowwise(nb::module_& m) {
  using Rotaries = Handle<Rotary>;
  m.def("rms_norm", &rms_norm, "x"_a, "weight"_a.none(), "eps"_a);
  m.def("add_layer_norm", &add_layer_norm, "x"_a, "addend"_a.none(), "shift"_a.none(), "weight"_a,
        "bias"_a, "eps"_a);
  m.def("add_gelu", &add_gelu, "x"_a, "shift"_a.none());
  m.def("swiglu", &swiglu, "gate"_a, "up"_a);
  nb::class_<Rotaries>(m, "Rotary")
      .def(
          "__init__",
          [](Rotaries* r, std::vector<double> turns, bool traditional, float magnitude) {
            const int dims = 2 * int(turns.size());
            new (r) Rotaries{std::make_shared<const Rotary>(
                Rotary{dims, traditional, magnitude, std::move(turns)})};
          },
          "turns"_a, "traditional"_a = false, "magnitude"_a = 1.0f)
      .def_prop_ro("dims", [](const Rotaries& r) { return r.value->dims; })
      .def(
          "__call__",
          [](const Rotaries& r, const mx::array& x, const Offset& offset) {
            return rotate(x, r.value, offset);
          },
          "x"_a, "offset"_a = int64_t{0});
}

void bind_attention(nb::module_& m) {
  m.def("can_attend", &can_attend, "q"_a, "k"_a, "v"_a);
  m.def("attention", &attention, "q"_a, "k"_a, "v"_a, "scale"_a, "mask"_a = nb::none());
  m.def("attention_on_codes", &attention_on_codes, "q"_a, "k"_a, "v"_a, "scale"_a,
        "mask"_a = nb::none(), nb::kw_only(), "group_size"_a, "bits"_a);
  m.def(
      "use_tiles",
      [](bool use, bool always) {
        use_tiles(!use ? Tiles::never : always ? Tiles::always : Tiles::where_they_gain);
      },
      "use"_a, "always"_a = false);
  m.def("uses_tiles", &uses_tiles);
}

/// A projection as Python gives it: matrices that are kept, and a bias.
struct Parts {
  std::vector<Handle<Matrix>> matrices;
  std::vector<float> bias;

  Projection projection(std::vector<MatrixPtr>& kept) const {
    Projection p;
    p.bias = bias;
    for (const auto& w : matrices) {
      p.matrices.push_back(w.value->view);
      kept.push_back(w.value);
    }
    return p;
  }
};

BlockPtr make_block(BlockConstants constants, const Parts& qkv, const Parts& out,
                    const Parts& gate_up, const Parts& down) {
  std::vector<MatrixPtr> matrices;
  constants.qkv = qkv.projection(matrices);
  constants.out = out.projection(matrices);
  constants.gate_up = gate_up.projection(matrices);
  constants.down = down.projection(matrices);
  if (const char* problem = constants.problem()) throw std::invalid_argument(problem);
  return std::make_shared<const Block>(Block{std::move(constants), std::move(matrices)});
}

void bind_blocks(nb::module_& m) {
  using Blocks = Handle<Block>;
  nb::class_<Norm>(m, "Norm").def(
      "__init__",
      [](Norm* n, std::vector<float> weight, float eps) { new (n) Norm{std::move(weight), eps}; },
      "weight"_a, "eps"_a);
  nb::class_<Parts>(m, "Projection")
      .def(
          "__init__",
          [](Parts* p, std::vector<Handle<Matrix>> matrices, std::vector<float> bias) {
            new (p) Parts{std::move(matrices), std::move(bias)};
          },
          "matrices"_a, "bias"_a = std::vector<float>());
  nb::class_<Blocks>(m, "Block")
      .def(
          "__init__",
          [](Blocks* b, int heads, int kv_heads, int head_dim, float scale,
             const Handle<Rotary>* rotary, const Norm& input_norm, const Norm& output_norm,
             const Norm& q_norm, const Norm& k_norm, const Parts& qkv, const Parts& out,
             const Parts& gate_up, const Parts& down) {
            BlockConstants constants{
                heads,      kv_heads,    head_dim, scale,  rotary ? rotary->value : nullptr,
                input_norm, output_norm, q_norm,   k_norm, {},
                {},         {},          {}};
            new (b) Blocks{make_block(std::move(constants), qkv, out, gate_up, down)};
          },
          nb::kw_only(), "heads"_a, "kv_heads"_a, "head_dim"_a, "scale"_a, "rotary"_a.none(),
          "input_norm"_a, "output_norm"_a, "q_norm"_a, "k_norm"_a, "qkv"_a, "out"_a, "gate_up"_a,
          "down"_a)
      .def(
          "dtype_for", [](const Blocks& b, const mx::array& x) { return b.value->dtype_for(x); },
          "x"_a)
      .def(
          "enter",
          [](const Blocks& b, const mx::array& x, const Offset& offset) {
            Arrays out = enter_block(b.value, x, offset);
            return std::make_tuple(out[0], out[1], out[2]);
          },
          "x"_a, "offset"_a)
      .def(
          "leave",
          [](const Blocks& b, const mx::array& x, const mx::array& q, const mx::array& k,
             const mx::array& v,
             const Mask& mask) { return leave_block(b.value, x, q, k, v, mask); },
          "x"_a, "q"_a, "k"_a, "v"_a, "mask"_a.none())
      .def(
          "step",
          [](const Blocks& b, const mx::array& x, const mx::array& keys, const mx::array& values,
             int start, const Offset& offset, const Mask& mask) {
            Arrays out = step_block(b.value, x, keys, values, start, offset, mask);
            Offset next =
                out.size() > 3 ? Offset(out[3]) : Offset(offset_number(offset) + x.shape(1));
            return std::make_tuple(out[0], out[1], out[2], std::move(next));
          },
          "x"_a, "keys"_a, "values"_a, "start"_a, "offset"_a, "mask"_a.none())
      .def(
          "step_on_codes",
          [](const Blocks& b, const mx::array& x, const Arrays& keys, const Arrays& values,
             int group_size, int bits, int start, const Offset& offset, const Mask& mask) {
            Arrays out = step_block_on_codes(b.value, x, keys, values, group_size, bits, start,
                                             offset, mask);
            Offset next =
                out.size() > 7 ? Offset(out[7]) : Offset(offset_number(offset) + x.shape(1));
            return std::make_tuple(out[0], Arrays(out.begin() + 1, out.begin() + 4),
                                   Arrays(out.begin() + 4, out.begin() + 7), std::move(next));
          },
          "x"_a, "keys"_a, "values"_a, "group_size"_a, "bits"_a, "start"_a, "offset"_a,
          "mask"_a.none());
}

void bind_rows(nb::module_& m) {
  using Blocks = Handle<Block>;
  using Pieces = Handle<KvPieces>;
  nb::class_<Pieces>(m, "KvPieces")
      .def(
          "__init__",
          [](Pieces* p, Arrays keys, Arrays values, const std::vector<int>& tokens) {
            new (p) Pieces{kv_pieces(std::move(keys), std::move(values), tokens)};
          },
          "keys"_a, "values"_a, "tokens"_a)
      .def_prop_ro("tokens", [](const Pieces& p) { return p.value->tokens; });
  m.def(
      "step_rows",
      [](const Blocks& b, const mx::array& x, const std::vector<const Pieces*>& pieces,
         const Arrays& keys, const Arrays& values, const std::vector<int>& used) {
        KvRows rows{{}, keys, values, used};
        for (const Pieces* one : pieces) rows.pieces.push_back(one ? one->value : nullptr);
        Arrays out = step_block_rows(b.value, x, rows);
        const auto behind = out.begin() + 1 + std::ptrdiff_t(keys.size());
        return std::make_tuple(out[0], Arrays(out.begin() + 1, behind), Arrays(behind, out.end()));
      },
      "block"_a, "x"_a, "pieces"_a, "keys"_a, "values"_a, "used"_a);
}

void bind_sampling(nb::module_& m) {
  nb::class_<Draw>(m, "Draw").def(
      "__init__",
      [](Draw* d, float temperature, int top_k, float top_p, float min_p, float uniform) {
        new (d) Draw{temperature, top_k, top_p, min_p, uniform};
      },
      "temperature"_a = 1.0f, "top_k"_a = 0, "top_p"_a = 1.0f, "min_p"_a = 0.0f,
      "uniform"_a = 0.0f);
  m.def("sample", &sample, "logits"_a, "draws"_a);
  m.def("sample_masked", &sample_masked, "logits"_a, "draws"_a, "masks"_a, "mask_of_row"_a);
  m.def("log_softmax", &log_softmax, "logits"_a);
  m.def(
      "top_logprobs",
      [](const mx::array& logits, const mx::array& tokens, int top) {
        Arrays out = top_logprobs(logits, tokens, top);
        return std::make_tuple(out[0], out[1], out[2]);
      },
      "logits"_a, "tokens"_a, "top"_a);
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
  bind_attention(m);
  bind_blocks(m);
  bind_rows(m);
  bind_sampling(m);
}
