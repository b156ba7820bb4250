"""The thread that writes: what it tells, that it is bounded, and what becomes of faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mlx_serving.mlx.disk_index import DiskIndex
from mlx_serving.mlx.disk_writer import DiskWork, DiskWriter, Gone, NotWritten, WriteJob, Written
from mlx_serving.tokens import pack_tokens

from disk import FaultyFiles, block_format, files_in, numbers

OF = block_format()


def job(number: int) -> WriteJob:
    key = OF.key(OF.root(""), pack_tokens([number]))
    return WriteJob(key, number, OF.size_bytes(1), [numbers([], [number])])


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it takes for ever"
        time.sleep(0.001)


class Shelf:
    def __init__(self, folder: Path, queued_blocks: int = 100) -> None:
        self.files = FaultyFiles(folder)
        self.index = DiskIndex(self.files, 10**6)
        work = DiskWork(self.files, self.index, OF)
        self.writer = DiskWriter(work, queued_blocks * OF.size_bytes(1))
        until(lambda: not self.writer.is_busy)

    def results(self) -> list[object]:
        found: list[object] = []
        until(lambda: found.extend(self.writer.results()) or not self.writer.is_busy)
        return found


def test_what_is_given_is_written_in_its_order_and_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    jobs = [job(number) for number in range(10)]
    for one in jobs:
        shelf.writer.write(one)
    assert shelf.results() == [Written(one.key.name) for one in jobs]
    assert [path.stem for path in files_in(tmp_path)] == [one.key.name.hex() for one in jobs]


def test_uses_are_kept_and_what_is_gone_is_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    one, two = job(1), job(2)
    shelf.writer.write(one)
    assert shelf.results() == [Written(one.key.name)]
    shelf.writer.use({one.key.name: 77, two.key.name: 78})
    assert shelf.results() == [Gone(two.key.name)]
    assert shelf.files.used_ns(one.key.name) == 77


def test_a_slow_disk_has_a_bounded_queue(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, queued_blocks=2)
    slow = shelf.files.make_durable
    is_held = True

    def wait(file: int) -> None:
        until(lambda: not is_held)
        slow(file)

    shelf.files.make_durable = wait  # type: ignore[method-assign]
    given = 0
    while shelf.writer.has_room:
        shelf.writer.write(job(given))
        given += 1
    assert given == 2 and shelf.writer.is_busy
    is_held = False
    assert len(shelf.results()) == 2 and shelf.writer.has_room


def test_a_fault_is_told_and_the_thread_lives(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.files.fail("write")
    for number in (1, 2):
        shelf.writer.write(job(number))
    first, second = shelf.results()
    assert first == NotWritten(job(1).key.name, "No space left on device")
    assert second == Written(job(2).key.name)
    broken = WriteJob(job(3).key, 3, 1, [None])  # type: ignore[list-item]
    shelf.writer.write(broken)
    (told,) = shelf.results()
    assert isinstance(told, NotWritten) and "TypeError" in told.reason
    shelf.writer.write(job(4))
    assert shelf.results() == [Written(job(4).key.name)]
