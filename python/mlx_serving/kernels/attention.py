"""Attention of one query a sequence over a padded KV cache, on CUDA.

MLX has fused attention for decoding, but not with a mask, and a batch of sequences of different
lengths always has one: it falls back to products and a softmax over padded scores. Here keys and
values are read once, where they lie in the cache, up to the mask's true places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import mlx.core as mx

from .device import include

DTYPES: Final = (mx.float16, mx.bfloat16)
HEAD_DIMS: Final = (64, 128, 256)
# Floats that a lane keeps of queries and of sums.
LANE_FLOATS_MAX: Final = 64
BLOCKS_WANTED: Final = 528
TOKENS_OF_PART: Final = 64
THREADS: Final = 128


def fits(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> bool:
    if not (mask is None or isinstance(mask, mx.array)):
        return False
    if q.ndim != 4 or q.shape[2] != 1 or q.dtype not in DTYPES:
        return False
    if k.dtype != q.dtype or v.dtype != q.dtype or k.shape != v.shape:
        return False
    dim = q.shape[3]
    if dim not in HEAD_DIMS or k.shape[3] != dim or q.shape[1] % k.shape[1] != 0:
        return False
    if mask is not None and (
        mask.dtype != mx.bool_
        or mask.ndim != 4
        or mask.shape[1:] != (1, 1, k.shape[2])
        or mask.shape[0] not in (1, q.shape[0])
    ):
        return False
    return _lanes(dim, q.shape[1] // k.shape[1]) is not None


def _lanes(dim: int, repeats: int) -> int | None:
    """Lanes that share a key: few, so that there is little to add up among them, but each must
    hold its part of all queries."""
    for lanes in (8, 16, 32):
        values = dim // lanes
        if values % 8 == 0 and values * repeats <= LANE_FLOATS_MAX:
            return lanes
    return None


def attention(
    q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | None
) -> mx.array:
    """(rows, heads, 1, dim) over (rows, kv heads, tokens, dim); `mask` is (rows or 1, 1, 1,
    tokens)."""
    rows, heads, _, dim = q.shape
    kv_heads, tokens = k.shape[1], k.shape[2]
    parts = max(1, min(BLOCKS_WANTED // (rows * kv_heads), -(-tokens // TOKENS_OF_PART)))
    kernel, options, merge = _call(rows, heads, kv_heads, dim, parts, q.dtype, mask is not None)
    inputs = [q, k, v, _scale(scale)]
    if mask is not None:
        inputs.append(
            mask if mask.shape[0] == rows else mx.broadcast_to(mask, (rows, *mask.shape[1:]))
        )
    found = kernel(inputs=inputs, **options)
    if merge is not None:
        found = _merge_kernel(dim)(inputs=found, **merge)
    return found[0]


@cache
def _call(
    rows: int,
    heads: int,
    kv_heads: int,
    dim: int,
    parts: int,
    dtype: mx.Dtype,
    masked: bool,
) -> tuple[Callable[..., list[mx.array]], dict[str, Any], dict[str, Any] | None]:
    """Kernel, its options, and those of the merge if there are several parts."""
    repeats = heads // kv_heads
    lanes = _lanes(dim, repeats)
    assert lanes is not None
    splits = parts > 1
    options: dict[str, Any] = {
        "template": [("T", dtype)],
        "grid": (rows * THREADS, kv_heads, parts),
        "threadgroup": (THREADS, 1, 1),
        "output_shapes": [(rows, heads, 1, dim)],
        "output_dtypes": [dtype],
    }
    merge = None
    if splits:
        merge = {**options, "grid": (rows * heads * dim, 1, 1), "threadgroup": (dim, 1, 1)}
        options["output_shapes"] = [(rows, heads, parts, dim), (rows, heads, parts, 2)]
        options["output_dtypes"] = [mx.float32, mx.float32]
    return _kernel(dim, repeats, lanes, splits, masked), options, merge


@cache
def _scale(value: float) -> mx.array:
    return mx.array([value], dtype=mx.float32)


def _view(name: str, token: int) -> str:
    return f"attention::View{{{name}_strides[0], {name}_strides[1], {name}_strides[{token}]}}"


@cache
def _kernel(
    dim: int, repeats: int, lanes: int, splits: bool, masked: bool
) -> Callable[..., list[mx.array]]:
    views = f"q, {_view('q', 2)}, k, {_view('k', 2)}, v, {_view('v', 2)}"
    mask = f"mask, {_view('mask', 3)}" if masked else "nullptr, attention::View{0, 0, 0}"
    flag, weights = ("true", "weights") if splits else ("false", "nullptr")
    kernel = mx.fast.cuda_kernel(
        name="mlx_serving_attention",
        input_names=["q", "k", "v", "scale", *(["mask"] if masked else [])],
        output_names=["out", *(["weights"] if splits else [])],
        header=include("attention.cuh"),
        source=(
            f"attention::run<T, {dim}, {repeats}, {lanes}, {flag}>({views}, {mask}, scale[0], "
            f"out, {weights}, k_shape[1], k_shape[2]);"
        ),
        # Keys and values are a part of the cache's memory: no copies of them.
        ensure_row_contiguous=False,
    )
    return cast(Callable[..., list[mx.array]], kernel)


@cache
def _merge_kernel(dim: int) -> Callable[..., list[mx.array]]:
    kernel = mx.fast.cuda_kernel(
        name="mlx_serving_attention_merge",
        input_names=["sums", "weights"],
        output_names=["out"],
        header=include("attention.cuh"),
        source=f"attention::merge<T, {dim}>(sums, weights, out, sums_shape[2]);",
    )
    return cast(Callable[..., list[mx.array]], kernel)
