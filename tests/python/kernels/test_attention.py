"""Attention over a padded cache against float64, and which calls it takes."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.models.base import scaled_dot_product_attention
from mlx_serving.kernels import attention, swap

from kernel_cases import (
    assert_close,
    needs_cuda,
    random,
    wide,
)


def attention_inputs(
    rows: int, heads: int, kv_heads: int, tokens: int, dim: int, dtype: mx.Dtype = mx.bfloat16
) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """As a cache gives them: a part of its room, and padding on the left."""
    q = random(rows, heads, 1, dim, dtype=dtype)
    k, v = (
        random(rows, kv_heads, tokens + 19, dim, dtype=dtype, seed=seed)[:, :, :tokens]
        for seed in (1, 2)
    )
    padding = mx.array([(i * 5) % max(1, tokens - 1) for i in range(rows)])
    return q, k, v, padding[:, None, None, None] <= mx.arange(tokens)[None, None, None]


@needs_cuda
@pytest.mark.parametrize(
    ("rows", "heads", "kv_heads", "tokens", "dim"),
    [
        (1, 32, 8, 1000, 128),
        (3, 9, 3, 1, 64),
        (5, 32, 8, 77, 128),
        (64, 8, 2, 130, 128),
        (2, 8, 8, 40, 128),
        (2, 64, 8, 300, 128),
        (2, 8, 2, 99, 256),
    ],
)
def test_attention(rows: int, heads: int, kv_heads: int, tokens: int, dim: int) -> None:
    q, k, v, mask = attention_inputs(rows, heads, kv_heads, tokens, dim)
    assert attention.fits(q, k, v, mask)
    floats = [array.astype(mx.float32) for array in (q, k, v)]
    expected = mx.fast.scaled_dot_product_attention(*floats, scale=dim**-0.5, mask=mask)
    assert_close(attention.attention(q, k, v, dim**-0.5, mask), wide(expected), 1e-2)
    everything = mx.fast.scaled_dot_product_attention(*floats, scale=dim**-0.5)
    assert_close(attention.attention(q, k, v, dim**-0.5, None), wide(everything), 1e-2)


def test_what_attention_takes() -> None:
    q, k, v, mask = attention_inputs(2, 4, 2, 10, 64)
    assert attention.fits(q, k, v, mask)
    assert attention.fits(q, k, v, None)
    assert not attention.fits(q, k, v, "causal")
    assert not attention.fits(q, k, v, mask.astype(mx.bfloat16))
    assert not attention.fits(q, k, v, mask[:, :, :, :9])
    assert not attention.fits(q.astype(mx.float32), k, v, mask)
    assert not attention.fits(mx.concatenate([q, q], axis=2), k, v, mask)
    assert not attention.fits(q[..., :32], k[..., :32], v[..., :32], mask)
    assert not attention.fits(q, k, v[..., :32], mask)


def test_attention_that_doesnt_fit_is_mlx_lms() -> None:
    q, k, v, mask = attention_inputs(2, 4, 2, 10, 64, mx.float32)
    for given in (mask, None):
        ours = swap.attention_with_cache(q, k, v, cache=None, scale=0.125, mask=given)
        theirs = scaled_dot_product_attention(q, k, v, cache=None, scale=0.125, mask=given)
        assert mx.array_equal(ours, theirs)
