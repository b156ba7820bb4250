"""RMSNorm against float64, and its gradients. Without a GPU the same cases run on the plain
operations that take a kernel's place.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest
from mlx_serving.kernels import norms

from kernel_cases import (
    DTYPES,
    EPS,
    TOLERANCES,
    assert_close,
    random,
    wide,
)


def exact_norm(x: np.ndarray, weight: np.ndarray, eps: float = EPS) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 64), (7, 33), (64, 4096), (4096, 16), (2, 3, 5, 128)])
def test_norm_is_exact_to_its_type(dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    x, weight = random(*shape, dtype=dtype), random(shape[-1], dtype=dtype, seed=1)
    found = norms.rms_norm(x, weight, EPS)
    assert found.dtype == dtype
    assert_close(found, exact_norm(wide(x), wide(weight)), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 7), (5, 1000), (3, 20_000), (2, 4, 96)])
def test_sum_and_norm(dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    x, residual = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=2)
    weight = random(shape[-1], dtype=dtype, seed=1)
    total, normed = norms.add_rms_norm(x, residual, weight, EPS)
    assert_close(total, wide(x) + wide(residual), TOLERANCES[dtype])
    # The norm is of the sum as it was rounded.
    assert_close(normed, exact_norm(wide(total), wide(weight)), TOLERANCES[dtype])


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 1000, 4096])
def test_norm_of_any_number_of_rows(rows: int) -> None:
    x, weight = random(rows, 40), random(40, seed=1)
    assert_close(norms.rms_norm(x, weight, EPS), exact_norm(wide(x), wide(weight)), 2e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 31, 255, 257, 1025, 4100])
def test_norm_of_any_width(width: int) -> None:
    x, weight = random(3, width, dtype=mx.float16), random(width, dtype=mx.float16, seed=1)
    assert_close(norms.rms_norm(x, weight, EPS), exact_norm(wide(x), wide(weight)), 2e-3)


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-5, 0.1, 10.0])
def test_eps_counts(eps: float) -> None:
    x, weight = 0.01 * random(4, 64), random(64, seed=1)
    assert_close(norms.rms_norm(x, weight, eps), exact_norm(wide(x), wide(weight), eps), 4e-6)


def test_norm_of_zeros_is_zero() -> None:
    assert not wide(norms.rms_norm(mx.zeros((2, 8)), mx.ones(8), EPS)).any()


def test_large_values_dont_overflow() -> None:
    x = mx.full((2, 64), 60_000.0, dtype=mx.float16)
    assert_close(norms.rms_norm(x, mx.ones(64, dtype=mx.float16), EPS), np.ones((2, 64)), 2e-3)


@pytest.mark.parametrize("shape", [(0, 16), (3, 0, 16), (0, 0, 16)])
def test_empty_input(shape: tuple[int, ...]) -> None:
    x = mx.zeros(shape)
    assert norms.rms_norm(x, mx.ones(16), EPS).shape == shape
    total, normed = norms.add_rms_norm(x, x, mx.ones(16), EPS)
    assert total.shape == shape
    assert normed.shape == shape


def test_one_dimension() -> None:
    x = random(48)
    assert_close(norms.rms_norm(x, mx.ones(48), EPS), exact_norm(wide(x), np.ones(48)), 2e-6)


def test_views() -> None:
    """Not contiguous, and not on a border of 16 bytes."""
    weight = random(64, seed=1)
    turned = random(64, 6).T
    assert_close(norms.rms_norm(turned, weight, EPS), exact_norm(wide(turned), wide(weight)), 2e-6)
    shifted = random(3 * 64 + 1)[1:].reshape(3, 64)
    assert_close(
        norms.rms_norm(shifted, weight, EPS), exact_norm(wide(shifted), wide(weight)), 2e-6
    )


def test_residual_is_broadcast() -> None:
    x, residual, weight = random(2, 5, 32), random(1, 1, 32, seed=2), random(32, seed=1)
    total, normed = norms.add_rms_norm(x, residual, weight, EPS)
    assert_close(total, wide(x) + wide(residual), 2e-6)
    assert_close(normed, exact_norm(wide(total), wide(weight)), 2e-6)


def test_types_are_promoted_as_mlx_does() -> None:
    x, weight = random(2, 32, dtype=mx.bfloat16), random(32, seed=1)
    found = norms.rms_norm(x, weight, EPS)
    assert found.dtype == mx.fast.rms_norm(x, weight, EPS).dtype == mx.float32
    assert_close(found, exact_norm(wide(x), wide(weight)), 2e-6)


@pytest.mark.parametrize("weight", [(5,), (8, 1), ()])
def test_a_weight_that_doesnt_fit_is_refused(weight: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="doesn't fit"):
        norms.rms_norm(mx.zeros((2, 8)), mx.zeros(weight), EPS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_as_mlx(dtype: mx.Dtype) -> None:
    x, weight = random(9, 512, dtype=dtype), random(512, dtype=dtype, seed=1)
    expected = wide(mx.fast.rms_norm(x, weight, EPS))
    assert_close(norms.rms_norm(x, weight, EPS), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("key", norms.METAL_BODIES, ids=str)
def test_metal_bodies_name_their_arguments(key: tuple[str, bool]) -> None:
    """MLX passes a kernel only those attributes and shapes that its text names."""
    body = norms.METAL_BODIES[key]
    for name in ("x_shape", "eps[0]", "weight[i]", "threadgroup_position_in_grid"):
        assert name in body
    for opening, closing in ("()", "{}", "[]"):
        assert body.count(opening) == body.count(closing)


# --- gradients ---


def slope(f: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences in float64."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        above = f(moved)
        moved[place] -= 2 * step
        found[place] = (above - f(moved)) / (2 * step)
    return found


@pytest.mark.parametrize("shape", [(1, 5), (4, 12), (2, 3, 33)])
def test_gradient_of_norm_is_the_finite_difference(shape: tuple[int, ...]) -> None:
    x, weight, by = random(*shape), random(shape[-1], seed=1), random(*shape, seed=3)
    loss = lambda x, w: (norms.rms_norm(x, w, EPS) * by).sum()  # noqa: E731
    of_x, of_weight = mx.grad(loss, argnums=(0, 1))(x, weight)
    a, w, b = wide(x), wide(weight), wide(by)
    assert_close(of_x, slope(lambda v: float((exact_norm(v, w) * b).sum()), a), 2e-5)
    assert_close(of_weight, slope(lambda v: float((exact_norm(a, v) * b).sum()), w), 2e-5)


def test_gradient_of_sum_and_norm_is_the_finite_difference() -> None:
    x, residual, weight = random(3, 10), random(3, 10, seed=2), random(10, seed=1)
    by = random(3, 10, seed=3)

    def loss(x: mx.array, r: mx.array, w: mx.array) -> mx.array:
        total, normed = norms.add_rms_norm(x, r, w, EPS)
        return (normed * by).sum() + (total * total).sum()

    found = mx.grad(loss, argnums=(0, 1, 2))(x, residual, weight)
    a, r, w, b = wide(x), wide(residual), wide(weight), wide(by)
    exact = lambda s, w: float((exact_norm(s, w) * b).sum() + (s * s).sum())  # noqa: E731
    expected = slope(lambda v: exact(v + r, w), a)
    assert_close(found[0], expected, 5e-5)
    assert_close(found[1], expected, 5e-5)
    assert_close(found[2], slope(lambda v: exact(a + r, v), w), 5e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_are_mlxs(dtype: mx.Dtype) -> None:
    x, weight = random(5, 256, dtype=dtype), random(256, dtype=dtype, seed=1)
    by = random(5, 256, seed=3)
    gradients = [
        mx.grad(lambda x, w, f=f: (f(x, w, EPS).astype(mx.float32) * by).sum(), argnums=(0, 1))(
            x, weight
        )
        for f in (norms.rms_norm, mx.fast.rms_norm)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == dtype
        assert_close(ours, wide(theirs), 2 * TOLERANCES[dtype])


def test_gradients_of_half_precision_are_finite() -> None:
    x = random(3, 64, dtype=mx.float16) * 1000
    gradient = mx.grad(lambda x: norms.rms_norm(x, mx.ones(64, mx.float16), EPS).sum())(x)
    assert np.isfinite(wide(gradient)).all()
