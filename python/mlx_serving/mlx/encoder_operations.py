"""What an encoder computes: products with what follows each of them, and attention to both sides.

Each is one step, so that an implementation may do in one pass over memory what it can.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol

import mlx.core as mx


class Affine(NamedTuple):
    """A layer, weight [out, in], or the scale of a norm, [width]; and a bias for each output."""

    weight: mx.array
    bias: mx.array


class EncoderOperations(Protocol):
    def project(self, x: mx.array, layer: Affine) -> mx.array: ...

    def project_gelu(self, x: mx.array, layer: Affine) -> mx.array:
        """GELU with the error function itself, of what the layer makes of x."""
        ...

    def project_norm(
        self, x: mx.array, layer: Affine, residual: mx.array, norm: Affine, epsilon: float
    ) -> mx.array:
        """The layer norm of what the layer makes of x, and the residual."""
        ...

    def norm(self, x: mx.array, norm: Affine, epsilon: float) -> mx.array: ...

    def attend(
        self, q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | None
    ) -> mx.array:
        """softmax(scale q k^T) v of [rows, heads, tokens, head]; true in a mask: is seen."""
        ...


class StockOperations:
    """Of MLX. Implements `EncoderOperations`."""

    def project(self, x: mx.array, layer: Affine) -> mx.array:
        return mx.addmm(layer.bias, x, layer.weight.T)

    def project_gelu(self, x: mx.array, layer: Affine) -> mx.array:
        return _gelu(self.project(x, layer))

    def project_norm(
        self, x: mx.array, layer: Affine, residual: mx.array, norm: Affine, epsilon: float
    ) -> mx.array:
        return self.norm(self.project(x, layer) + residual, norm, epsilon)

    def norm(self, x: mx.array, norm: Affine, epsilon: float) -> mx.array:
        return mx.fast.layer_norm(x, norm.weight, norm.bias, epsilon)

    def attend(
        self, q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | None
    ) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)


# The error function as a quotient of polynomials, lowest power last: Eigen's and XLA's for float32,
# off by 4e-7 at most, as mx.erf is. On a CPU that takes exp of one number after another, which is
# five times as long.
_ERF_ABOVE: Final = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_BELOW: Final = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_ERF_LARGEST: Final = 3.832506856900711
"""From there on it is 1."""


def erf(x: mx.array) -> mx.array:
    x = mx.clip(x, -_ERF_LARGEST, _ERF_LARGEST)
    square = x * x
    return x * _polynomial(_ERF_ABOVE, square) / _polynomial(_ERF_BELOW, square)


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    first, *others = coefficients
    value = mx.array(first)
    for coefficient in others:
        value = value * x + coefficient
    return value


@mx.compile
def _gelu(x: mx.array) -> mx.array:
    return x * (1 + erf(x * math.sqrt(0.5))) * 0.5
