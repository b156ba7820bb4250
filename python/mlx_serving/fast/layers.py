"""Classes that take the place of MLX's quantized layers in a model that is loaded.

The parameters `weight`, `scales` and `biases` are gone from such a layer: its matrix is packed for
the kernels. What needs them, like further training, needs the model as it was.
"""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

from .operations import native


class FastQuantizedLinear(nn.QuantizedLinear):
    matrix: Any

    def __call__(self, x: mx.array) -> mx.array:
        return cast(mx.array, native.linear(x, self.matrix, self.get("bias")))


class FastQuantizedEmbedding(nn.QuantizedEmbedding):
    matrix: Any

    def __call__(self, x: mx.array) -> mx.array:
        return cast(mx.array, native.embedding(x, self.matrix))

    def as_linear(self, x: mx.array) -> mx.array:
        return cast(mx.array, native.linear(x, self.matrix))
