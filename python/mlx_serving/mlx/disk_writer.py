"""The thread that writes to the folder of the disk tier, so that no step waits for a disk.

Takes blocks as bytes, and says what has become of each. It holds a bounded amount of them: who has
more keeps it. What it is given stays the giver's until it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final, Protocol

from .disk_files import DiskFiles
from .disk_format import BlockFormat, BlockKey
from .disk_index import DiskIndex

QUEUED_BYTES_MAX: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class WriteJob:
    key: BlockKey
    used_ns: int
    size_bytes: int
    arrays: Sequence[memoryview]


@dataclass(frozen=True, slots=True)
class Written:
    name: bytes


@dataclass(frozen=True, slots=True)
class NotWritten:
    name: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """It was there, and somebody has removed it."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Trouble:
    """With the folder itself."""

    reason: str


Result = Written | NotWritten | Gone | Trouble


class Writing(Protocol):
    """`DiskWriter`, or a test's without a thread."""

    @property
    def has_room(self) -> bool: ...

    @property
    def is_busy(self) -> bool: ...

    def write(self, job: WriteJob) -> None: ...

    def use(self, used: dict[bytes, int]) -> None: ...

    def results(self) -> list[Result]: ...


class DiskWork:
    """What the thread does, without the thread."""

    def __init__(self, files: DiskFiles, index: DiskIndex, block_format: BlockFormat) -> None:
        self._files = files
        self._index = index
        self._format = block_format

    def look(self) -> list[Result]:
        try:
            self._index.look()
        except OSError as error:
            return [Trouble(said(error))]
        return []

    def write(self, job: WriteJob) -> Result:
        name = job.key.name
        try:
            pieces = self._format.encode(job.key, job.arrays)
            self._index.write(name, job.used_ns, job.size_bytes, pieces)
        except Exception as error:
            # A thread that ends is noticed by nobody.
            return NotWritten(name, said(error))
        return Written(name)

    def use(self, used: dict[bytes, int]) -> list[Result]:
        found: list[Result] = []
        for name, used_ns in used.items():
            try:
                if not self._index.use(name, used_ns):
                    found.append(Gone(name))
            except OSError as error:
                return [*found, Trouble(said(error))]
        return found

    def sync(self) -> list[Result]:
        try:
            self._files.sync()
        except OSError as error:
            return [Trouble(said(error))]
        return []


def said(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"


class DiskWriter:
    """Implements `Writing`."""

    def __init__(self, work: DiskWork, queued_bytes_max: int = QUEUED_BYTES_MAX) -> None:
        self._work = work
        self._queued_bytes_max = queued_bytes_max
        self._changed = Condition()
        self._jobs: deque[WriteJob] = deque()
        self._used: dict[bytes, int] = {}
        # With the one that is being written.
        self._queued_bytes = 0
        self._is_working = True
        self._results: deque[Result] = deque()
        Thread(target=self._run, name="disk-writer", daemon=True).start()

    @property
    def has_room(self) -> bool:
        return self._queued_bytes < self._queued_bytes_max

    @property
    def is_busy(self) -> bool:
        with self._changed:
            return self._is_working or bool(self._jobs or self._used or self._results)

    def write(self, job: WriteJob) -> None:
        with self._changed:
            self._jobs.append(job)
            self._queued_bytes += job.size_bytes
            self._changed.notify()

    def use(self, used: dict[bytes, int]) -> None:
        with self._changed:
            self._used.update(used)
            self._changed.notify()

    def results(self) -> list[Result]:
        with self._changed:
            found = list(self._results)
            self._results.clear()
            return found

    def _run(self) -> None:
        self._report(self._work.look())
        unsynced = False
        while True:
            with self._changed:
                if not (self._jobs or self._used or unsynced):
                    self._is_working = False
                    self._changed.wait_for(lambda: self._jobs or self._used)
                    self._is_working = True
                job = self._jobs.popleft() if self._jobs else None
                used: dict[bytes, int] = {}
                if job is None:
                    used, self._used = self._used, used
            if job is not None:
                result, size = self._work.write(job), job.size_bytes
                # Before it is told: the last to hold its bytes is who gave them.
                del job
                unsynced = True
                with self._changed:
                    self._queued_bytes -= size
                self._report([result])
            elif used:
                self._report(self._work.use(used))
            else:
                unsynced = False
                self._report(self._work.sync())

    def _report(self, results: list[Result]) -> None:
        with self._changed:
            self._results += results
