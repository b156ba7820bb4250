"""A disk tier without MLX, threads or clock: blocks are bytes that say which tokens are before
them, and whatever the disk does may be made to fail.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.mlx.caches import KvBlock
from mlx_serving.mlx.disk_files import OWN_FOLDER, DiskFiles
from mlx_serving.mlx.disk_format import ArrayLayout, BlockFormat, BlockKey, Layout
from mlx_serving.mlx.disk_index import DiskIndex
from mlx_serving.mlx.disk_reader import DiskReader, Pool, Run
from mlx_serving.mlx.disk_tier import DiskTier
from mlx_serving.mlx.disk_writer import DiskWork, Result, WriteJob
from mlx_serving.tokens import pack_tokens

from prefixes import Given, Trimmer

BLOCK = 4
# Bytes that stand for keys: of each token a number that no other beginning has.
LAYOUT: Layout = ((ArrayLayout("U32", (1, 1, 1, 2)),),)
IDENTITY = b"a model"


def block_format(identity: bytes = IDENTITY, layout: Layout = LAYOUT) -> BlockFormat:
    return BlockFormat(identity, layout)


def numbers(before: Sequence[int], own: Sequence[int]) -> memoryview:
    """What a model would compute: of each token a number that says what is before it."""
    known = list(before)
    made = []
    for token in own:
        known.append(token)
        made += [token, hash(tuple(known)) & 0xFFFF_FFFF]
    return memoryview(pack_tokens(made))


def buffers(block: KvBlock) -> list[memoryview]:
    ((before, own),) = block.layers  # type: ignore[misc]
    return [numbers(before, own)]


class Reviver:
    """Makes blocks of bytes again, and knows from their numbers whose they are."""

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._size_bytes = block_format().size_bytes(BLOCK)

    def learn(self, tokens: Sequence[int]) -> None:
        ids = tuple(tokens)
        for end in range(1, len(ids) + 1):
            begin = (end - 1) // BLOCK * BLOCK
            self.known[bytes(numbers(ids[:begin], ids[begin:end]))] = (ids[:begin], ids[begin:end])

    def __call__(self, layout: Layout, arrays: Sequence[memoryview], tokens: int) -> KvBlock:
        (array,) = arrays
        before, own = self.known[bytes(array)]
        assert len(own) == tokens
        return KvBlock([(before, own)], self._size_bytes)


class FaultyFiles(DiskFiles):
    """Fails as often as it is told, in each of its ways."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.failures = {"write": 0, "use": 0, "read": 0, "remove": 0, "list": 0}
        self.code = errno.ENOSPC

    def fail(self, what: str, times: int = 1, code: int = errno.ENOSPC) -> None:
        self.failures[what] += times
        self.code = code

    def _may(self, what: str) -> None:
        if self.failures[what]:
            self.failures[what] -= 1
            raise OSError(self.code, os.strerror(self.code))

    def make_durable(self, file: int) -> None:
        """Thousands of these would take a minute."""

    def list(self):  # type: ignore[no-untyped-def]
        self._may("list")
        return super().list()

    def use(self, name: bytes, used_ns: int) -> None:
        self._may("use")
        super().use(name, used_ns)

    def remove(self, name: bytes) -> None:
        self._may("remove")
        super().remove(name)

    def read(self, name: bytes, bytes_max: int) -> memoryview:
        self._may("read")
        return super().read(name, bytes_max)

    def write_all(self, file: int, pieces: Sequence[bytes | memoryview]) -> None:
        if self.failures["write"]:
            # Of what has room, some is there already.
            super().write_all(file, pieces[:1])
        self._may("write")
        super().write_all(file, pieces)


class Inline:
    """`Writing` without a thread: works when it is told to."""

    def __init__(self, work: DiskWork, jobs_max: int = 1_000) -> None:
        self.work, self.jobs_max = work, jobs_max
        self.jobs: list[WriteJob] = []
        self.used: dict[bytes, int] = {}
        self._results: list[Result] = work.look()

    @property
    def has_room(self) -> bool:
        return len(self.jobs) < self.jobs_max

    @property
    def is_busy(self) -> bool:
        return bool(self.jobs or self.used or self._results)

    def write(self, job: WriteJob) -> None:
        self.jobs.append(job)

    def use(self, used: dict[bytes, int]) -> None:
        self.used |= used

    def results(self) -> list[Result]:
        found, self._results = self._results, []
        return found

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        used, self.used = self.used, {}
        self._results += [self.work.write(job) for job in jobs]
        self._results += self.work.use(used) + self.work.sync()


class InlinePool(Pool):
    """Reads at once, or not until it is told."""

    def __init__(self) -> None:
        super().__init__(threads=0)
        self.hangs = False

    def submit(self, task):  # type: ignore[no-untyped-def]
        if self.hangs:
            super().submit(task)
        else:
            task()


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def ns(self) -> int:
        return int(self.seconds * 1e9)


class Life:
    """Of one worker with a folder."""

    def __init__(
        self,
        folder: Path,
        blocks_max: float = 1_000,
        *,
        memory_blocks: int = 1_000,
        clock: Clock | None = None,
        identity: bytes = IDENTITY,
        reviver: Reviver | None = None,
        jobs_max: int = 1_000,
        keeps_short: bool = True,
    ) -> None:
        self.clock = clock or Clock()
        self.reviver = reviver or Reviver()
        self.format = block_format(identity)
        self.files = FaultyFiles(folder)
        self.index = DiskIndex(self.files, int(blocks_max * self.format.size_bytes(BLOCK)))
        self.writer = Inline(DiskWork(self.files, self.index, self.format), jobs_max)
        self.pool = InlinePool()
        # In memory a block counts as its file does.
        size = memory_blocks * self.format.size_bytes(BLOCK)
        self.cache = BlockPromptCache(Trimmer(), size, BLOCK, match_tokens_min=1)
        self.seconds_a_token = 1.0
        self.tier = DiskTier(
            self.cache,
            self.format,
            self.index,
            self.writer,
            DiskReader(self.files, self.index, self.format, self.pool),
            lambda tokens, depth: tokens * self.seconds_a_token,
            keeps_short=keeps_short,
            buffers=buffers,
            block_of=self.reviver,
            now_ns=self.clock.ns,
            now=self.clock,
        )

    @property
    def size_bytes(self) -> int:
        """Of a block in memory, as it counts there."""
        return self.format.size_bytes(BLOCK)

    def compute(self, tokens: Sequence[int], salt: str = "", writes: bool = True) -> None:
        self.clock.seconds += 1
        self.reviver.learn(tokens)
        self.cache.insert(list(tokens), Given(tokens, self.size_bytes), salt)
        if writes:
            self.write()

    def write(self) -> None:
        while self.tier.delay_seconds is not None:
            self.clock.seconds += 0.1
            self.tier.keep_up(beside_rows=False)
            self.writer.run()
        self.check()

    def check(self) -> None:
        self.cache.check()
        self.tier.check()

    def bring(self, tokens: Sequence[int], salt: str = "", id: int = 1) -> int:
        """How many tokens a request would find. As an engine with nothing else to do."""
        self.clock.seconds += 1
        for _ in range(1_000):
            if not self.tier.awaits(id, list(tokens), salt, may_wait=True):
                break
        else:
            raise AssertionError("it waits for ever")
        found = self.cache.match(list(tokens), 1, salt)
        assert found is None or found.cache[0].tokens == list(tokens[: found.tokens])
        self.check()
        return found.tokens if found else 0


def files_in(folder: Path) -> list[Path]:
    """The oldest first."""
    found = (folder / OWN_FOLDER).glob("*.safetensors")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def key_of(of: BlockFormat, tokens: Sequence[int], salt: str = "") -> BlockKey:
    """Of the last block of these."""
    packed = pack_tokens(list(tokens))
    parent = of.root(salt)
    for first in range(0, len(packed), 4 * BLOCK):
        key = of.key(parent, packed[first : first + 4 * BLOCK])
        parent = key.name
    return key


def reads(run: Run) -> Iterable[bytes]:
    """Tokens of the blocks that a run brings."""
    while not run.is_done:
        run.wait(10)
        for read in run.take(1):
            if read.arrays is not None:
                yield read.key.packed


def damage(path: Path, random: Random) -> str:
    """In one of the ways in which files are damaged; which one."""
    data = bytearray(path.read_bytes() or b"?")
    way = random.choice(["flipped", "cut", "longer", "empty", "other", "zeros"])
    if way == "flipped":
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif way == "cut":
        del data[random.randrange(len(data)) :]
    elif way == "longer":
        data += b"x"
    elif way == "empty":
        data.clear()
    elif way == "other":
        others = [one for one in path.parent.glob("*.safetensors") if one != path]
        data = bytearray(random.choice(others).read_bytes()) if others else bytearray(b"?")
    else:
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    return way
