// Quantized matrices, packed for the kernels.
#pragma once

#include <memory>
#include <optional>

#include "../compute/product.h"
#include "operation.h"

namespace kr::ops {

/// A packed matrix of [rows, cols] and the memory it lies in, which it may share with others.
struct Matrix {
  mx::array memory;
  PackedView view;
  mx::Dtype dtype;  // of the scales that it was made from
};
using MatrixPtr = std::shared_ptr<const Matrix>;

/// Memory for the matrices of a model, one after the other in the order of their use.
class MatrixStore {
 public:
  /// Reserves `bytes`, the sum of the matrices' packed_bytes.
  explicit MatrixStore(size_t bytes);

  /// Packs a matrix as mx.quantize gives it: weight [rows, cols * bits / 32] of uint32, scales and
  /// biases [rows, cols / group_size]. All are evaluated; none is needed afterwards.
  /// Throws std::invalid_argument if the shapes or types are not of that kind, or it is too large.
  MatrixPtr pack(const mx::array& weight, const mx::array& scales, const mx::array& biases,
                 int group_size, int bits);

  /// Bytes that the matrices take.
  size_t used() const { return next_ - first_; }

 private:
  mx::array memory_;
  size_t first_ = 0, next_ = 0;  // where matrices begin, and where the next one goes
};

/// Bytes that a matrix takes in a store. Evaluates scales and biases.
size_t packed_bytes(const mx::array& weight, const mx::array& scales, const mx::array& biases,
                    int group_size, int bits);

/// x . w^T + bias for x [..., cols] and w [rows, cols]; the result, [..., rows], has the type that
/// x and the matrix's scales promote to. bias: [rows].
mx::array linear(const mx::array& x, MatrixPtr w, const std::optional<mx::array>& bias);

/// Rows of the matrix as [..., cols] for ids [...] of an integer type; negative ids count from the
/// end, and ids beyond the matrix give zeros.
mx::array embedding(const mx::array& ids, MatrixPtr w);

}  // namespace kr::ops
