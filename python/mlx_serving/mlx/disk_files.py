"""The folder of the disk tier, as far as it is a folder: files by the names of blocks.

A file is there as a whole or not at all: it is written under another name, made durable, and
renamed. All of it is the user's alone. Knows nothing of what a file means. Whatever it raises is an
`OSError`; two processes may use one folder.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy

# In the folder that the user names, so that nothing else in it is ever touched.
OWN_FOLDER: Final = "kv-blocks"
SUFFIX: Final = ".safetensors"
DRAFT_SUFFIX: Final = ".draft"
NAMED: Final = re.compile(r"([0-9a-f]{32})\.safetensors")
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
# Whoever wrote a draft for so long is dead.
DRAFT_SECONDS_MAX: Final = 600.0
# Buffers of one call of the system.
PIECES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Listed:
    name: bytes
    used_ns: int
    size_bytes: int


class DiskFiles:
    def __init__(self, folder: Path) -> None:
        """Makes the folder where it isn't there. One that can't be used raises."""
        self._folder = folder / OWN_FOLDER
        self._drafts = itertools.count()
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        status = self._folder.stat(follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{self._folder} is no folder of this user's")
        if stat.S_IMODE(status.st_mode) != FOLDER_MODE:
            self._folder.chmod(FOLDER_MODE)
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{self._folder} can't be written")

    def list(self) -> list[Listed]:
        """Blocks alone; drafts whose writers are dead are removed."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # Another process may remove it meanwhile.
                with suppress(FileNotFoundError):
                    if named := NAMED.fullmatch(entry.name):
                        status = entry.stat(follow_symlinks=False)
                        name = bytes.fromhex(named[1])
                        found.append(Listed(name, status.st_mtime_ns, status.st_size))
                    elif entry.name.endswith(DRAFT_SUFFIX):
                        self._remove_old(Path(entry.path))
        return found

    def _remove_old(self, draft: Path) -> None:
        if time.time() - draft.stat(follow_symlinks=False).st_mtime > DRAFT_SECONDS_MAX:
            draft.unlink()

    def used_ns(self, name: bytes) -> int:
        return self._path(name).stat(follow_symlinks=False).st_mtime_ns

    def use(self, name: bytes, used_ns: int) -> None:
        os.utime(self._path(name), ns=(used_ns, used_ns), follow_symlinks=False)

    def remove(self, name: bytes) -> None:
        self._path(name).unlink()

    def write(self, name: bytes, used_ns: int, pieces: Sequence[bytes | memoryview]) -> None:
        draft = self._draft()
        try:
            self._write_draft(draft, pieces)
            os.utime(draft, ns=(used_ns, used_ns))
            draft.replace(self._path(name))
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def _write_draft(self, draft: Path, pieces: Sequence[bytes | memoryview]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(draft, flags, FILE_MODE)
        try:
            self.write_all(file, pieces)
            self.make_durable(file)
        finally:
            os.close(file)

    def make_durable(self, file: int) -> None:
        os.fsync(file)

    def write_all(self, file: int, pieces: Sequence[bytes | memoryview]) -> None:
        for first in range(0, len(pieces), PIECES_MAX):
            left = [memoryview(piece) for piece in pieces[first : first + PIECES_MAX]]
            while left:
                written = os.writev(file, left)
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left and written:
                    left[0] = left[0][written:]

    def sync(self) -> None:
        """That files were made or removed survives a loss of power."""
        file = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.make_durable(file)
        finally:
            os.close(file)

    def read(self, name: bytes, bytes_max: int) -> memoryview:
        """As much of it as there is, up to `bytes_max`."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(self._path(name), flags)
        try:
            size = min(bytes_max, os.fstat(file).st_size)
            # Not filled with zeros first.
            buffer = numpy.empty(size, numpy.uint8).data
            done = 0
            while done < size:
                read = os.readv(file, [buffer[done:]])
                if not read:
                    break
                done += read
            return buffer[:done]
        finally:
            os.close(file)

    def _path(self, name: bytes) -> Path:
        return self._folder / f"{name.hex()}{SUFFIX}"

    def _draft(self) -> Path:
        host = f"{os.uname().nodename[:32]}.{os.getpid()}.{next(self._drafts)}"
        return self._folder / f".{host}{DRAFT_SUFFIX}"
