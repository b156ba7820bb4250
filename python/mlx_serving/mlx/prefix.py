"""The cache of computed prefixes. Knows nothing of MLX: what it keeps is opaque."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..messages import pack_tokens

T = TypeVar("T")


@dataclass(slots=True)
class Entry(Generic[T]):
    """`whole`: of use only as a whole, since its value cannot be shortened."""

    packed: bytes
    value: T
    size_bytes: int
    whole: bool

    @property
    def tokens(self) -> int:
        return len(self.packed) // 4


class PrefixCache(Generic[T]):
    """Values by token prefix, least recently used first out, never above `bytes_max`.

    A search compares with every entry, some microseconds each: `entries_max` bounds it.
    """

    def __init__(self, bytes_max: int, entries_max: int = 256) -> None:
        self.bytes_max = bytes_max
        self._entries_max = entries_max
        self._entries: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def longest(self, tokens: list[int]) -> tuple[Entry[T], int] | None:
        """The entry with the longest usable prefix of these tokens, and the prefix's length."""
        packed = pack_tokens(tokens)
        best: tuple[Entry[T], int] | None = None
        for entry in self._entries.values():
            common = common_tokens(entry.packed, packed)
            usable = 0 if entry.whole and common < entry.tokens else common
            if usable > (best[1] if best else 0):
                best = entry, usable
        if best:
            self._entries.move_to_end(best[0].packed)
        return best

    def put(self, tokens: list[int], value: T, size_bytes: int, whole: bool) -> None:
        """Keeps a value, and drops shorter ones that it stands for. One that is too big by itself
        is not kept."""
        if size_bytes > self.bytes_max:
            return
        packed = pack_tokens(tokens)
        if not whole:
            longer = next((key for key in self._entries if key.startswith(packed)), None)
            if longer is not None:
                self._entries.move_to_end(longer)
                return
            for key in [key for key in self._entries if packed.startswith(key)]:
                self._drop(key)
        self._drop(packed)
        while self._entries and (
            self.size_bytes + size_bytes > self.bytes_max or len(self._entries) >= self._entries_max
        ):
            self._drop(next(iter(self._entries)))
        self._entries[packed] = Entry(packed, value, size_bytes, whole)
        self.size_bytes += size_bytes

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes


def common_tokens(a: bytes, b: bytes) -> int:
    """How many packed token ids two lists have in common at their start."""
    low, high = 0, min(len(a), len(b)) // 4
    while low < high:
        middle = (low + high + 1) // 2
        if a[low * 4 : middle * 4] == b[low * 4 : middle * 4]:
            low = middle
        else:
            high = middle - 1
    return low
