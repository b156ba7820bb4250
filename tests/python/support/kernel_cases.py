"""What the tests of the GPU kernels share: cases, references in float64, tolerances."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_serving.kernels import device
from mlx_serving.kernels.products import Matrix

BACKEND = device.backend()
needs_cuda = pytest.mark.skipif(BACKEND != "cuda", reason="needs a CUDA GPU")

DTYPES = [mx.float32, mx.float16, mx.bfloat16]
TOLERANCES = {mx.float32: 2e-6, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}
EPS = 1e-5


def random(*shape: int, dtype: mx.Dtype = mx.float32, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype)


def wide(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32)).astype(np.float64)


def assert_close(found: mx.array, expected: np.ndarray, tolerance: float) -> None:
    assert tuple(found.shape) == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(wide(found), expected, rtol=0, atol=tolerance * scale)


def quantized(inputs: int, outputs: int, bias: bool = False) -> nn.QuantizedLinear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    layer.set_dtype(mx.bfloat16)
    return layer.to_quantized(group_size=64, bits=4)


class Holder(nn.Module):
    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        for name, child in zip(("layer", "second", "third"), children, strict=False):
            setattr(self, name, child)


def exact_product(x: mx.array, of: Matrix, group_size: int) -> np.ndarray:
    return wide(x) @ wide(mx.dequantize(*of, group_size=group_size, bits=4)).T
