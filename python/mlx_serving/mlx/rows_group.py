"""Rows that decode in one pass while each keeps its own arrays (`kv/rows.py`): none is padded, and
nothing is copied when one comes, goes or grows. Of the same shape as `Group` of `batch.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Generic, Protocol, TypeVar

from ..kv.rows import RowsCache
from . import kv_blocks
from .caches import Cache, KvBlock, size_bytes
from .grouping import Lengths


class Held(Protocol):
    cache: Cache

    @property
    def length(self) -> int: ...


H = TypeVar("H", bound=Held)


def lies_apart(cache: Cache) -> bool:
    """Whether a row's cache is of this kind already, which no other group takes."""
    return any(isinstance(layer, RowsCache) for layer in cache)


class RowsGroup(Generic[H]):
    def __init__(self, rows: Sequence[H]) -> None:
        self.rows: list[H] = []
        self.cache: Cache = []
        self.take(rows)

    @property
    def lengths(self) -> Lengths:
        return Lengths(max(row.length for row in self.rows), len(self.rows))

    @property
    def padding_tokens(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        return size_bytes(self.cache)

    def take(self, rows: Sequence[H], needed: float = inf) -> None:
        for row in rows:
            taken = [RowsCache.taken(layer) for layer in row.cache]
            if not self.cache:
                # Not the row's own objects, which may be looked at once more.
                self.cache = [RowsCache() for _ in taken]
            for mine, theirs in zip(self.cache, taken, strict=True):
                mine.extend(theirs)
            self.rows.append(row)
            row.cache = []

    def extract(self, row: H) -> Cache:
        """One row's cache, of the same arrays."""
        place = self.rows.index(row)
        return [layer.extract(place) for layer in self.cache]

    def blocks(self, row: H, borders: Sequence[int]) -> list[KvBlock]:
        """Of one row's tokens, not computed yet."""
        return kv_blocks.cut(self.cache, borders, self.rows.index(row))

    def keep(self, places: Sequence[int]) -> None:
        """Leaves only the rows at these places, at least one."""
        if len(places) < len(self.rows):
            self.rows = [self.rows[i] for i in places]
            for layer in self.cache:
                layer.filter(places)
