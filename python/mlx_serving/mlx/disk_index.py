"""Which blocks the folder of the disk tier holds, how large they are, and which of them go first.

The folder is the truth: the time of a file is that of its last use, so the order survives a
restart, and what another process changed is seen at the next look. Between two looks this index
stands for it: at most a sixteenth of the limit is written by then. Threads may share it; none of
its methods is for the engine thread, but `has` and the figures.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from .disk_files import DiskFiles

# Between two looks at the folder so much of the limit is written.
LOOK_SHARE: Final = 1 / 16
HEAP_SPARE: Final = 1024


@dataclass(slots=True)
class Entry:
    used_ns: int
    size_bytes: int


class DiskIndex:
    def __init__(self, files: DiskFiles, bytes_max: int) -> None:
        self._files = files
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._entries: dict[bytes, Entry] = {}
        # With all times that an entry ever had; those of before are passed over.
        self._heap: list[tuple[int, bytes]] = []
        self._written_bytes = 0
        self.size_bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, name: bytes) -> bool:
        """As far as is known."""
        return name in self._entries

    def look(self) -> None:
        """Takes the folder as it is, and brings it under the limit. Raises `OSError`."""
        found = self._files.list()
        with self._lock:
            self._entries = {one.name: Entry(one.used_ns, one.size_bytes) for one in found}
            self._heap = [(one.used_ns, one.name) for one in found]
            heapq.heapify(self._heap)
            self.size_bytes = sum(one.size_bytes for one in found)
            self._written_bytes = 0
            self._make_room(0)

    def write(
        self, name: bytes, used_ns: int, size_bytes: int, pieces: Sequence[bytes | memoryview]
    ) -> None:
        """Makes room for a block and puts it there. Raises `OSError`."""
        if self._written_bytes > LOOK_SHARE * self._bytes_max:
            self.look()
        with self._lock:
            self._forget(name)
            self._make_room(size_bytes)
        self._files.write(name, used_ns, pieces)
        with self._lock:
            self._put(name, used_ns, size_bytes)
            self._written_bytes += size_bytes

    def use(self, name: bytes, used_ns: int) -> bool:
        """Whether it is still there. Raises `OSError`."""
        try:
            self._files.use(name, used_ns)
        except FileNotFoundError:
            with self._lock:
                self._forget(name)
            return False
        with self._lock:
            # One of another process's is seen at the next look.
            if entry := self._entries.get(name):
                self._put(name, used_ns, entry.size_bytes)
        return True

    def remove(self, name: bytes) -> None:
        """One that is of no use. Raises `OSError`."""
        with self._lock:
            self._forget(name)
        try:
            self._files.remove(name)
        except FileNotFoundError:
            return

    def _put(self, name: bytes, used_ns: int, size_bytes: int) -> None:
        self._forget(name)
        self._entries[name] = Entry(used_ns, size_bytes)
        self.size_bytes += size_bytes
        heapq.heappush(self._heap, (used_ns, name))
        if len(self._heap) > 2 * len(self._entries) + HEAP_SPARE:
            self._heap = [(entry.used_ns, one) for one, entry in self._entries.items()]
            heapq.heapify(self._heap)

    def _forget(self, name: bytes) -> None:
        entry = self._entries.pop(name, None)
        if entry:
            self.size_bytes -= entry.size_bytes

    def _make_room(self, size_bytes: int) -> None:
        while self.size_bytes + size_bytes > self._bytes_max and self._entries:
            used_ns, name = heapq.heappop(self._heap)
            entry = self._entries.get(name)
            if entry is None or entry.used_ns != used_ns:
                continue
            try:
                latest_ns = self._files.used_ns(name)
                if latest_ns > used_ns:
                    # Another process has used it.
                    self._put(name, latest_ns, entry.size_bytes)
                    continue
                self._files.remove(name)
            except FileNotFoundError:
                # Another process has removed it.
                self._forget(name)
                continue
            except OSError:
                # It stays, and so it is counted, and may go later.
                heapq.heappush(self._heap, (used_ns, name))
                raise
            self._forget(name)
            self.evictions += 1
