"""An encoder on krserve_mlx_ops: what follows a product is one pass, on all threads."""

from __future__ import annotations

from typing import cast

import mlx.core as mx

from ..fast.operations import native, scaled_dot_product_attention
from .encoder_operations import Affine, StockOperations


class FastOperations(StockOperations):
    """Implements `EncoderOperations`."""

    def __init__(self, tiles: bool) -> None:
        """`tiles`: attention may pack keys and values."""
        native.use_tiles(tiles)

    def project_gelu(self, x: mx.array, layer: Affine) -> mx.array:
        return cast(mx.array, native.add_gelu(x @ layer.weight.T, layer.bias))

    def project_norm(
        self, x: mx.array, layer: Affine, residual: mx.array, norm: Affine, epsilon: float
    ) -> mx.array:
        return cast(
            mx.array,
            native.add_layer_norm(x @ layer.weight.T, residual, layer.bias, *norm, epsilon),
        )

    def norm(self, x: mx.array, norm: Affine, epsilon: float) -> mx.array:
        return cast(mx.array, native.add_layer_norm(x, None, None, *norm, epsilon))

    def attend(
        self, q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | None
    ) -> mx.array:
        return scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
