"""Classes that take the place of MLX's quantized layers on CUDA. Parameters stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from . import products
from .products import MATRICES_MAX, Matrix, Product, Shape

# Below, MLX's own: its kernel takes the GPU longer, but the host, on which such a step waits, less.
FEW_ROWS_MIN: Final = 3
# From here on the matrix is dequantized as a whole and multiplied by MLX's dense product.
DENSE_ROWS_MIN: Final = 192

# Measured, see docs/decisions/0010-gpu-kernels.md.
_TALL: Final = Shape(warps_n=2, warps_k=4, tiles=1, stages=4)
_NARROW: Final = Shape(warps_n=4, warps_k=2, tiles=1, stages=4)
_MEDIUM: Final = Shape(warps_n=8, warps_k=1, tiles=1, stages=4)
_BROAD: Final = Shape(warps_n=4, warps_k=1, tiles=2, stages=4)
_BROADEST: Final = Shape(warps_n=8, warps_k=1, tiles=2, stages=3)
_BROAD_OUT_MIN: Final = 16384
_LONG_IN_MIN: Final = 8192
_BLOCKS_WANTED: Final = 132
_SPLIT_MAX: Final = 4


def plan(rows: int, n: int, k: int) -> tuple[Shape, int]:
    """How a product is divided, and in how many parts along k, which cost a kernel to add up."""
    tiles = products.tiles_of(rows)
    if tiles == 1:
        if n > _LONG_IN_MIN or k > _LONG_IN_MIN:
            return _NARROW, _SPLIT_MAX if n <= _LONG_IN_MIN // 2 else 1
        return (_TALL, 1) if n <= _LONG_IN_MIN // 2 else (_NARROW, 1)
    if n >= _BROAD_OUT_MIN and tiles > 2:
        return _BROAD if tiles == 4 else _BROADEST, 1
    split = 1
    while -(-n // _MEDIUM.rows) * split * 2 <= _BLOCKS_WANTED and split < _SPLIT_MAX:
        split *= 2
    return _MEDIUM, split


def product_of(layers: Sequence[Any]) -> Product:
    """Of quantized layers that fit together."""
    matrices = [Matrix(layer.weight, layer.scales, layer.biases) for layer in layers]
    return Product(matrices, layers[0].group_size, plan)


def is_few(x: mx.array, product: Product) -> bool:
    """Whether the kernel is the one for these rows."""
    few = FEW_ROWS_MIN * product.width <= x.size < DENSE_ROWS_MIN * product.width
    return few and x.dtype == product.dtype


def multiply_many(x: mx.array, layer: Any) -> mx.array:
    """`x` times the layer's transposed matrix, for the rows and types that the kernel isn't for."""
    if x.size == 0:  # MLX's product divides by the number of rows
        return mx.zeros((*x.shape[:-1], layer.weight.shape[0]), dtype=x.dtype)
    matrix = (layer.weight, layer.scales, layer.biases)
    options = {"group_size": layer.group_size, "bits": layer.bits}
    if x.dtype != layer.scales.dtype or x.size < DENSE_ROWS_MIN * x.shape[-1]:
        return mx.quantized_matmul(x, *matrix, transpose=True, **options)
    return x @ mx.dequantize(*matrix, **options).T


class Siblings:
    """Layers that a module calls one after the other with the same input, like those of queries,
    keys and values: the first call computes all, the others take what is theirs."""

    MISSES_MAX: Final = 3

    def __init__(self, layers: Sequence[Any]) -> None:
        self._ids = [id(layer) for layer in layers]
        self._product = product_of(layers)
        self._input: mx.array | None = None
        self._waiting: dict[int, mx.array] = {}
        self._misses = 0

    @property
    def are_apart(self) -> bool:
        """Their inputs turned out to differ."""
        return self._misses >= self.MISSES_MAX

    def multiply(self, x: mx.array, layer: Any) -> mx.array:
        if self._input is not x or id(layer) not in self._waiting:
            # Whatever waits was for nothing.
            self._misses = self._misses + 1 if self._waiting else 0
            self._input = x
            self._waiting = dict(zip(self._ids, self._product(x), strict=True))
        out = self._waiting.pop(id(layer))
        if not self._waiting:
            self._input = None
        return out


class FewRowsLinear(nn.QuantizedLinear):
    product: Product
    siblings: Siblings | None

    def __call__(self, x: mx.array) -> mx.array:
        siblings = self.siblings
        if not is_few(x, self.product):
            out = multiply_many(x, self)
        elif siblings is None or siblings.are_apart:
            (out,) = self.product(x)
        else:
            out = siblings.multiply(x, self)
        return out + self.bias if "bias" in self else out


class FewRowsEmbedding(nn.QuantizedEmbedding):
    product: Product
    siblings: Siblings | None

    def as_linear(self, x: mx.array) -> mx.array:
        return self.product(x)[0] if is_few(x, self.product) else multiply_many(x, self)


CLASSES: Final[dict[type, type]] = {
    nn.QuantizedLinear: FewRowsLinear,
    nn.QuantizedEmbedding: FewRowsEmbedding,
}


def in_features(layer: Any) -> int:
    return int(layer.weight.shape[1] * 32 // layer.bits)


def fits(layer: Any) -> bool:
    weight = layer.get("weight")
    if weight is None or layer.get("biases") is None or weight.ndim != 2:
        return False
    if layer.scales.dtype not in products.DTYPES or layer.biases.dtype != layer.scales.dtype:
        return False
    return products.fits(
        weight.shape[0], in_features(layer), layer.bits, layer.group_size, layer.mode
    )


def fit_together(layers: Sequence[Any]) -> bool:
    """Whether one kernel can compute them all."""
    kinds = {(in_features(layer), layer.group_size, layer.scales.dtype) for layer in layers}
    return 1 < len(layers) <= MATRICES_MAX and len(kinds) == 1
