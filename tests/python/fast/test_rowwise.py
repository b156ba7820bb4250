"""Norms, activations and the rotary embedding against float64."""

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
    strided,
    using,
)

TOLERANCE = 1e-6
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 576)


def assert_close(y: mx.array, wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
    allowed = tolerance * (1 + np.abs(wanted)) + 1.01 * ROUNDING[y.dtype] * np.abs(wanted)
    if y.dtype == mx.float16:
        allowed = allowed + 2**-24  # what float16 has no smaller steps than
    assert (np.abs(exact(y) - wanted) <= allowed).all()


# --- root mean square norm ---


def norm(x: np.ndarray, weight: np.ndarray | float, eps: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_norm(isa: str, size: int, dtype: mx.Dtype) -> None:
    with using(isa):
        for shape in ((size,), (1, size), (5, size), (2, 3, 4, size)):
            x, weight = normal(1, *shape, dtype=dtype), normal(2, size, dtype=dtype)
            y = native.rms_norm(x, weight, 1e-5)
            assert y.dtype == dtype and y.shape == shape
            assert_close(y, norm(exact(x), exact(weight), 1e-5), 4e-6)
        assert_close(native.rms_norm(x, None, 1e-6), norm(exact(x), 1, 1e-6), 4e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_norm_of_any_strides(isa: str, layout: str) -> None:
    with using(isa):
        x = strided(normal(1, 3, 5, 40), layout)
        weight = strided(normal(2, 1, 40), "sliced")[0]
        assert_close(native.rms_norm(x, weight, 1e-5), norm(exact(x), exact(weight), 1e-5), 4e-6)


def test_norm_of_other_types_together() -> None:
    x, weight = normal(1, 3, 40, dtype=mx.float16), normal(2, 40)
    y = native.rms_norm(x, weight, 1e-5)
    assert y.dtype == mx.fast.rms_norm(x, weight, 1e-5).dtype
    assert_close(y, norm(exact(x), exact(weight), 1e-5), 4e-6)


# --- layer norm, of a sum ---


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight + bias


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_layer_norm_of_a_sum(isa: str, size: int, dtype: mx.Dtype) -> None:
    with using(isa):
        weight, bias, shift = (normal(seed, size, dtype=dtype) for seed in (1, 2, 3))
        for shape in ((size,), (1, size), (5, size), (2, 3, 4, size)):
            x = normal(4, *shape, dtype=dtype, scale=3) + 5
            addend = normal(5, *shape, dtype=dtype)
            for more in ((None, None), (addend, None), (None, shift), (addend, shift)):
                total = exact(x) + sum(exact(one) for one in more if one is not None)
                y = native.add_layer_norm(x, *more, weight, bias, 1e-5)
                assert y.dtype == dtype and y.shape == shape
                assert_close(y, layer_norm(total, exact(weight), exact(bias), 1e-5), 2e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layer_norm_of_any_strides(isa: str, layout: str) -> None:
    with using(isa):
        x, addend = (strided(normal(seed, 3, 5, 40), layout) for seed in (1, 2))
        weight, bias, shift = (strided(normal(seed, 1, 40), "sliced")[0] for seed in (3, 4, 5))
        y = native.add_layer_norm(x, addend, shift, weight, bias, 1e-5)
        total = exact(x) + exact(addend) + exact(shift)
        assert_close(y, layer_norm(total, exact(weight), exact(bias), 1e-5), 1e-5)


def test_layer_norm_of_others_than_floats_or_their_shapes_is_refused() -> None:
    x, row = normal(1, 3, 40), normal(2, 40)
    for wrong in (row[1:], row[None], mx.zeros(40, mx.int32)):
        for place in range(3):
            rows = [row] * 3
            rows[place] = wrong
            with pytest.raises(ValueError, match="one float per element"):
                native.add_layer_norm(x, None, *rows, 1e-5)
    with pytest.raises(ValueError, match="shape of x"):
        native.add_layer_norm(x, x[:2], None, row, row, 1e-5)


# --- GELU, of a sum ---


def gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_gelu(isa: str, size: int, dtype: mx.Dtype) -> None:
    with using(isa):
        x, shift = normal(1, 3, size, dtype=dtype, scale=3), normal(2, size, dtype=dtype)
        y = native.add_gelu(x, shift)
        assert y.dtype == dtype and y.shape == x.shape
        assert_close(y, gelu(exact(x) + exact(shift)), 2e-6)
        assert_close(native.add_gelu(x, None), gelu(exact(x)), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gelu_of_any_strides(isa: str, layout: str) -> None:
    with using(isa):
        x, shift = strided(normal(1, 3, 5, 40), layout), strided(normal(2, 1, 40), "sliced")[0]
        assert_close(native.add_gelu(x, shift), gelu(exact(x) + exact(shift)), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_gelu_far_out(isa: str) -> None:
    with using(isa):
        y = exact(native.add_gelu(mx.array([-1e30, -40.0, -5.5, 0.0, 5.5, 1e30, math.nan]), None))
        assert np.abs(y[1:4]).max() < 1e-5
        assert np.allclose(y[4:6], [5.5, 1e30]) and math.isnan(y[6])
        with pytest.raises(ValueError, match="one float per element"):
            native.add_gelu(mx.zeros((2, 3)), mx.zeros(2))


# --- gated activation ---


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_swiglu(isa: str, size: int, dtype: mx.Dtype) -> None:
    with using(isa):
        gate, up = normal(1, 3, size, dtype=dtype, scale=5), normal(2, 3, size, dtype=dtype)
        g = exact(gate)
        assert_close(native.swiglu(gate, up), g / (1 + np.exp(-g)) * exact(up), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_swiglu_of_any_strides(isa: str, layout: str) -> None:
    with using(isa):
        gate, up = strided(normal(1, 3, 5, 40), layout), strided(normal(2, 3, 5, 40), "sliced")
        g = exact(gate)
        assert_close(native.swiglu(gate, up), g / (1 + np.exp(-g)) * exact(up), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_swiglu_far_out(isa: str) -> None:
    with using(isa):
        gate = mx.array([-1e30, -200.0, -100.0, -88.0, 0.0, 88.0, 100.0, 1e30, -math.inf, math.nan])
        y = exact(native.swiglu(gate, mx.ones(10)))
        assert (np.abs(y[:4]) < 1e-5).all() and y[4] == 0
        assert np.allclose(y[5:8], [88, 100, 1e30])
        assert math.isnan(y[9])


# --- rotary embedding ---


def turns(dims: int, base: float = 10000.0) -> list[float]:
    return [base ** (-2 * i / dims) / (2 * math.pi) for i in range(dims // 2)]


def rotated(
    x: np.ndarray, offsets: list[int], dims: int, traditional: bool, magnitude: float = 1.0
) -> np.ndarray:
    out = x.copy()
    angle = 2 * math.pi * np.array(turns(dims))
    for b, offset in enumerate(offsets):
        for i in range(x.shape[2]):
            c = magnitude * np.cos((offset + i) * angle)
            s = magnitude * np.sin((offset + i) * angle)
            row = x[b, :, i, :dims]
            first, second = (
                (row[:, 0::2], row[:, 1::2])
                if traditional
                else (row[:, : dims // 2], row[:, dims // 2 :])
            )
            pair = first * c - second * s, first * s + second * c
            if traditional:
                out[b, :, i, 0:dims:2], out[b, :, i, 1:dims:2] = pair
            else:
                out[b, :, i, : dims // 2], out[b, :, i, dims // 2 : dims] = pair
    return out


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("traditional", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("dims", "head"), [(64, 64), (128, 128), (2, 16), (6, 6), (20, 48), (34, 40)]
)
def test_rotation(isa: str, traditional: bool, dtype: mx.Dtype, dims: int, head: int) -> None:
    with using(isa):
        x = normal(1, 2, 3, 5, head, dtype=dtype)
        y = native.Rotary(turns(dims), traditional)(x, 11)
        assert y.dtype == dtype and y.shape == x.shape
        assert_close(y, rotated(exact(x), [11, 11], dims, traditional), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [mx.int32, mx.int64, mx.uint32])
def test_rotation_of_rows_at_their_own_positions(isa: str, dtype: mx.Dtype) -> None:
    with using(isa):
        x = normal(1, 3, 2, 4, 32)
        rotary = native.Rotary(turns(32))
        y = rotary(x, mx.array([0, 700, 123456], dtype=dtype))
        assert_close(y, rotated(exact(x), [0, 700, 123456], 32, False), 2e-6)
        one = rotary(x, mx.array([7]))
        assert_close(one, rotated(exact(x), [7, 7, 7], 32, False), 2e-6)
        scalar = rotary(x, mx.array(7))
        assert bits_of(scalar) == bits_of(one)
        every_other = mx.array([0, 1, 700, 2, 9, 3])[::2]
        assert_close(rotary(x, every_other), rotated(exact(x), [0, 700, 9], 32, False), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_of_any_strides(isa: str, layout: str) -> None:
    with using(isa):
        x = strided(normal(1, 2, 3, 5, 32), layout).transpose(0, 2, 1, 3)
        y = native.Rotary(turns(32), False, 1.25)(x, 3)
        assert_close(y, rotated(exact(x), [3, 3], 32, False, 1.25), 3e-6)


def test_positions_below_zero() -> None:
    x = normal(1, 1, 1, 3, 32)
    y = native.Rotary(turns(32))(x, -5)
    assert_close(y, rotated(exact(x), [-5], 32, False), 2e-6)


def test_what_does_not_fit_is_refused() -> None:
    rotary = native.Rotary(turns(32))
    with pytest.raises(ValueError, match="head_dim"):
        rotary(mx.zeros((1, 1, 1, 16)))
    with pytest.raises(ValueError, match="head_dim"):
        rotary(mx.zeros((1, 1, 32)))
    with pytest.raises(ValueError, match="offset"):
        rotary(mx.zeros((2, 1, 1, 32)), mx.array([1, 2, 3]))
    with pytest.raises(ValueError, match="shape"):
        native.swiglu(mx.zeros((2, 3)), mx.zeros((3,)))
    with pytest.raises(ValueError, match="float type"):
        native.rms_norm(mx.zeros((2, 3), dtype=mx.int32), None, 1e-5)
    with pytest.raises(ValueError, match="weight"):
        native.rms_norm(mx.zeros((2, 3)), mx.zeros((4,)), 1e-5)
