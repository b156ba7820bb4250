"""A prompt cache that keeps whole caches side by side, each by all of its tokens.

It copies a cache when it is matched, so no two requests share one. A match compares with every
entry, some microseconds each: `entries_max` bounds it. Knows nothing of MLX.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from ..messages import pack_tokens
from .caches import Cache, Caches, size_bytes
from .prompt_cache import Match, PromptCacheFigures, Source

ENTRIES_MAX: Final = 256


@dataclass(slots=True)
class Entry:
    """`whole`: of use only as a whole, since its cache cannot be cut back."""

    salt: str
    packed: bytes
    cache: Cache
    size_bytes: int
    whole: bool

    @property
    def tokens(self) -> int:
        return len(self.packed) // 4


class FlatPromptCache:
    """Implements `PromptCache`: the least recently used entry goes first, and all together never
    take more than `bytes_max`."""

    in_blocks = False

    def __init__(self, caches: Caches, bytes_max: int, entries_max: int = ENTRIES_MAX) -> None:
        self._caches = caches
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._entries: OrderedDict[tuple[str, bytes], Entry] = OrderedDict()
        self._size_bytes = 0

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        found = self._longest(pack_tokens(list(tokens)), salt)
        return 0 if found is None else usable_tokens(*found, unit_tokens)

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        found = self._longest(pack_tokens(list(tokens)), salt)
        if found is None:
            return None
        entry, _ = found
        self._entries.move_to_end((salt, entry.packed))
        usable = usable_tokens(*found, unit_tokens)
        if usable == 0:
            return None
        cache = deepcopy(entry.cache)
        self._caches.trim(cache, entry.tokens - usable)
        return Match(cache, usable)

    def _longest(self, packed: bytes, salt: str) -> tuple[Entry, int] | None:
        """The entry with the longest usable beginning of these tokens, and that one's length."""
        best: tuple[Entry, int] | None = None
        for entry in self._entries.values():
            if entry.salt != salt:
                continue
            common = common_tokens(entry.packed, packed)
            usable = 0 if entry.whole and common < entry.tokens else common
            if usable > (best[1] if best else 0):
                best = entry, usable
        return best

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        packed = pack_tokens(list(tokens))
        mine = [key for key in self._entries if key[0] == salt]
        longer = next((key for key in mine if key[1].startswith(packed)), None)
        if longer is not None and (longer[1] == packed or not self._entries[longer].whole):
            self._entries.move_to_end(longer)
            return
        cache = source.whole()
        size = size_bytes(cache)
        if size > self._bytes_max:
            return
        whole = not self._caches.can_trim(cache)
        if not whole:
            for key in [key for key in mine if packed.startswith(key[1])]:
                self._drop(key)
        if len(self._entries) >= self._entries_max:
            self._drop(next(iter(self._entries)))
        self.evict(self._size_bytes + size - self._bytes_max)
        self._entries[salt, packed] = Entry(salt, packed, cache, size, whole)
        self._size_bytes += size

    def evict(self, size_bytes: int) -> int:
        before = self._size_bytes
        while self._entries and before - self._size_bytes < size_bytes:
            self._drop(next(iter(self._entries)))
        return before - self._size_bytes

    def _drop(self, key: tuple[str, bytes]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size_bytes -= entry.size_bytes

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(len(self._entries), self._size_bytes, self._bytes_max)

    def check(self) -> None:
        for key, entry in self._entries.items():
            assert key == (entry.salt, entry.packed), (
                "an entry is kept by tokens that are not its own"
            )
            assert entry.size_bytes == size_bytes(entry.cache), "an entry has changed its size"
        total = sum(entry.size_bytes for entry in self._entries.values())
        assert total == self._size_bytes, f"{self._size_bytes} bytes are counted, {total} are kept"
        assert total <= self._bytes_max, f"{total} bytes are kept, {self._bytes_max} are allowed"
        assert len(self._entries) <= self._entries_max, f"{len(self._entries)} entries"


def usable_tokens(entry: Entry, common: int, unit_tokens: int) -> int:
    usable = common - common % unit_tokens
    return 0 if entry.whole and usable < entry.tokens else usable


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
