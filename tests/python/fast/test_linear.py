"""The quantized product and the embedding against float64."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from fast_cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    ROUNDING,
    bits_of,
    exact,
    native,
    normal,
    packed,
    quantized,
    strided,
    using,
)

# Codes of 16 bits in groups of 32: half a step of 1 / 32512 of a group's largest element, for all
# of its elements at worst. The sums are float32.
TOLERANCE = 2e-5
BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)


def assert_close(y: mx.array, x: mx.array, w: np.ndarray, scales_dtype: mx.Dtype) -> None:
    wanted = exact(x) @ w.T
    size = np.linalg.norm(exact(x), axis=-1, keepdims=True) * np.linalg.norm(w, axis=-1)
    rounding = ROUNDING[y.dtype]
    assert y.dtype == mx.result_type(x, mx.array(0, dtype=scales_dtype))
    assert (np.abs(exact(y) - wanted) <= TOLERANCE * size + rounding * np.abs(wanted)).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("bits", BITS)
def test_product_of_any_shape(isa: str, bits: int, group: int) -> None:
    with using(isa):
        for rows, cols in ((1, 128), (15, 256), (16, 128), (17, 384), (50, 128)):
            w, numbers = quantized(rows, rows, cols, bits, group, mx.float32)
            for count in (1, 2, 3, 4, 5, 7, 8, 9, 17):
                x = normal(count, count, cols)
                assert_close(native.linear(x, w), x, numbers, mx.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scales", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_of_any_types(isa: str, dtype: mx.Dtype, scales: mx.Dtype) -> None:
    with using(isa):
        for bits in (4, 8):
            w, numbers = quantized(bits, 33, 192, bits, 64, scales)
            x = normal(5, 2, 3, 192, dtype=dtype)
            y = native.linear(x, w)
            assert y.shape == (2, 3, 33)
            assert_close(y, x, numbers, scales)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_of_any_strides(isa: str, layout: str, dtype: mx.Dtype) -> None:
    with using(isa):
        w, numbers = quantized(1, 20, 64, 4, 32, mx.float32)
        x = strided(normal(2, 3, 5, 64, dtype=dtype), layout)
        assert_close(native.linear(x, w), x, numbers, mx.float32)


@pytest.mark.parametrize("isa", ISAS)
def test_more_rows_than_one_block_of_them(isa: str) -> None:
    with using(isa):
        w, numbers = quantized(1, 40, 128, 4, 32, mx.float32)
        x = normal(2, 523, 128, dtype=mx.float16)
        assert_close(native.linear(x, w), x, numbers, mx.float32)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_of_very_different_size(isa: str) -> None:
    with using(isa):
        w, numbers = quantized(1, 24, 128, 8, 32, mx.float32)
        sizes = mx.array([1e-30, 1e-12, 1.0, 1e12, 1e30])[:, None]
        x = normal(2, 5, 128) * sizes
        assert_close(native.linear(x, w), x, numbers, mx.float32)
        assert (exact(native.linear(mx.zeros((3, 128)), w)) == 0).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_spoils_its_row_alone(isa: str, bad: float) -> None:
    with using(isa):
        w, _ = quantized(1, 24, 128, 4, 32, mx.float32)
        x = normal(2, 3, 128)
        x[1, 70] = bad
        y = exact(native.linear(x, w))
        assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [4, 8])
def test_a_row_is_the_same_in_any_batch(isa: str, bits: int) -> None:
    with using(isa):
        w, _ = quantized(1, 70, 576, bits, 32, mx.float32)
        x = normal(2, 300, 576)
        together = native.linear(x, w)
        for row in (0, 1, 7, 8, 130, 299):
            alone = native.linear(x[row : row + 1], w)
            assert bits_of(alone) == bits_of(together[row : row + 1])


def test_vector_instruction_sets_agree_to_the_bit() -> None:
    w, _ = quantized(1, 70, 576, 4, 32, mx.float32)
    x = normal(2, 9, 576)
    results = set()
    for isa in ISAS:
        if isa != "scalar":  # which has no fused multiply-add
            with using(isa):
                results.add(bits_of(native.linear(x, w)))
    assert len(results) <= 1


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bias(isa: str, dtype: mx.Dtype) -> None:
    with using(isa):
        w, numbers = quantized(1, 21, 64, 4, 32, dtype)
        x, bias = normal(2, 4, 64, dtype=dtype), normal(3, 21, dtype=dtype)
        y = native.linear(x, w, bias)
        assert y.dtype == dtype
        wanted = exact(x) @ numbers.T + exact(bias)
        assert np.allclose(exact(y), wanted, rtol=ROUNDING[dtype], atol=2e-3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_is_exact(isa: str, bits: int, dtype: mx.Dtype) -> None:
    with using(isa):
        w, numbers = quantized(1, 37, 128, bits, 64, dtype)
        for ids_dtype in (mx.int32, mx.uint32, mx.int64, mx.uint8):
            ids = mx.array([[0, 36, 5], [17, 16, 15]], dtype=ids_dtype)
            y = native.embedding(ids, w)
            assert y.dtype == dtype and y.shape == (2, 3, 128)
            wanted = numbers[np.array(ids)]
            assert np.allclose(exact(y), wanted, rtol=2 * ROUNDING[dtype], atol=1e-7)


def test_ids_beyond_the_matrix() -> None:
    w, numbers = quantized(1, 37, 64, 4, 32, mx.float32)
    y = exact(native.embedding(mx.array([-1, 37, -38, 2**31 - 1]), w))
    assert np.allclose(y[0], numbers[36], atol=1e-6)
    assert (y[1:] == 0).all()


def test_ids_of_any_strides() -> None:
    w, numbers = quantized(1, 37, 64, 8, 32, mx.float32)
    ids = mx.array([[1, 2, 3], [4, 5, 6]]).T
    assert np.allclose(exact(native.embedding(ids, w)), numbers[np.array(ids)], atol=1e-6)


def test_nothing_in_nothing_out() -> None:
    w, _ = quantized(1, 37, 64, 4, 32, mx.float32)
    assert exact(native.linear(mx.zeros((0, 64)), w)).shape == (0, 37)
    assert exact(native.embedding(mx.array([], dtype=mx.int32), w)).shape == (0, 64)


def test_packing_frees_nothing_that_is_needed() -> None:
    codes, scales, biases = mx.quantize(normal(1, 32, 64), group_size=32, bits=4)
    need = native.packed_bytes(codes, scales, biases, 32, 4)
    store = native.MatrixStore(2 * need)
    first = store.pack(codes, scales, biases, 32, 4)
    second = store.pack(codes, scales, biases, 32, 4)
    x = normal(2, 3, 64)
    before = bits_of(native.linear(x, first))
    del store, first, codes, scales, biases
    assert bits_of(native.linear(x, second)) == before


def test_scales_of_float32_are_kept_without_loss() -> None:
    codes, scales, biases = mx.quantize(normal(1, 32, 64), group_size=32, bits=4)
    for dtype, bytes_each in ((mx.float32, 4), (mx.float16, 2), (mx.bfloat16, 2)):
        rounded = [part.astype(dtype).astype(mx.float32) for part in (scales, biases)]
        w = packed(codes, *rounded, 32, 4)
        assert w.nbytes == 32 * 64 // 2 + 32 * 2 * 2 * bytes_each


def test_what_does_not_fit_is_refused() -> None:
    w, _ = quantized(1, 37, 64, 4, 32, mx.float32)
    with pytest.raises(ValueError, match="columns"):
        native.linear(mx.zeros((1, 63)), w)
    with pytest.raises(ValueError, match="columns"):
        native.linear(mx.array(1.0), w)
    with pytest.raises(ValueError, match="float type"):
        native.linear(mx.zeros((1, 64), dtype=mx.int32), w)
    with pytest.raises(ValueError, match="bias"):
        native.linear(mx.zeros((1, 64)), w, mx.zeros((36,)))
    with pytest.raises(ValueError, match="integer"):
        native.embedding(mx.zeros((1,)), w)
    codes, scales, biases = mx.quantize(normal(1, 32, 64), group_size=32, bits=4)
    for group, bits in ((16, 4), (32, 7), (32, 1), (32, 3), (64, 4)):
        with pytest.raises(ValueError):
            native.packed_bytes(codes, scales, biases, group, bits)
    codes, scales, biases = mx.quantize(normal(1, 512, 64), group_size=32, bits=4)
    with pytest.raises(ValueError, match="too small"):
        native.MatrixStore(64).pack(codes, scales, biases, 32, 4)
