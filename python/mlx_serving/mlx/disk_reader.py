"""Reads runs of blocks from the folder of the disk tier, ahead of who wants them.

A run is read in order and ends at the first block that isn't there, or isn't what its name says;
such a file is removed. Several threads read and check, since a checksum costs as much as the
reading; a bounded amount waits to be taken. A disk that hangs keeps its threads and nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final, Protocol

from .disk_files import DiskFiles
from .disk_format import BlockFormat, BlockKey, Unfit
from .disk_index import DiskIndex
from .disk_writer import said

READERS: Final = 2
AHEAD_BYTES_MAX: Final = 64 * 2**20
# A hung disk holds so many reads; further runs end before they begin.
HUNG_MAX: Final = 64


@dataclass(slots=True)
class Read:
    """One block: `arrays`, or why there are none; both None: it isn't there. `ended` comes last."""

    key: BlockKey
    arrays: list[memoryview] | None = None
    unfit: str | None = None
    error: str | None = None
    is_wanted: bool = True
    ended: Event = field(default_factory=Event)


Submit = Callable[[Callable[[], None]], None]


class Pool:
    def __init__(self, threads: int = READERS) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for number in range(threads):
            Thread(target=self._run, name=f"disk-reader-{number}", daemon=True).start()

    def submit(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    @property
    def waiting(self) -> int:
        return self._tasks.qsize()

    def _run(self) -> None:
        while True:
            self._tasks.get()()


class Run(Protocol):
    @property
    def is_done(self) -> bool: ...

    def take(self, bytes_max: int) -> list[Read]: ...

    def wait(self, seconds: float) -> None: ...

    def cancel(self) -> None: ...


class Reading(Protocol):
    """`DiskReader`, or a test's."""

    def start(self, keys: Iterable[BlockKey]) -> Run | None: ...


class DiskReader:
    """Implements `Reading`."""

    def __init__(
        self,
        files: DiskFiles,
        index: DiskIndex,
        block_format: BlockFormat,
        pool: Pool,
        ahead_bytes_max: int = AHEAD_BYTES_MAX,
    ) -> None:
        self._files = files
        self._index = index
        self._format = block_format
        self._pool = pool
        self._ahead_bytes_max = ahead_bytes_max

    def start(self, keys: Iterable[BlockKey]) -> Run | None:
        """None: earlier reads hang."""
        if self._pool.waiting >= HUNG_MAX:
            return None
        return ReadRun(keys, self._read, self._pool.submit, self._ahead)

    def _ahead(self, key: BlockKey) -> float:
        """What one block is of all that may be read ahead."""
        return self._format.size_bytes(key.tokens) / self._ahead_bytes_max

    def _read(self, read: Read) -> None:
        key = read.key
        try:
            if read.is_wanted:
                # One byte more tells a file that is too long.
                size = self._format.size_bytes(key.tokens)
                read.arrays = self._format.decode(key, self._files.read(key.name, size + 1))
        except FileNotFoundError:
            pass
        except Unfit as unfit:
            read.unfit = str(unfit)
            self._remove(key.name)
        except Exception as error:
            read.error = said(error)
        finally:
            read.ended.set()

    def _remove(self, name: bytes) -> None:
        try:
            self._index.remove(name)
        except OSError:
            # It stays unfit, and is found to be so each time.
            return


class ReadRun:
    """Implements `Run`."""

    def __init__(
        self,
        keys: Iterable[BlockKey],
        read: Callable[[Read], None],
        submit: Submit,
        ahead: Callable[[BlockKey], float],
    ) -> None:
        self._keys = deque(keys)
        self._read = read
        self._submit = submit
        self._ahead = ahead
        self._reads: deque[Read] = deque()
        self._read_ahead()

    @property
    def is_done(self) -> bool:
        return not self._reads

    def wait(self, seconds: float) -> None:
        """For the next block."""
        if self._reads:
            self._reads[0].ended.wait(seconds)

    def take(self, bytes_max: int) -> list[Read]:
        """Those that have been read, in order, and at the end the one at which the run ends."""
        taken: list[Read] = []
        size = 0
        while self._reads and self._reads[0].ended.is_set() and size < bytes_max:
            read = self._reads.popleft()
            taken.append(read)
            if read.arrays is None:
                self.cancel()
                break
            size += sum(map(len, read.arrays))
        self._read_ahead()
        return taken

    def cancel(self) -> None:
        self._keys.clear()
        for read in self._reads:
            read.is_wanted = False
        self._reads.clear()

    def _read_ahead(self) -> None:
        """At least two, so that no thread is idle."""
        used = sum(self._ahead(read.key) for read in self._reads)
        while self._keys and (len(self._reads) < READERS or used < 1):
            read = Read(self._keys.popleft())
            used += self._ahead(read.key)
            self._reads.append(read)
            self._submit(_task(self._read, read))


def _task(read: Callable[[Read], None], one: Read) -> Callable[[], None]:
    return lambda: read(one)
