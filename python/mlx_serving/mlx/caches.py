"""A model with its KV caches, as the engine uses them: the port that `adapter.py` implements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Cache = list[Any]
"""mlx-lm's cache objects of a model, one a layer."""


@dataclass(frozen=True, slots=True)
class KvBlock:
    """Keys and values of some consecutive tokens, two arrays a layer, six where they are quantized;
    None: it has no attention. Nobody changes them."""

    layers: list[tuple[Any, ...] | None]
    size_bytes: int


class Caches(Protocol):
    """`CacheFactory` of `adapter.py`, or a test's."""

    model: Any

    def new(self) -> Cache:
        """An empty cache for one request."""
        ...

    def can_trim(self, cache: Cache) -> bool: ...

    def trim(self, cache: Cache, tokens: int) -> None:
        """Takes the last tokens off, in place."""
        ...


class BlockCaches(Caches, Protocol):
    """Caches that may be of blocks."""

    @property
    def can_cut(self) -> bool:
        """Whether keys and values, which can be cut out, are all that tokens leave in a cache."""
        ...

    def joined(self, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> Cache:
        """A new cache of the first so many tokens of blocks, which end in the last of them, with
        room for more. The blocks stay as they are."""
        ...


def size_bytes(cache: Cache) -> int:
    return sum(layer.nbytes for layer in cache)
