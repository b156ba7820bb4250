"""The disk tier of the prompt cache: what a worker computed of prompts outlives it.

A block is written once it is in memory, since a worker may be killed at any time; the tree of the
prompt cache is the queue, so what isn't written yet takes no memory of its own, and a block that is
evicted before its turn is dropped and counted. A block is written after the one before it: one
that stands behind a hole is found by nobody. What is read goes into the tree. Owns which block of
the tree is on disk.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..engine import DiskCounts
from ..log import log
from . import kv_bytes
from .block_cache import BlockPromptCache
from .block_tree import Node
from .caches import KvBlock
from .disk_format import BlockFormat, BlockKey
from .disk_index import DiskIndex
from .disk_lookup import DiskLookup
from .disk_reader import Reading
from .disk_writer import Gone, NotWritten, Result, Trouble, WriteJob, Writing, Written

# Between two uses of paths, so that each block of one has a time of its own.
USE_NS: Final = 65_536
# Handed on in a step beside decoding rows: some tenths of a millisecond.
BLOCKS_AT_ONCE: Final = 4
# After so many steps what was queued with a step is computed: nobody waits for it.
STEPS_UNTIL_COMPUTED: Final = 2
# How often the writer is asked how far it is, while nothing else is done.
POLL_SECONDS: Final = 0.02
FINISH_POLL_SECONDS: Final = 0.002


class Place(Enum):
    MEMORY = "in memory alone, and to be written"
    QUEUED = "handed to the writer"
    DISK = "on disk too"
    FAILED = "it could not be written, or stands behind one that couldn't"


@dataclass(slots=True)
class Record:
    """Of a block of the tree."""

    key: BlockKey
    place: Place
    used_ns: int
    step: int


Buffers = Callable[[KvBlock], list[memoryview]]


class DiskTier:
    """Implements `PrefixDisk`, and `TreeObserver` of the cache's tree."""

    def __init__(
        self,
        cache: BlockPromptCache,
        block_format: BlockFormat,
        index: DiskIndex,
        writer: Writing,
        reader: Reading,
        compute_seconds: Callable[[int, int], float],
        *,
        keeps_short: bool = True,
        buffers: Buffers = kv_bytes.buffers,
        block_of: Callable[..., KvBlock] = kv_bytes.block_of,
        now_ns: Callable[[], int] = time.time_ns,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compute_seconds`: of so many tokens after so many others; `keeps_short`: blocks of fewer
        tokens are of use too."""
        self._format = block_format
        self._index = index
        self._writer = writer
        self._keeps_short = keeps_short
        self._block_tokens = cache.block_tokens
        self._buffers = buffers
        self._now_ns = now_ns
        self._now = now
        self._due = 0.0
        self._counts = DiskCounts(on=True)
        self._records: dict[Node, Record] = {}
        self._nodes: dict[bytes, Node] = {}
        self._backlog: OrderedDict[Node, None] = OrderedDict()
        self._jobs: dict[bytes, WriteJob] = {}
        self._used: dict[bytes, int] = {}
        self._latest_ns = 0
        self._steps = 0
        self._said: set[str] = set()
        self._lookup = DiskLookup(
            cache,
            block_format,
            index,
            reader,
            self._counts,
            compute_seconds,
            name_of=self._name_of,
            say=self._say,
            block_of=block_of,
            now=now,
        )
        cache.observe(self)

    # --- of the tree ---

    def added(self, node: Node) -> None:
        key = self._format.key(self._name_of(node.parent, node.salt), node.key)
        is_there = key.name in self._lookup.arriving or self._index.has(key.name)
        place = Place.DISK if is_there else Place.MEMORY
        self._records[node] = Record(key, place, self._latest_ns, self._steps)
        self._nodes[key.name] = node
        if place is Place.MEMORY and (self._keeps_short or key.tokens == self._block_tokens):
            self._backlog[node] = None

    def removed(self, node: Node) -> None:
        record = self._records.pop(node)
        self._nodes.pop(record.key.name, None)
        if node in self._backlog:
            del self._backlog[node]
            # A shorter one mostly makes way for a longer one.
            self._counts.drops += record.key.tokens == self._block_tokens

    def used(self, nodes: Sequence[Node]) -> None:
        """Each a little before the one that stands before it, so that it is evicted before it."""
        self._latest_ns = max(self._now_ns(), self._latest_ns + USE_NS)
        for place, node in enumerate(nodes):
            record = self._records[node]
            record.used_ns = self._latest_ns - place
            if record.place is Place.DISK:
                self._used[record.key.name] = record.used_ns
            elif record.place is Place.FAILED:
                # It is of use, so it is tried again.
                self._queue(node, record)

    def _name_of(self, node: Node | None, salt: str) -> bytes:
        record = self._records.get(node) if node else None
        return record.key.name if record else self._format.root(salt)

    def _queue(self, node: Node, record: Record) -> None:
        record.place = Place.MEMORY
        self._backlog[node] = None

    # --- of the engine ---

    @property
    def delay_seconds(self) -> float | None:
        if self._backlog and self._writer.has_room:
            return 0.0
        if self._backlog or self._used or self._writer.is_busy:
            return max(0.0, self._due - self._now())
        return None

    def awaits(self, id: int, tokens: Sequence[int], salt: str, may_wait: bool) -> bool:
        return self._lookup.awaits(id, tokens, salt, may_wait)

    def forget(self, id: int) -> None:
        self._lookup.forget(id)

    def keep_up(self, beside_rows: bool) -> None:
        self._steps += 1
        self._due = self._now() + POLL_SECONDS
        for result in self._writer.results():
            self._take(result)
        if self._used:
            used, self._used = self._used, {}
            self._writer.use(used)
        handed = 0
        while self._backlog and self._writer.has_room:
            node = next(iter(self._backlog))
            record = self._records[node]
            is_computed = self._steps - record.step > STEPS_UNTIL_COMPUTED
            if beside_rows and (handed == BLOCKS_AT_ONCE or not is_computed):
                return
            del self._backlog[node]
            self._hand_on(node, record)
            handed += 1

    def finish(self, seconds: float) -> None:
        end = self._now() + seconds
        while self.delay_seconds is not None and self._now() < end:
            self.keep_up(beside_rows=False)
            time.sleep(FINISH_POLL_SECONDS)

    def _hand_on(self, node: Node, record: Record) -> None:
        parent = self._records.get(node.parent) if node.parent else None
        if self._index.has(record.key.name):
            record.place = Place.DISK
        elif record.key.name in self._jobs:
            # It was evicted meanwhile, and is here again.
            record.place = Place.QUEUED
        elif (parent and parent.place is Place.FAILED) or node.kv is None:
            record.place = Place.FAILED
            self._counts.drops += 1
        else:
            self._write(node.kv, record)

    def _write(self, block: KvBlock, record: Record) -> None:
        key = record.key
        arrays = self._buffers(block)
        if [len(one) for one in arrays] != [size for *_, size in self._format.arrays(key.tokens)]:
            record.place = Place.FAILED
            self._counts.write_errors += 1
            self._say("a block has not the layout of this model's; it isn't written")
            return
        record.place = Place.QUEUED
        job = WriteJob(key, record.used_ns, self._format.size_bytes(key.tokens), arrays)
        # Held until it is written: no other thread is the last to hold an array.
        self._jobs[key.name] = job
        self._writer.write(job)

    def _take(self, result: Result) -> None:
        if isinstance(result, Trouble):
            self._counts.write_errors += 1
            self._say(f"its folder can't be used: {result.reason}")
            return
        self._jobs.pop(result.name, None)
        node = self._nodes.get(result.name)
        record = self._records[node] if node else None
        if isinstance(result, Written):
            self._counts.writes += 1
        elif isinstance(result, NotWritten):
            self._counts.write_errors += 1
            self._say(f"a block can't be written: {result.reason}")
        if node is None or record is None:
            return
        if isinstance(result, Written):
            record.place = Place.DISK
        elif isinstance(result, NotWritten):
            record.place = Place.FAILED
        elif isinstance(result, Gone) and record.place is Place.DISK:
            self._queue(node, record)

    def _say(self, text: str) -> None:
        """Once: a disk that is full is so for every block."""
        if text not in self._said:
            self._said.add(text)
            log(f"prefix cache on disk: {text}; what follows of it is counted alone")

    def counts(self) -> DiskCounts:
        counts = self._counts
        counts.blocks, counts.size_bytes = len(self._index), self._index.size_bytes
        counts.evictions = self._index.evictions
        counts.pending = len(self._backlog) + len(self._jobs)
        return counts

    def check(self) -> None:
        """Raises `AssertionError` where the tier contradicts itself. For tests."""
        assert set(self._nodes.values()) == set(self._records), "a block has another's name"
        for node, record in self._records.items():
            assert record.key.packed == node.key, "a block has other tokens than its record"
            assert record.key.parent == self._name_of(node.parent, node.salt), "an orphan"
            waits = node in self._backlog
            short = not self._keeps_short and record.key.tokens < self._block_tokens
            assert waits == (record.place is Place.MEMORY and not short), "a block is forgotten"
            assert record.place is not Place.QUEUED or record.key.name in self._jobs
