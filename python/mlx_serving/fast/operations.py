"""krserve_mlx_ops in the place of functions of MLX and mlx-lm, with their signatures.

Each takes what it covers and leaves the rest to the original.
"""

from __future__ import annotations

import importlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models import activations, base

from .loader import NAME

native: Final[Any] = importlib.import_module(NAME)

FLOATS: Final = (mx.float32, mx.float16, mx.bfloat16)
ROTARIES_MAX: Final = 512
# Of a quantized KV cache, what `attention_on_codes` reads.
CODE_BITS: Final = (4, 8)
CODE_GROUP_SIZES: Final = (32, 64, 128)


def rms_norm(x: mx.array, weight: mx.array | None, eps: float, *, stream: Any = None) -> mx.array:
    """mx.fast.rms_norm"""
    covered = stream is None and x.dtype in FLOATS and x.ndim > 0
    if not covered or (weight is not None and weight.dtype not in FLOATS):
        return mx.fast.rms_norm(x, weight, eps, stream=stream)
    return native.rms_norm(x, weight, eps)


def rope(
    a: mx.array,
    dims: int,
    *,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: int | mx.array,
    freqs: mx.array | None = None,
    stream: Any = None,
) -> mx.array:
    """mx.fast.rope"""
    if stream is None and a.ndim == 4 and a.dtype in FLOATS and a.shape[-1] >= dims:
        rotary = rotaries.get(dims, traditional, base, scale, freqs)
        if isinstance(offset, int) or offset.size in (1, a.shape[0]):
            return rotary(a, offset)
    return mx.fast.rope(
        a,
        dims,
        traditional=traditional,
        base=base,
        scale=scale,
        offset=offset,
        freqs=freqs,
        stream=stream,
    )


def scaled_dot_product_attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    *,
    scale: float,
    mask: str | mx.array | None = None,
    sinks: mx.array | None = None,
    stream: Any = None,
    **others: Any,
) -> mx.array:
    """mx.fast.scaled_dot_product_attention"""
    plain = sinks is None and stream is None and not others
    if plain and _is_mask(mask) and native.can_attend(q, k, v):
        return native.attention(q, k, v, scale, mask)
    return mx.fast.scaled_dot_product_attention(
        q, k, v, scale=scale, mask=mask, sinks=sinks, stream=stream, **others
    )


def _is_mask(mask: Any) -> bool:
    return mask is None or mask == "causal" if not isinstance(mask, mx.array) else mask.ndim <= 4


def attention_with_cache(
    queries: mx.array,
    keys: Any,
    values: Any,
    cache: Any,
    scale: float,
    mask: Any,
    sinks: mx.array | None = None,
) -> mx.array:
    """mlx_lm.models.base.scaled_dot_product_attention"""
    if hasattr(cache, "bits"):
        if sinks is None and _is_mask(mask) and _reads(queries, keys, values, cache):
            sizes = {"group_size": cache.group_size, "bits": cache.bits}
            return native.attention_on_codes(queries, keys, values, scale, mask, **sizes)
        return base.scaled_dot_product_attention(queries, keys, values, cache, scale, mask, sinks)
    return scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask, sinks=sinks)


def _reads(queries: mx.array, keys: Any, values: Any, cache: Any) -> bool:
    """Whether keys and values, each codes, scales and biases, are such as the kernels take."""
    return (
        cache.bits in CODE_BITS
        and cache.group_size in CODE_GROUP_SIZES
        and queries.ndim == 4
        and queries.dtype in FLOATS
        and len(keys) == len(values) == 3
        and keys[1].dtype in FLOATS
    )


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """mlx_lm.models.activations.swiglu"""
    covered = gate.dtype in FLOATS and x.dtype in FLOATS and gate.ndim > 0
    if covered and gate.shape == x.shape:
        return native.swiglu(gate, x)
    return activations.swiglu(gate, x)


class Rotaries:
    """The tables of rotary embeddings that were asked for lately."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Any, tuple[Any, mx.array | None]] = OrderedDict()

    def get(
        self, dims: int, traditional: bool, base: float | None, scale: float, freqs: mx.array | None
    ) -> Any:
        key = (dims, traditional, base, scale, None if freqs is None else id(freqs))
        found = self._tables.get(key)
        if found is None:
            turns = (
                turns_of_freqs(freqs, scale)
                if freqs is not None
                else turns_of_base(dims, base or 0.0, scale)
            )
            # The array is kept so that its id stays its own.
            found = native.Rotary(turns, traditional), freqs
            self._tables[key] = found
            if len(self._tables) > ROTARIES_MAX:
                self._tables.popitem(last=False)
        return found[0]


rotaries: Final = Rotaries()


def turns_of_base(dims: int, base: float, scale: float) -> list[float]:
    """Full turns per position of each pair of elements: base^(-2 i / dims) radians."""
    return [scale * base ** (-2 * i / dims) / (2 * math.pi) for i in range(dims // 2)]


def turns_of_freqs(freqs: mx.array, scale: float) -> list[float]:
    """The same from periods per radian, as MLX takes them; an infinite one doesn't turn."""
    return [scale / freq / (2 * math.pi) for freq in floats(freqs)]


def floats(array: mx.array) -> Sequence[float]:
    return array.astype(mx.float32).tolist()  # type: ignore[return-value]
