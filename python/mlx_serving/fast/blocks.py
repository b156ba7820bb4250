"""Transformer blocks of the Llama family, computed by two operations around the KV cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import llama, qwen2, qwen3
from mlx_lm.models.cache import BatchKVCache, KVCache
from mlx_lm.models.rope_utils import Llama3RoPE, SuScaledRoPE, YarnRoPE
from mlx_lm.models.smollm3 import NoPE

from ..kv.quantized import BatchQuantizedCache, Heads, QuantizedCache
from ..kv.rows import RowsCache
from .layers import FastQuantizedLinear
from .operations import floats, native, turns_of_base, turns_of_freqs

# Classes whose __call__ computes what ops/block.h says. Shapes alone don't tell: others scale the
# residual, use another activation or norm in other places.
LLAMA_LIKE: Final[tuple[type, ...]] = (
    llama.TransformerBlock,
    qwen2.TransformerBlock,
    qwen3.TransformerBlock,
)
HEAD_MULTIPLE: Final = 16


class FastBlock:
    """Comes first among the bases of a class made for the block's own one."""

    native_block: Any
    kv_heads: tuple[int, int]
    """How many there are, and their elements."""

    def __call__(
        self, x: mx.array, mask: str | mx.array | None = None, cache: Any = None
    ) -> mx.array:
        if isinstance(cache, RowsCache):
            return _step_on_rows(self.native_block, x, cache)
        if isinstance(cache, QUANTIZED_CACHES) and x.ndim == 3:
            return _step_on_codes(self.native_block, self.kv_heads, x, mask, cache)
        if hasattr(cache, "bits") or x.ndim != 3:
            return cast(mx.array, super().__call__(x, mask, cache))  # type: ignore[misc]
        block = self.native_block
        if type(cache) in PLAIN_CACHES and _has_room(cache, block.dtype_for(x), x.shape[1]):
            return _step(block, x, mask, cache)
        q, k, v = block.enter(x, 0 if cache is None else cache.offset)
        if cache is not None:
            k, v = cache.update_and_fetch(k, v)
        return cast(mx.array, block.leave(x, q, k, v, mask))


QUANTIZED_CACHES: Final = (QuantizedCache, BatchQuantizedCache)
# Caches whose update_and_fetch writes behind what is there, or makes room in the same arrays.
PLAIN_CACHES: Final[tuple[type, ...]] = (KVCache, BatchKVCache)


def _start(cache: Any) -> int:
    """Where in the arrays the next token goes."""
    return cast(int, cache.offset if isinstance(cache, KVCache) else cache._idx)


def _has_room(cache: Any, dtype: mx.Dtype, tokens: int) -> bool:
    keys = cache.keys
    return (
        keys is not None
        and keys.dtype == dtype
        and cache.values.dtype == dtype
        and _start(cache) + tokens <= keys.shape[2]
    )


def _step(block: Any, x: mx.array, mask: str | mx.array | None, cache: Any) -> mx.array:
    """The block and the cache's update_and_fetch in one operation."""
    h, cache.keys, cache.values, cache.offset = block.step(
        x, cache.keys, cache.values, _start(cache), cache.offset, mask
    )
    if isinstance(cache, BatchKVCache):
        cache._idx += x.shape[1]
    return cast(mx.array, h)


def _step_on_rows(block: Any, x: mx.array, cache: RowsCache) -> mx.array:
    """The same on rows that lie apart, each of which gets its row of x."""
    cache.make_room(x.shape[1])
    pieces = [pieces.native if pieces else None for pieces in cache.pieces]
    h, keys, values = native.step_rows(block, x, pieces, cache.keys, cache.values, cache.used)
    cache.wrote(keys, values, x.shape[1])
    return cast(mx.array, h)


def _step_on_codes(
    block: Any,
    kv_heads: tuple[int, int],
    x: mx.array,
    mask: str | mx.array | None,
    cache: QuantizedCache | BatchQuantizedCache,
) -> mx.array:
    """The same where keys and values are quantized, always in one operation: what a token leaves in
    a cache is then the same, bit for bit, whether there was room for it or not."""
    rows, tokens, _ = x.shape
    count, dim = kv_heads
    cache.make_room(Heads(rows, count, dim, dim, block.dtype_for(x)), tokens)
    h, keys, values, offset = block.step_on_codes(
        x, cache.keys, cache.values, cache.group_size, cache.bits, cache.used, cache.offset, mask
    )
    cache.wrote(keys, values, offset, tokens)
    return cast(mx.array, h)


def is_llama_like(block: nn.Module) -> bool:
    """Whether `native_block_of` can take it; its projections are swapped already."""
    if type(block) not in LLAMA_LIKE:
        return False
    attention, mlp = block.self_attn, block.mlp
    projections = [
        getattr(attention, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")
    ] + [getattr(mlp, name) for name in ("gate_proj", "up_proj", "down_proj")]
    norms = [block.input_layernorm, block.post_attention_layernorm, *_head_norms(attention)]
    return (
        all(isinstance(projection, FastQuantizedLinear) for projection in projections)
        and all(type(norm) is nn.RMSNorm for norm in norms)
        and type(attention.rope) in ROTARIES
        and _head_dim(attention) % HEAD_MULTIPLE == 0
    )


def native_block_of(block: Any) -> Any:
    """The constants of a block, for `krserve_mlx_ops`."""
    attention, mlp = block.self_attn, block.mlp
    head_norms = _head_norms(attention)
    return native.Block(
        heads=attention.n_heads,
        kv_heads=attention.n_kv_heads,
        head_dim=_head_dim(attention),
        scale=attention.scale,
        rotary=ROTARIES[type(attention.rope)](attention.rope),
        input_norm=_norm(block.input_layernorm),
        output_norm=_norm(block.post_attention_layernorm),
        q_norm=_norm(head_norms[0] if head_norms else None),
        k_norm=_norm(head_norms[1] if head_norms else None),
        qkv=_projection(attention.q_proj, attention.k_proj, attention.v_proj),
        out=_projection(attention.o_proj),
        gate_up=_projection(mlp.gate_proj, mlp.up_proj),
        down=_projection(mlp.down_proj),
    )


def kv_heads_of(block: Any) -> tuple[int, int]:
    return block.self_attn.n_kv_heads, _head_dim(block.self_attn)


def _head_dim(attention: Any) -> int:
    rows, _ = attention.q_proj.matrix.shape
    return cast(int, rows // attention.n_heads)


def _head_norms(attention: Any) -> list[nn.Module]:
    return [attention.q_norm, attention.k_norm] if "q_norm" in attention else []


def _norm(norm: Any) -> Any:
    return native.Norm([], 0.0) if norm is None else native.Norm(floats(norm.weight), norm.eps)


def _projection(*layers: Any) -> Any:
    matrices = [layer.matrix for layer in layers]
    if not any("bias" in layer for layer in layers):
        return native.Projection(matrices)
    bias: list[float] = []
    for layer in layers:
        rows, _ = layer.matrix.shape
        bias += floats(layer.bias) if "bias" in layer else [0.0] * rows
    return native.Projection(matrices, bias)


def _plain(rope: Any) -> Any:
    return native.Rotary(turns_of_base(rope.dims, rope.base, rope.scale), rope.traditional)


def _llama3(rope: Any) -> Any:
    return native.Rotary(turns_of_freqs(rope._freqs, 1.0), rope.traditional)


def _yarn(rope: Any) -> Any:
    return native.Rotary(turns_of_freqs(rope._freqs, 1.0), rope.traditional, rope.mscale)


def _su_scaled(rope: Any) -> Any:
    return native.Rotary(turns_of_freqs(rope._freqs, 1.0), False, rope._scale)


ROTARIES: Final[dict[type, Callable[[Any], Any]]] = {
    nn.RoPE: _plain,
    Llama3RoPE: _llama3,
    YarnRoPE: _yarn,
    SuScaledRoPE: _su_scaled,
    NoPE: lambda rope: None,
}
