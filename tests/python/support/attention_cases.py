"""What the tests of attention share: random queries, keys and values, and softmax in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from fast_cases import ROUNDING, exact, normal

# Of a result, for numbers of the size of 1.
TOLERANCE = 3e-6


def reference(q: mx.array, k: mx.array, v: mx.array, scale: float, mask: np.ndarray) -> np.ndarray:
    """`mask`: what is added to the scores, broadcast to [batch, heads, queries, keys]."""
    group = q.shape[1] // k.shape[1]
    keys, values = np.repeat(exact(k), group, axis=1), np.repeat(exact(v), group, axis=1)
    scores = scale * exact(q) @ keys.swapaxes(-1, -2) + mask
    largest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total) @ values


def causal(queries: int, keys: int) -> np.ndarray:
    seen = np.arange(keys)[None] <= np.arange(keys - queries, keys)[:, None]
    return np.where(seen, 0, -np.inf)


def case(
    seed: int,
    batch: int,
    heads: int,
    kv_heads: int,
    queries: int,
    keys: int,
    dim: int,
    value_dim: int | None = None,
    dtype: mx.Dtype = mx.float32,
) -> tuple[mx.array, mx.array, mx.array]:
    q = normal(seed, batch, heads, queries, dim, dtype=dtype)
    k = normal(seed + 1, batch, kv_heads, keys, dim, dtype=dtype)
    v = normal(seed + 2, batch, kv_heads, keys, value_dim or dim, dtype=dtype)
    return q, k, v


def assert_close(y: mx.array, wanted: np.ndarray) -> None:
    assert y.shape == wanted.shape
    allowed = TOLERANCE + 1.01 * ROUNDING[y.dtype] * np.abs(wanted)
    assert (np.abs(exact(y) - wanted) <= allowed).all()
