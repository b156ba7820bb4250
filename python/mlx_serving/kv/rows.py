"""Keys and values of rows where they lie: a cache of one layer for one row or several, in which
each row has its own arrays. Rows come and go without a copy, none is padded, and what several have
of the prompt cache is there once. Read by the transformer blocks of `fast` alone, which write into
a row's last array; everything before that nobody changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from .padded import STEP_TOKENS

Arrays = tuple[mx.array, mx.array]
"""Keys and values, each [1, heads, tokens, width]."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """Of a row, from its first token on; of each so many tokens are used."""

    arrays: tuple[Arrays, ...]
    lengths: tuple[int, ...]
    native: Any

    @classmethod
    def of(cls, arrays: Sequence[Arrays], lengths: Sequence[int]) -> Pieces:
        """Waits for the arrays."""
        # There is none of it without the blocks that read it.
        from krserve_mlx_ops import KvPieces

        keys, values = zip(*arrays, strict=True)
        native = KvPieces(list(keys), list(values), list(lengths))
        return cls(tuple(arrays), tuple(lengths), native)

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def nbytes(self) -> int:
        return sum(_nbytes(one) for one in self.arrays)

    def first(self, tokens: int) -> Pieces | None:
        """So many of its tokens."""
        lengths: list[int] = []
        for length in self.lengths:
            if tokens > 0:
                lengths.append(min(length, tokens))
                tokens -= length
        return Pieces.of(self.arrays[: len(lengths)], lengths) if lengths else None


def _nbytes(arrays: Arrays) -> int:
    return arrays[0].nbytes + arrays[1].nbytes


def _cut(arrays: Arrays, first: int, end: int) -> Arrays:
    keys, values = arrays
    return keys[:, :, first:end], values[:, :, first:end]


class RowsCache:
    """The fields are lists of one entry a row: `pieces` or None, then in `keys` and `values` as
    many tokens as `used` says."""

    step: int = STEP_TOKENS
    """For so many tokens a row gets room where it has none."""

    def __init__(self) -> None:
        self.pieces: list[Pieces | None] = []
        self.keys: list[mx.array] = []
        self.values: list[mx.array] = []
        self.used: list[int] = []

    @classmethod
    def of(cls, pieces: Pieces | None, own: Arrays, used: int) -> Self:
        cache = cls()
        cache.pieces, cache.used = [pieces], [used]
        cache.keys, cache.values = [own[0]], [own[1]]
        return cache

    @classmethod
    def taken(cls, cache: Any) -> Any:
        """A row's cache of this kind: itself, or its arrays."""
        if isinstance(cache, RowsCache):
            return cache
        return cls.of(None, (cache.keys, cache.values), cache.offset)

    # What a group of rows does with it.

    def extend(self, other: RowsCache) -> None:
        for mine, theirs in (
            (self.pieces, other.pieces),
            (self.keys, other.keys),
            (self.values, other.values),
            (self.used, other.used),
        ):
            mine.extend(theirs)  # type: ignore[arg-type]

    def filter(self, places: Sequence[int]) -> None:
        self.pieces = [self.pieces[place] for place in places]
        self.keys = [self.keys[place] for place in places]
        self.values = [self.values[place] for place in places]
        self.used = [self.used[place] for place in places]

    def extract(self, place: int) -> RowsCache:
        """One row's, of the same arrays: whoever writes next copies its last one."""
        own = self.keys[place], self.values[place]
        return type(self).of(self.pieces[place], own, self.used[place])

    def __deepcopy__(self, memo: dict[int, Any]) -> RowsCache:
        copy = type(self)()
        copy.extend(self)
        return copy

    def length(self, place: int) -> int:
        pieces = self.pieces[place]
        return self.used[place] + (pieces.tokens if pieces else 0)

    def tokens(self, place: int, first: int, end: int) -> Arrays:
        """Those of one row between two places: the very arrays of a piece that is just these."""
        found: list[Arrays] = []
        at = 0
        pieces = self.pieces[place]
        parts = list(zip(pieces.arrays, pieces.lengths, strict=True)) if pieces else []
        parts.append(((self.keys[place], self.values[place]), self.used[place]))
        for arrays, length in parts:
            begin, stop = max(first - at, 0), min(end - at, length)
            if begin < stop:
                whole = begin == 0 and stop == arrays[0].shape[2]
                found.append(arrays if whole else _cut(arrays, begin, stop))
            at += length
        if len(found) == 1:
            return found[0]
        keys, values = zip(*found, strict=True)
        return mx.concatenate(list(keys), axis=2), mx.concatenate(list(values), axis=2)

    def has_piece(self, place: int, arrays: Arrays) -> bool:
        """Whether these are the very arrays of a piece."""
        pieces = self.pieces[place]
        return pieces is not None and any(one is arrays for one in pieces.arrays)

    # What a block does with it.

    @property
    def is_full(self) -> bool:
        """Whether the next token makes a row grow."""
        return any(used >= keys.shape[2] for used, keys in zip(self.used, self.keys, strict=True))

    def make_room(self, tokens: int) -> None:
        """Behind what there is. Nothing is copied: an array that is full becomes a piece."""
        for place, (used, keys, values) in enumerate(
            zip(self.used, self.keys, self.values, strict=True)
        ):
            if used + tokens <= keys.shape[2]:
                continue
            before = self.pieces[place]
            if used:
                arrays, lengths = [(keys, values)], [used]
                if before:
                    arrays, lengths = [*before.arrays, *arrays], [*before.lengths, *lengths]
                self.pieces[place] = Pieces.of(arrays, lengths)
            size = max(tokens, self.step)
            self.keys[place], self.values[place] = (
                mx.zeros((1, array.shape[1], size, array.shape[3]), array.dtype)
                for array in (keys, values)
            )
            self.used[place] = 0

    def wrote(self, keys: list[mx.array], values: list[mx.array], tokens: int) -> None:
        self.keys, self.values = keys, values
        self.used = [used + tokens for used in self.used]

    # What mlx-lm does with a cache.

    @property
    def offset(self) -> int:
        """Tokens of the longest row."""
        return max(map(self.length, range(len(self.used))), default=0)

    def size(self) -> int:
        return self.offset

    def empty(self) -> bool:
        return False

    @property
    def state(self) -> tuple[list[mx.array], list[mx.array]]:
        return self.keys, self.values

    @property
    def nbytes(self) -> int:
        own = sum(array.nbytes for array in (*self.keys, *self.values))
        return own + sum(pieces.nbytes for pieces in self.pieces if pieces)

    def is_trimmable(self) -> bool:
        return True

    def trim(self, tokens: int) -> int:
        """Of each row."""
        for place, used in enumerate(self.used):
            self.used[place] = max(0, used - tokens)
            pieces = self.pieces[place]
            if tokens > used and pieces:
                self.pieces[place] = pieces.first(pieces.tokens - (tokens - used))
        return tokens

    def make_mask(
        self, tokens: int, window_size: int | None = None, return_array: bool = False
    ) -> str | None:
        if window_size is not None or (return_array and tokens > 1):
            raise NotImplementedError("rows that lie apart have no mask but the causal one")
        return None if tokens == 1 else "causal"

    def plain(self) -> KVCache:
        """A single row's as mlx-lm has it, a copy."""
        cache = KVCache()  # type: ignore[no-untyped-call]
        tokens = self.length(0)
        cache.keys, cache.values = (mx.contiguous(a) for a in self.tokens(0, 0, tokens))
        cache.offset = tokens
        return cache
