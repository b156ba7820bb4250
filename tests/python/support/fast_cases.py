"""What the tests of krserve_mlx_ops share: references in float64, and random arrays."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

if importlib.util.find_spec("krserve_mlx_ops") is None:
    pytest.skip(
        "krserve_mlx_ops is not built (npx mlx-serving build-native)", allow_module_level=True
    )

# Not by way of the package under test, which would hide a module that is there and broken.
native: Any = importlib.import_module("krserve_mlx_ops")

ISAS = native.supported_isas()
DTYPES = (mx.float32, mx.float16, mx.bfloat16)
# Largest relative rounding of a result that is stored in that type.
ROUNDING = {mx.float32: 2**-24, mx.float16: 2**-11, mx.bfloat16: 2**-8}

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@contextmanager
def using(isa: str) -> Iterator[None]:
    before = native.isa()
    native.use_isa(isa)
    try:
        yield
    finally:
        native.use_isa(before)


def exact(array: mx.array) -> Numbers:
    """As float64, computed. Arrays of results are read this way too."""
    return np.array(array.astype(mx.float32)).astype(np.float64)


def bits_of(array: mx.array) -> bytes:
    return bytes(memoryview(mx.view(mx.contiguous(array), mx.uint8)))


def normal(seed: int, *shape: int, dtype: mx.Dtype = mx.float32, scale: float = 1.0) -> mx.array:
    numbers = np.random.default_rng(seed).normal(size=shape) * scale
    return mx.array(numbers.astype(np.float32)).astype(dtype)


def strided(array: mx.array, layout: str) -> mx.array:
    """The same numbers in memory of another order."""
    if layout == "dense":
        return array
    if layout == "transposed":
        return mx.contiguous(mx.swapaxes(array, -1, -2)).swapaxes(-1, -2)
    assert layout == "sliced"
    wider = mx.concatenate([array, array + 1], axis=-1)
    deeper = mx.concatenate([wider, wider - 1], axis=0)
    view = mx.contiguous(deeper)[: array.shape[0], ..., : array.shape[-1]]
    mx.eval(view)
    return view


LAYOUTS = ("dense", "transposed", "sliced")


def packed(weight: mx.array, scales: mx.array, biases: mx.array, group: int, bits: int) -> Any:
    store = native.MatrixStore(native.packed_bytes(weight, scales, biases, group, bits))
    return store.pack(weight, scales, biases, group, bits)


def quantized(
    seed: int, rows: int, cols: int, bits: int, group: int, dtype: mx.Dtype
) -> tuple[Any, Numbers]:
    """A packed matrix, and its numbers."""
    weight = normal(seed, rows, cols, dtype=dtype, scale=cols**-0.5)
    codes, scales, biases = mx.quantize(weight, group_size=group, bits=bits)
    parts = [scales.astype(mx.float32), biases.astype(mx.float32)]
    numbers = mx.dequantize(codes, *parts, group_size=group, bits=bits)
    return packed(codes, scales, biases, group, bits), exact(numbers)
