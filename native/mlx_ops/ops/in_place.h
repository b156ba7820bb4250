// Operations that write into the memory of their inputs, where nothing else uses it.
#pragma once

#include <memory>
#include <utility>

#include "operation.h"

namespace kr::ops {

/// An output that takes over the memory of an input of the same shape and type.
struct Takeover {
  int input, output;
};

/// Makes `out` take over the memory of `in`, or gives it memory of its own, which then has to get a
/// copy: returns whether. The last axis of `out` is contiguous.
bool take_over(const mx::array& in, mx::array& out);

/// Every output of an operation refers to its inputs. That is over for all but `inputs` itself, which
/// is one output's, unless a transformation still needs the graph.
void drop_inputs_but(const Arrays& inputs, Arrays& outputs);

/// Say that an operation that took over a memory is queued, and that its work is done.
void took_over(const void* memory);
void left(const void* memory);

/// Copies an array to one of dense rows.
void copy_into(const Rows& from, char* to);

/// As `operation`, with outputs that take over inputs' memory.
///
/// MLX tells by counting references whether an input's memory is free to be used again, and counts
/// those of operations that are still under way. Where steps are queued one behind the other that
/// is the rule, though the earlier step will have ended before the later one begins, since they
/// share a stream. So take_over waits until it has.
template <class Prepare>
class InPlaceOperation : public mx::Primitive {
 public:
  InPlaceOperation(mx::Stream stream, const char* name, std::vector<Takeover> takeovers,
                   Prepare prepare)
      : mx::Primitive(stream),
        name_(name),
        takeovers_(std::move(takeovers)),
        prepare_(std::move(prepare)) {}

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    auto& encoder = mx::cpu::get_command_encoder(stream());
    drop_inputs_but(inputs, outputs);
    std::vector<bool> taken(outputs.size());
    std::vector<const void*> memories;
    for (const Takeover& t : takeovers_) {
      mx::array& out = outputs[t.output];
      taken[t.output] = true;
      if (!take_over(inputs[t.input], out))
        encoder.dispatch(
            [from = byte_rows_of(inputs[t.input]), to = out.data<char>()] { copy_into(from, to); });
      memories.push_back(out.buffer().ptr());
      took_over(memories.back());
    }
    for (size_t i = 0; i < outputs.size(); i++)
      if (!taken[i]) outputs[i].set_data(mx::allocator::malloc(outputs[i].nbytes()));
    encoder.dispatch([work = prepare_(inputs, outputs), memories = std::move(memories)] {
      work();
      for (const void* memory : memories) left(memory);
    });
  }
  void eval_gpu(const Arrays&, Arrays&) override {
    throw std::runtime_error(std::string(name_) + " runs on the CPU alone");
  }
  const char* name() const override { return name_; }

 private:
  const char* name_;
  std::vector<Takeover> takeovers_;
  Prepare prepare_;
};

template <class Prepare>
Arrays in_place_operation(const char* name, std::vector<mx::Shape> shapes,
                          std::vector<mx::Dtype> dtypes, Arrays inputs,
                          std::vector<Takeover> takeovers, Prepare prepare) {
  auto primitive = std::make_shared<InPlaceOperation<Prepare>>(
      cpu_stream(), name, std::move(takeovers), std::move(prepare));
  return mx::array::make_arrays(std::move(shapes), dtypes, std::move(primitive), inputs);
}

}  // namespace kr::ops
