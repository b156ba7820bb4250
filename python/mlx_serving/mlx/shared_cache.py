"""The cache of rows whose prompts are computed in one forward pass.

It is an ordinary cache with several rows. All of them begin at the same place and are filled from
the left; behind the tokens of a shorter row is padding. So a token never sees padding, since that
comes after it, has the position that it has alone, and no mask is needed but the causal one.
(Padding on the left would be seen, and hidden by a mask that leaves its own rows nothing to see.)

For decoding the rows are put flush right, in one piece, as mlx-lm's shared caches want them. Knows
the fields of `KVCache` and `BatchKVCache` of the pinned mlx-lm and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

import mlx.core as mx

from ..kv.rows import RowsCache
from .caches import Cache

SHARED: Final = "KVCache"


def can_share(cache: Cache) -> bool:
    """Whether a pass over several prompts can fill caches of this kind. It is an empty one."""
    return bool(cache) and all(type(layer).__name__ == SHARED for layer in cache)


def stacked(caches: Sequence[Cache], tokens: int) -> Cache:
    """One cache of several rows, of which each has its first `tokens` tokens. The caches stay."""
    plain = [
        [layer.plain() if isinstance(layer, RowsCache) else layer for layer in cache]
        for cache in caches
    ]
    return [_stacked(layers, tokens) for layers in zip(*plain, strict=True)]


def _stacked(layers: Sequence[Any], tokens: int) -> Any:
    new = type(layers[0])()
    if tokens and layers[0].keys is not None:
        new.keys = mx.concatenate([layer.keys[:, :, :tokens] for layer in layers])
        new.values = mx.concatenate([layer.values[:, :, :tokens] for layer in layers])
        new.offset = tokens
    return new


class SharedCache:
    def __init__(self, cache: Cache, lengths: Sequence[int]) -> None:
        """`lengths`: each row's tokens."""
        self._cache = cache
        self._lengths = list(lengths)

    def parts(self) -> list[Part]:
        """What is each row's own."""
        return [Part(self, place, tokens) for place, tokens in enumerate(self._lengths)]

    def layers(self, place: int, tokens: int) -> Cache:
        return [_part(layer, place, tokens) for layer in self._cache]

    def merged(self, places: Sequence[int]) -> Cache:
        """A cache in which these rows decode together, in this order."""
        lengths = [self._lengths[place] for place in places]
        longest = max(lengths)
        padding = mx.array([longest - tokens for tokens in lengths])
        # Behind the longest row is room for what comes, before the shorter ones is anything.
        first = next((layer for layer in self._cache if layer.keys is not None), None)
        size = 0 if first is None else first.keys.shape[2]
        source = mx.maximum(mx.arange(size)[None] - padding[:, None], 0)[:, None, :, None]
        rows = mx.array(list(places))
        offset = mx.array(lengths)
        return [_merged(layer, rows, source, offset, padding, longest) for layer in self._cache]


class Part(list[Any]):
    """A row's own cache, and where it lies in the one that the row shares."""

    def __init__(self, shared: SharedCache, place: int, tokens: int) -> None:
        super().__init__(shared.layers(place, tokens))
        self.shared = shared
        self.place = place

    def __deepcopy__(self, memo: dict[int, Any]) -> Cache:
        return deepcopy(list(self), memo)


def _part(layer: Any, place: int, tokens: int) -> Any:
    part = type(layer)()
    if layer.keys is not None:
        part.keys = layer.keys[place : place + 1, :, :tokens]
        part.values = layer.values[place : place + 1, :, :tokens]
        part.offset = tokens
    return part


def _merged(
    layer: Any, rows: mx.array, source: mx.array, offset: mx.array, padding: mx.array, longest: int
) -> Any:
    merged = layer.merge([type(layer)() for _ in range(rows.size)])
    if layer.keys is not None:
        keys, values = (
            mx.take_along_axis(array[rows], source, axis=2) for array in (layer.keys, layer.values)
        )
        merged.state = keys, values, offset, padding, longest
    return merged
