"""The 4-bit product against float64, and which kernel takes how many rows."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_serving.kernels import layers, products, swap
from mlx_serving.kernels.products import Matrix, Product

from kernel_cases import (
    TOLERANCES,
    Holder,
    assert_close,
    exact_product,
    needs_cuda,
    quantized,
    random,
    wide,
)


def matrix(n: int, k: int, group_size: int, dtype: mx.Dtype, seed: int = 5) -> Matrix:
    return Matrix(*mx.quantize(random(n, k, dtype=dtype, seed=seed), group_size=group_size, bits=4))


@pytest.mark.parametrize(
    ("tiles", "rows"),
    [(1, 1), (1, 8), (2, 9), (2, 16), (4, 17), (4, 32), (8, 33), (8, 64), (8, 500)],
)
def test_rows_take_the_smallest_kernel(tiles: int, rows: int) -> None:
    assert products.tiles_of(rows) == tiles


@pytest.mark.parametrize(
    ("fits", "n", "k", "bits", "group_size", "mode"),
    [
        (True, 4096, 4096, 4, 64, "affine"),
        (True, 16, 128, 4, 32, "affine"),
        (True, 1040, 256, 4, 128, "affine"),
        (False, 4096, 4096, 8, 64, "affine"),
        (False, 4096, 4096, 4, 64, "mxfp4"),
        (False, 4096, 576, 4, 64, "affine"),
        (False, 4096, 128, 4, 128, "affine"),
        (False, 8, 4096, 4, 64, "affine"),
    ],
)
def test_which_matrices_fit(
    fits: bool, n: int, k: int, bits: int, group_size: int, mode: str
) -> None:
    assert products.fits(n, k, bits, group_size, mode) == fits


SIZES = [1024, 4096, 6144, 14336, 28672, 128256]


@pytest.mark.parametrize("rows", [1, 8, 16, 32, 64, 400])
@pytest.mark.parametrize("k", [1024, 4096, 14336])
def test_plans_fit_a_block(rows: int, k: int) -> None:
    for n in SIZES:
        shape, split = layers.plan(rows, n, k)
        assert shape.shared_bytes(products.tiles_of(rows), 32) <= 227 * 1024
        assert 1 <= split <= 4
        assert shape.threads <= 256


@needs_cuda
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 31, 32, 33, 64, 65, 200])
@pytest.mark.parametrize(
    ("sizes", "k", "group_size", "dtype"),
    [
        ((512, 128, 128), 512, 64, mx.bfloat16),
        ((528,), 1024, 32, mx.float16),
        ((304, 304), 768, 128, mx.bfloat16),
    ],
    ids=str,
)
def test_product(
    rows: int, sizes: tuple[int, ...], k: int, group_size: int, dtype: mx.Dtype
) -> None:
    matrices = [matrix(n, k, group_size, dtype, seed) for seed, n in enumerate(sizes)]
    x = random(rows, k, dtype=dtype, seed=9)
    shape, _ = layers.plan(rows, sum(sizes), k)
    for split in (1, 3):
        found = Product(matrices, group_size, lambda *_, split=split: (shape, split))(x)
        for out, of in zip(found, matrices, strict=True):
            assert out.dtype == dtype
            assert_close(out, exact_product(x, of, group_size), TOLERANCES[dtype] / 2)


@needs_cuda
@pytest.mark.parametrize("rows", [1, 5, 64, 600])
def test_layer_on_cuda(rows: int) -> None:
    layer = quantized(256, 512, bias=True)
    x = random(rows, 1, 256, dtype=mx.bfloat16)
    expected = exact_product(x, Matrix(layer.weight, layer.scales, layer.biases), 64)
    swap.swap(holder := Holder(layer))
    assert type(holder.layer) is layers.FewRowsLinear
    assert_close(holder.layer(x), expected + wide(layer.bias), 1.6e-2)
