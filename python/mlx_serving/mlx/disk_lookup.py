"""Brings blocks from the disk to the prompt cache before a request that begins with them gets its
place: block by block in their order, while others are computed.

One request at a time, since they share one disk. Reading must be cheaper than computing: a run that
isn't done by the time in which its tokens were computed is given up with what it has brought, and
where reading has turned out to be slower it isn't begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..engine import DiskCounts
from ..tokens import pack_tokens
from .block_cache import BlockPromptCache, Found
from .block_tree import Node
from .caches import Cache, KvBlock
from .disk_format import BlockFormat, BlockKey
from .disk_index import DiskIndex
from .disk_reader import Read, Reading, Run

# A run of which nothing is there ends within this: no request loses a step by asking.
FIRST_WAIT_SECONDS: Final = 0.002
# While nothing else could be done; commands are taken in between.
WAIT_SECONDS: Final = 0.02
# Whatever computing costs: so long a run may take.
RUN_SECONDS_MIN: Final = 0.1
# Brought to memory in a step beside decoding rows: a few milliseconds.
BYTES_AT_ONCE: Final = 16 * 2**20
# What an older measurement counts for.
RATE_FORGETTING: Final = 0.7
# A run that isn't begun brings the estimate down, so that the disk is tried again some day.
RATE_DOUBT: Final = 0.95
# Shorter runs don't tell how fast a disk is.
RATE_TOKENS_MIN: Final = 256


class Lost(Exception):
    """Blocks before those that were read have been evicted meanwhile."""


class FromDisk:
    """Implements `Source`: blocks by where they begin."""

    def __init__(self, blocks: dict[int, KvBlock]) -> None:
        self._blocks = blocks

    def blocks(self, borders: Sequence[int]) -> list[KvBlock]:
        if any(first not in self._blocks for first in borders[:-1]):
            raise Lost
        return [self._blocks[first] for first, _ in pairwise(borders)]

    def whole(self) -> Cache:
        raise Lost


@dataclass(slots=True)
class Wanted:
    """What a request waits for."""

    id: int
    tokens: list[int]
    salt: str
    run: Run
    at: int
    """Where the next block begins."""
    is_last: bool
    """It is about a block that is shorter than others, after which nothing comes."""
    deadline: float
    began: float
    brought: int = 0
    waited_always: bool = True


class DiskLookup:
    def __init__(
        self,
        cache: BlockPromptCache,
        block_format: BlockFormat,
        index: DiskIndex,
        reader: Reading,
        counts: DiskCounts,
        compute_seconds: Callable[[int, int], float],
        *,
        name_of: Callable[[Node | None, str], bytes],
        say: Callable[[str], None],
        block_of: Callable[..., KvBlock],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._format = block_format
        self._index = index
        self._reader = reader
        self._counts = counts
        self._compute_seconds = compute_seconds
        self._name_of = name_of
        self._say = say
        self._block_of = block_of
        self._now = now
        self._wanted: Wanted | None = None
        self._token_seconds = 0.0
        self.arriving: set[bytes] = set()
        """Names of blocks that are being put into the tree."""

    def forget(self, id: int) -> None:
        if self._wanted and self._wanted.id == id:
            self._wanted.run.cancel()
            self._wanted = None

    def awaits(self, id: int, tokens: Sequence[int], salt: str, may_wait: bool) -> bool:
        try:
            return self._awaits(id, tokens, salt, may_wait)
        except Exception as error:
            # What can't be brought is computed: no request fails by it.
            self._counts.read_errors += 1
            self._say(f"blocks can't be brought to memory: {type(error).__name__}: {error}")
            self.forget(id)
            return False

    def _awaits(self, id: int, tokens: Sequence[int], salt: str, may_wait: bool) -> bool:
        if self._wanted is None:
            self._wanted = self._begin(id, list(tokens), salt)
            if self._wanted is None:
                return False
            self._wanted.run.wait(FIRST_WAIT_SECONDS)
        elif self._wanted.id != id:
            # Its turn comes; what it needs may come with this one.
            return self._lacks_blocks(list(tokens), salt)
        return self._go_on(self._wanted, may_wait)

    def _lacks_blocks(self, tokens: list[int], salt: str) -> bool:
        return bool(_whole(self._cache.find(tokens, salt), self._cache.block_tokens))

    def _begin(self, id: int, tokens: list[int], salt: str) -> Wanted | None:
        found = self._cache.find(tokens, salt)
        parent = self._name_of(found.path[-1] if found.path else None, salt)
        at = found.path[-1].end if found.path else 0
        room = self._cache.figures().bytes_max // self._format.size_bytes(self._cache.block_tokens)
        whole = _whole(found, self._cache.block_tokens)[: max(0, room - len(found.path))]
        keys = list(self._keys(parent, whole)) or self._short(parent, tokens[at:], found.shared)
        left = len(tokens) - at - found.shared
        if not keys or self._is_slower(left, at):
            return None
        began = self._now()
        run = self._reader.start(keys)
        if run is None:
            self._counts.slow += 1
            return None
        allowed = max(RUN_SECONDS_MIN, self._compute_seconds(left, at))
        return Wanted(id, tokens, salt, run, at, not whole, began + allowed, began)

    def _keys(self, parent: bytes, packed: Iterable[bytes]) -> Iterator[BlockKey]:
        for one in packed:
            key = self._format.key(parent, one)
            yield key
            parent = key.name

    def _short(self, parent: bytes, tokens: list[int], shared: int) -> list[BlockKey]:
        """The longest block of fewer tokens that is there, if it has more than memory has."""
        packed = pack_tokens(tokens[: self._cache.block_tokens - 1])
        for length in range(len(packed) // 4, shared, -1):
            key = self._format.key(parent, packed[: 4 * length])
            if self._index.has(key.name):
                return [key]
        return []

    def _is_slower(self, tokens: int, depth: int) -> bool:
        if tokens * self._token_seconds <= self._compute_seconds(tokens, depth):
            return False
        self._token_seconds *= RATE_DOUBT
        self._counts.slow += 1
        return True

    def _go_on(self, wanted: Wanted, may_wait: bool) -> bool:
        wanted.waited_always &= may_wait
        if may_wait:
            wanted.run.wait(WAIT_SECONDS)
        reads = wanted.run.take(BYTES_AT_ONCE)
        is_whole = self._bring(wanted, [read for read in reads if read.arrays is not None])
        for read in reads:
            self._account(read)
        if not is_whole or self._is_late(wanted):
            return self._end(wanted)
        if not wanted.run.is_done:
            return True
        keys = [] if wanted.is_last else self._rest(wanted)
        if not keys or (run := self._reader.start(keys)) is None:
            return self._end(wanted)
        wanted.run, wanted.is_last = run, True
        return True

    def _rest(self, wanted: Wanted) -> list[BlockKey]:
        found = self._cache.find(wanted.tokens, wanted.salt)
        parent = self._name_of(found.path[-1] if found.path else None, wanted.salt)
        at = found.path[-1].end if found.path else 0
        return self._short(parent, wanted.tokens[at:], found.shared) if at == wanted.at else []

    def _is_late(self, wanted: Wanted) -> bool:
        late = not wanted.run.is_done and self._now() > wanted.deadline
        self._counts.slow += late
        return late

    def _bring(self, wanted: Wanted, reads: list[Read]) -> bool:
        """Puts blocks into the tree. False: not all of them are there now, so none can follow."""
        blocks: dict[int, KvBlock] = {}
        end = wanted.at
        for read in reads:
            assert read.arrays is not None
            tokens = read.key.tokens
            blocks[end] = self._block_of(self._format.layout, read.arrays, tokens)
            end += tokens
        if not blocks:
            return True
        self.arriving = {read.key.name for read in reads}
        try:
            self._cache.insert(wanted.tokens[:end], FromDisk(blocks), wanted.salt)
        except Lost:
            return False
        finally:
            self.arriving = set()
        wanted.brought += end - wanted.at
        self._counts.hits += len(blocks)
        self._counts.hit_tokens += end - wanted.at
        wanted.at = end
        return self._cache.find(wanted.tokens[:end], wanted.salt).tokens == end

    def _account(self, read: Read) -> None:
        if read.unfit:
            self._counts.unfit += 1
            self._say(f"a file is no block of this model and is removed: {read.unfit}")
        elif read.error:
            self._counts.read_errors += 1
            self._say(f"a block can't be read: {read.error}")
        elif read.arrays is None:
            self._counts.misses += 1

    def _end(self, wanted: Wanted) -> bool:
        wanted.run.cancel()
        self._wanted = None
        if wanted.waited_always and wanted.brought >= RATE_TOKENS_MIN:
            measured = (self._now() - wanted.began) / wanted.brought
            known = self._token_seconds or measured
            self._token_seconds = RATE_FORGETTING * known + (1 - RATE_FORGETTING) * measured
        return False


def _whole(found: Found, block_tokens: int) -> list[bytes]:
    return [key for key in found.missing if len(key) == 4 * block_tokens]
