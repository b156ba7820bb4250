"""How caches get their memory: at once for a prompt, then for some tokens at a time.

mlx-lm's caches grow by 256 tokens whatever their length: sixteen rows of 60 tokens hold four times
what they need. Knows `step` and the fields of length of `KVCache` and `BatchKVCache` of the pinned
mlx-lm, and of our own ones; all other kinds grow as they do there.
"""

from __future__ import annotations

from typing import Any, Final

from ..kv.rows import RowsCache
from .caches import Cache
from .kv_blocks import layer_arrays
from .kv_room import room_tokens

GROWN: Final = frozenset({"KVCache", "BatchKVCache", "QuantizedCache", "BatchQuantizedCache"})


def _grown(cache: Cache) -> list[Any]:
    return [layer for layer in cache if type(layer).__name__ in GROWN]


def length_of(layer: Any) -> int:
    """Tokens in it, with those of padding."""
    return int(layer._idx if hasattr(layer, "_idx") else layer.offset)


def _room(layer: Any) -> int:
    """Tokens that its arrays have places for."""
    return int(layer_arrays(layer)[0].shape[2])


def _first(arrays: Any, tokens: int) -> Any:
    if isinstance(arrays, list):
        return [array[..., :tokens, :] for array in arrays]
    return arrays[..., :tokens, :]


def reserve(cache: Cache, tokens: int) -> None:
    """Of an empty cache: its first tokens bring room for so many."""
    for layer in _grown(cache):
        layer.step = max(1, tokens)


def is_full(cache: Cache) -> bool:
    """Whether the next token makes it grow."""
    for layer in cache:
        if isinstance(layer, RowsCache):
            return layer.is_full
        if type(layer).__name__ in GROWN:
            return layer.keys is None or length_of(layer) >= _room(layer)
    return False


def cut_room(cache: Cache) -> None:
    """Of rows that shared it with longer ones, which have gone: they keep no room for those."""
    for layer in _grown(cache):
        length = length_of(layer)
        size = length + room_tokens(length)
        if layer.keys is not None and _room(layer) > size:
            layer.keys, layer.values = _first(layer.keys, size), _first(layer.values, size)


def make_room(cache: Cache, needed: int) -> None:
    """Says by how much a full cache grows, where no more than `needed` tokens ever come."""
    for layer in cache:
        if isinstance(layer, RowsCache):
            layer.step = room_tokens(layer.offset, needed)
    for layer in _grown(cache):
        layer.step = room_tokens(length_of(layer), needed)
