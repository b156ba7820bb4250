"""A prompt cache that keeps whole caches side by side, each by all of its tokens.

For models whose caches can't be cut into blocks: recurrent states, windows, and several kinds in
one. A record is of use as far as its cache can be cut back, or as a whole. It copies a cache when
it is matched, so no two requests share one. A match compares with every record, some microseconds
each: `records_max` bounds it. Knows nothing of MLX.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from ..engine import PrefixCounts
from ..text.block_hashes import block_hashes
from ..tokens import pack_tokens
from .caches import Cache, Caches, size_bytes
from .held_blocks import HeldBlocks
from .prompt_cache import BlockChanges, Match, PromptCacheFigures, Source

RECORDS_MAX: Final = 256
# Of records that are beginnings of one another, where none can stand for another.
CHAIN_MAX: Final = 4
# Of evicted records that many are remembered, to tell them from those never seen.
EVICTED_MAX: Final = 16

Key = tuple[str, bytes]


@dataclass(slots=True)
class Record:
    """`whole`: of use only as a whole, since its cache cannot be cut back."""

    salt: str
    packed: bytes
    cache: Cache
    size_bytes: int
    whole: bool
    hashes: list[str]

    @property
    def key(self) -> Key:
        return self.salt, self.packed

    @property
    def tokens(self) -> int:
        return len(self.packed) // 4

    def usable(self, packed: bytes, unit_tokens: int = 1) -> int:
        """How many of these tokens it has computed, in whole units and so that they can be used."""
        common = common_tokens(self.packed, packed)
        common -= common % unit_tokens
        return 0 if self.whole and common < self.tokens else common


class WholePromptCache:
    """Implements `PromptCache`: the least recently used record goes first, and all together never
    take more than `bytes_max`."""

    in_blocks = False

    def __init__(self, caches: Caches, bytes_max: int, records_max: int = RECORDS_MAX) -> None:
        self._caches = caches
        self._bytes_max = bytes_max
        # Less what is lent.
        self._allowed_bytes = bytes_max
        self._records_max = records_max
        self._records: OrderedDict[Key, Record] = OrderedDict()
        self._size_bytes = 0
        self._counts = PrefixCounts()
        self._evicted: deque[Key] = deque(maxlen=EVICTED_MAX)
        self._held = HeldBlocks()

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        packed = pack_tokens(list(tokens))
        found = self._longest(packed, unit_tokens, salt)
        return 0 if found is None else found.usable(packed, unit_tokens)

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        packed = pack_tokens(list(tokens))
        found = self._longest(packed, unit_tokens, salt)
        usable = 0 if found is None else found.usable(packed, unit_tokens)
        self._count(packed, usable, salt)
        if found is None:
            return None
        self._records.move_to_end(found.key)
        cache = deepcopy(found.cache)
        self._caches.trim(cache, found.tokens - usable)
        return Match(cache, usable)

    def _longest(self, packed: bytes, unit_tokens: int, salt: str) -> Record | None:
        """The record with the longest usable beginning of these tokens."""
        usable = [
            (record.usable(packed, unit_tokens), record)
            for record in self._records.values()
            if record.salt == salt
        ]
        length, longest = max(usable, key=lambda pair: pair[0], default=(0, None))
        return longest if length else None

    def _count(self, packed: bytes, usable: int, salt: str) -> None:
        """A token that isn't used has the first reason that holds for it."""
        mine = [record.packed for record in self._records.values() if record.salt == salt]
        others = [record.packed for record in self._records.values() if record.salt != salt]
        gone = [evicted for its_salt, evicted in self._evicted if its_salt == salt]
        ends = [usable]
        for known in (mine, gone, others):
            longest = max((common_tokens(one, packed) for one in known), default=0)
            ends.append(max(ends[-1], longest))
        counts = self._counts
        counts.hit += usable
        counts.below_block += ends[1] - ends[0]
        counts.evicted += ends[2] - ends[1]
        counts.other_salt += ends[3] - ends[2]
        counts.never_seen += len(packed) // 4 - ends[3]

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        packed = pack_tokens(list(tokens))
        mine = [record for record in self._records.values() if record.salt == salt]
        for record in mine:
            if record.packed == packed or (not record.whole and record.packed.startswith(packed)):
                self._records.move_to_end(record.key)
                return
        cache = source.whole()
        size = size_bytes(cache)
        if size > self._allowed_bytes:
            return
        whole = not self._caches.can_trim(cache)
        record = Record(salt, packed, cache, size, whole, block_hashes(list(tokens), salt))
        chain = [one for one in mine if packed.startswith(one.packed)]
        if record.whole:
            for one in crowded([*chain, record]):
                self._drop(one)
        else:
            for one in chain:
                self._drop(one)
        if len(self._records) >= self._records_max:
            self._evict_first()
        self.evict(self._size_bytes + size - self._allowed_bytes)
        self._records[record.key] = record
        self._held.add(record.hashes)
        self._size_bytes += size

    def evict(self, size_bytes: int) -> int:
        before = self._size_bytes
        while self._records and before - self._size_bytes < size_bytes:
            self._evict_first()
        return before - self._size_bytes

    def lend(self, size_bytes: int) -> None:
        self._allowed_bytes = max(0, self._bytes_max - size_bytes)
        self.evict(self._size_bytes - self._allowed_bytes)

    def _evict_first(self) -> None:
        first = next(iter(self._records.values()))
        self._drop(first)
        self._evicted.append(first.key)
        self._counts.evictions += 1

    def _drop(self, record: Record) -> None:
        del self._records[record.key]
        self._held.drop(record.hashes)
        self._size_bytes -= record.size_bytes

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(len(self._records), self._size_bytes, self._bytes_max)

    def counts(self) -> PrefixCounts:
        return self._counts

    def changes(self) -> BlockChanges:
        return self._held.changes()

    def check(self) -> None:
        for key, record in self._records.items():
            assert key == record.key, "a record is kept by tokens that are not its own"
            assert record.size_bytes == size_bytes(record.cache), "a record has changed its size"
            chain = [
                other
                for other in self._records.values()
                if other.salt == record.salt and record.packed.startswith(other.packed)
            ]
            assert len(chain) <= CHAIN_MAX or not record.whole, f"{len(chain)} records in a chain"
        total = sum(record.size_bytes for record in self._records.values())
        assert total == self._size_bytes, f"{self._size_bytes} bytes are counted, {total} are kept"
        allowed = self._allowed_bytes
        assert total <= allowed, f"{total} bytes are kept, {allowed} are allowed"
        assert len(self._records) <= self._records_max, f"{len(self._records)} records"


def crowded(chain: Iterable[Record]) -> list[Record]:
    """Those to be given up of records that are beginnings of one another: of which the next longer
    one is the nearest to the one before. The longest always stays."""
    left = sorted(chain, key=lambda record: record.tokens)
    dropped: list[Record] = []
    while len(left) > CHAIN_MAX:
        ends = [0, *(record.tokens for record in left)]
        gaps = [ends[i + 2] - ends[i] for i in range(len(left) - 1)]
        dropped.append(left.pop(gaps.index(min(gaps))))
    return dropped


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
