"""Keys and values in blocks: cut out of the caches in which rows compute them, and joined into the
cache of a new row.

Knows the fields of `KVCache` and `BatchKVCache` of the pinned mlx-lm and nothing else: all layers
of a cache that is cut are of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import mlx.core as mx

from .caches import Cache, KvBlock

CUT: Final = "KVCache"


def can_cut(cache: Cache) -> bool:
    """Of one row's."""
    return bool(cache) and all(type(layer).__name__ == CUT for layer in cache)


def cut(cache: Cache, borders: Sequence[int], row: int = 0, padding: int = 0) -> list[KvBlock]:
    """The tokens between these borders of one row, before which `padding` is. Nothing is computed
    yet; until it is, whatever is written into the cache copies all of it."""
    return [_block(cache, padding + first, padding + end, row) for first, end in pairwise(borders)]


def arrays(blocks: Sequence[KvBlock]) -> list[mx.array]:
    return [array for block in blocks for layer in block.layers if layer for array in layer]


def _block(cache: Cache, first: int, end: int, row: int) -> KvBlock:
    layers = [
        (_copied(layer.keys, first, end, row), _copied(layer.values, first, end, row))
        if layer.keys is not None
        else None
        for layer in cache
    ]
    return KvBlock(layers, sum(array.nbytes for pair in layers if pair for array in pair))


def _copied(array: mx.array, first: int, end: int, row: int) -> mx.array:
    """In memory of its own. A slice of a single head lies in one piece, and is taken for a copy of
    itself, with all the memory around it; a product is one."""
    tokens = array[row : row + 1, :, first:end]
    return mx.contiguous(tokens) if array.shape[1] > 1 else tokens * 1


def join(cache: Cache, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> None:
    """Fills an empty cache with the first `tokens` tokens of blocks, which end in the last one, and
    leaves room for as many as the row will write: a cache that grows is copied as a whole."""
    for place, layer in enumerate(cache):
        pairs = [pair for block in blocks if (pair := block.layers[place])]
        if not pairs:
            continue
        size = tokens + room_tokens
        layer.keys = _joined([keys for keys, _ in pairs], tokens, size)
        layer.values = _joined([values for _, values in pairs], tokens, size)
        layer.offset = tokens
    # Now, since an evicted block is held until then.
    mx.async_eval([layer.state for layer in cache if layer.keys is not None])  # type: ignore[no-untyped-call]


def _joined(pieces: list[Any], tokens: int, size: int) -> mx.array:
    *whole, last = pieces
    _, heads, _, width = last.shape
    used = tokens - sum(piece.shape[2] for piece in whole)
    room = mx.zeros((1, heads, size - tokens, width), dtype=last.dtype)
    return mx.concatenate([*whole, last[:, :, :used], room], axis=2)
