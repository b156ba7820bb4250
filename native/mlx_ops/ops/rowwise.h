// Norms, activations and the rotary embedding as operations.
#pragma once

#include <memory>
#include <variant>

#include "../compute/rotary.h"
#include "operation.h"

namespace kr::ops {

/// x / sqrt(mean(x^2) + eps) * weight over the last axis, as mx.fast.rms_norm.
mx::array rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps);

/// (s - mean(s)) / sqrt(variance(s) + eps) * weight + bias over the last axis, where s is x and
/// what is added to it: an array of its shape, and one for all of its rows.
mx::array add_layer_norm(const mx::array& x, const std::optional<mx::array>& addend,
                         const std::optional<mx::array>& shift, const mx::array& weight,
                         const mx::array& bias, float eps);

/// s / 2 * (1 + erf(s / sqrt(2))), where s is x plus a shift for all of its rows.
mx::array add_gelu(const mx::array& x, const std::optional<mx::array>& shift);

/// silu(gate) * up for two arrays of one shape.
mx::array swiglu(const mx::array& gate, const mx::array& up);

/// A position for all rows of a batch, or an array of one or of one per row.
using Offset = std::variant<int64_t, mx::array>;

/// Offsets as an input of an operation, if they are an array: of int32.
std::optional<mx::array> offsets_input(const Offset& offset, int batch);
/// What an operation remembers of the offset beside that input.
int64_t offset_number(const Offset& offset);
Positions positions_of(int64_t offset, const mx::array* input);

/// Rotates x [batch, heads, length, head_dim]; the token l of row b is at offset[b] + l.
mx::array rotate(const mx::array& x, std::shared_ptr<const Rotary> rotary, const Offset& offset);

}  // namespace kr::ops
