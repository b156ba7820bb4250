"""Keys and values in blocks: cut out of the caches in which rows compute them, and joined into the
cache of a new row.

Knows the fields of `KVCache` and `BatchKVCache` of the pinned mlx-lm, and those of our own ones,
and nothing else: all layers of a cache that is cut are of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import mlx.core as mx

from ..kv.rows import Pieces, RowsCache
from .caches import Cache, KvBlock

CUT: Final = ("KVCache", "QuantizedCache", "RowsCache")


def can_cut(cache: Cache) -> bool:
    """Of one row's."""
    return bool(cache) and all(type(layer).__name__ in CUT for layer in cache)


def cut(cache: Cache, borders: Sequence[int], row: int = 0, padding: int = 0) -> list[KvBlock]:
    """The tokens between these borders of one row, before which `padding` is. Nothing is computed
    yet; until it is, whatever is written into the cache copies all of it, or of rows that lie apart
    their last arrays."""
    return [_block(cache, padding + first, padding + end, row) for first, end in pairwise(borders)]


def arrays(blocks: Sequence[KvBlock]) -> list[mx.array]:
    return [array for block in blocks for layer in block.layers if layer for array in layer]


def _block(cache: Cache, first: int, end: int, row: int) -> KvBlock:
    layers = [_cut(layer, first, end, row) or None for layer in cache]
    return KvBlock(layers, sum(array.nbytes for layer in layers if layer for array in layer))


def _cut(layer: Any, first: int, end: int, row: int) -> tuple[mx.array, ...]:
    if not isinstance(layer, RowsCache):
        return tuple(_copied(array, first, end, row) for array in layer_arrays(layer))
    found = layer.tokens(row, first, end)
    # What is a block already is one more time.
    if layer.has_piece(row, found):
        return found
    return tuple(_copied(array, 0, end - first, 0) for array in found)


def layer_arrays(layer: Any) -> list[mx.array]:
    """All that a layer has of its tokens, each [rows, heads, tokens, …]: keys and values, or of a
    quantized one codes, scales and biases of the keys, then those of the values."""
    if layer.keys is None:
        return []
    if isinstance(layer.keys, mx.array):
        return [layer.keys, layer.values]
    return [*layer.keys, *layer.values]


def _fill(layer: Any, arrays: list[mx.array], tokens: int) -> None:
    if hasattr(layer, "bits"):
        layer.keys, layer.values = arrays[:3], arrays[3:]
    else:
        layer.keys, layer.values = arrays
    layer.offset = tokens


def _copied(array: mx.array, first: int, end: int, row: int) -> mx.array:
    """In memory of its own. A slice of a single head lies in one piece, and is taken for a copy of
    itself, with all the memory around it; a product is one."""
    tokens = array[row : row + 1, :, first:end]
    return mx.contiguous(tokens) if array.shape[1] > 1 else tokens * 1


def join(cache: Cache, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> None:
    """Fills an empty cache with the first `tokens` tokens of blocks, which end in the last one, and
    leaves room for as many as the row will write: a cache that grows is copied as a whole."""
    for place, layer in enumerate(cache):
        pieces = [arrays for block in blocks if (arrays := block.layers[place])]
        if not pieces:
            continue
        size = tokens + room_tokens
        _fill(
            layer, [_joined(list(one), tokens, size) for one in zip(*pieces, strict=True)], tokens
        )
    # Now, since an evicted block is held until then.
    mx.async_eval([layer.state for layer in cache if layer.keys is not None])  # type: ignore[no-untyped-call]


def joined_in_place(layers: int, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> Cache:
    """A cache that has the blocks themselves, all of whose layers have attention; of the last one,
    if it isn't used as a whole, a copy, with room behind it. Waits for the blocks."""
    lengths = [arrays[0].shape[2] for block in blocks if (arrays := block.layers[0])]
    used = tokens - sum(lengths[:-1])
    whole = blocks if used == lengths[-1] else blocks[:-1]
    lengths = lengths[: len(whole)]
    cache: Cache = []
    for place in range(layers):
        pieces = [arrays for block in whole if (arrays := block.layers[place])]
        last = blocks[-1].layers[place]
        assert last is not None and len(pieces) == len(whole), "a layer has no attention"
        begun = [array[:, :, : 0 if len(whole) == len(blocks) else used] for array in last]
        own = [_joined([array], array.shape[2], array.shape[2] + room_tokens) for array in begun]
        mx.async_eval(own)  # type: ignore[no-untyped-call]
        shared = Pieces.of(pieces, lengths) if pieces else None
        cache.append(RowsCache.of(shared, (own[0], own[1]), begun[0].shape[2]))
    return cache


def _joined(pieces: list[Any], tokens: int, size: int) -> mx.array:
    *whole, last = pieces
    _, heads, _, width = last.shape
    used = tokens - sum(piece.shape[2] for piece in whole)
    room = mx.zeros((1, heads, size - tokens, width), dtype=last.dtype)
    return mx.concatenate([*whole, last[:, :, :used], room], axis=2)
