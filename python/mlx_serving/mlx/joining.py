"""How rows come into a cache that others share.

mlx-lm's `extend` pads what is there, puts it beside what comes, and the next step's growth copies
it all once more. Of a long row beside short ones that is gigabytes, in new buffers. Here the
commonest kind of cache is written once, into buffers that have room for the next steps. All other
kinds go mlx-lm's way, or their own: our quantized ones are written once by themselves. Knows the
fields of `BatchKVCache` of the pinned mlx-lm and nothing else.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

import mlx.core as mx

from ..kv.padded import padded
from ..kv.quantized import BatchQuantizedCache
from .caches import Cache
from .shared_cache import Part

WRITTEN_ONCE: Final = "BatchKVCache"


def merged(caches: list[Cache]) -> Cache:
    """One cache of the rows of all, in this order."""
    first, *others = [_piece(list(run)) for _, run in groupby(caches, key=_shared)]
    for other in others:
        extend(first, other)
    return first


def _shared(cache: Cache) -> int:
    """Which cache it is a part of; 0: of none."""
    return id(cache.shared) if isinstance(cache, Part) else 0


def _piece(caches: list[Cache]) -> Cache:
    parts = [cache for cache in caches if isinstance(cache, Part)]
    if parts:
        return parts[0].shared.merged([part.place for part in parts])
    return [layer[0].merge(list(layer)) for layer in zip(*caches, strict=True)]


def extend(cache: Cache, joining: Cache, room_tokens: int = 1) -> None:
    """Takes the rows of `joining` into `cache`, after its own, with room for so many more tokens
    of each. Both are merged ones."""
    for mine, theirs in zip(cache, joining, strict=True):
        if is_written_once(mine) and is_written_once(theirs):
            _write(mine, theirs, room_tokens)
        elif isinstance(mine, BatchQuantizedCache):
            mine.extend(theirs, room_tokens)
        else:
            mine.extend(theirs)


def is_written_once(layer: Any) -> bool:
    return type(layer).__name__ == WRITTEN_ONCE and layer.keys is not None


def _write(mine: Any, theirs: Any, room_tokens: int) -> None:
    length = max(mine._idx, theirs._idx)
    size = length + max(1, room_tokens)
    both = (mine, theirs)
    mine.keys = padded([(layer.keys, layer._idx) for layer in both], length, size)
    mine.values = padded([(layer.values, layer._idx) for layer in both], length, size)
    mine.left_padding = mx.concatenate(
        [layer.left_padding + (length - layer._idx) for layer in both]
    )
    mine.offset = mx.concatenate([layer.offset for layer in both])
    mine._idx = length
