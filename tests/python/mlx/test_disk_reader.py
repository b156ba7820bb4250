"""Runs of blocks, read ahead by threads."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

from mlx_serving.mlx.disk_format import BlockKey
from mlx_serving.mlx.disk_index import DiskIndex
from mlx_serving.mlx.disk_reader import HUNG_MAX, READERS, DiskReader, Pool
from mlx_serving.mlx.disk_writer import DiskWork, WriteJob
from mlx_serving.tokens import pack_tokens

from disk import BLOCK, FaultyFiles, InlinePool, block_format, damage, files_in, numbers, reads

OF = block_format()


def run_of(blocks: int) -> list[BlockKey]:
    keys = []
    parent = OF.root("")
    for block in range(blocks):
        key = OF.key(parent, pack_tokens([block] * BLOCK))
        keys.append(key)
        parent = key.name
    return keys


class Shelf:
    def __init__(self, folder: Path, blocks: int) -> None:
        self.files = FaultyFiles(folder)
        self.index = DiskIndex(self.files, 10**6)
        self.keys = run_of(blocks)
        work = DiskWork(self.files, self.index, OF)
        for place, key in enumerate(self.keys):
            arrays = [numbers([], [place] * BLOCK)]
            work.write(WriteJob(key, place, OF.size_bytes(BLOCK), arrays))

    def reader(self, pool: Pool, ahead_bytes_max: int = 10**6) -> DiskReader:
        return DiskReader(self.files, self.index, OF, pool, ahead_bytes_max)


def test_a_run_comes_in_order_and_ends_where_a_block_is_missing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 30)
    reader = shelf.reader(Pool())
    for held in (30, 17, 0):
        for key in shelf.keys[held:]:
            shelf.index.remove(key.name)
        run = reader.start(shelf.keys)
        assert run and list(reads(run)) == [key.packed for key in shelf.keys[:held]]
        assert run.is_done


def test_a_damaged_file_ends_a_run_and_is_removed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 6)
    third = next(p for p in files_in(tmp_path) if p.stem == shelf.keys[2].name.hex())
    damage(third, Random(3))
    run = shelf.reader(Pool()).start(shelf.keys)
    assert run and list(reads(run)) == [key.packed for key in shelf.keys[:2]]
    assert len(files_in(tmp_path)) == 5 and not shelf.index.has(shelf.keys[2].name)


def test_why_a_run_ended_is_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    reader = shelf.reader(InlinePool())
    missing = reader.start(run_of(3)[1:])
    shelf.files.fail("read", 1, errno.EIO)
    broken = reader.start(shelf.keys)
    files_in(tmp_path)[0].write_bytes(b"?")
    unfit = reader.start(shelf.keys)
    told = [run.take(1)[0] for run in (missing, broken, unfit) if run]
    assert [(one.unfit, one.error) for one in told] == [
        (None, None),
        (None, "Input/output error"),
        (f"it is of 1 bytes, not {OF.size_bytes(BLOCK)}", None),
    ]


def test_a_bounded_part_of_a_run_is_read_ahead(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 20)
    for blocks, expected in ((5, 5), (0, READERS)):
        pool = InlinePool()
        pool.hangs = True
        reader = shelf.reader(pool, max(1, blocks * OF.size_bytes(BLOCK)))
        run = reader.start(shelf.keys)
        assert run and pool.waiting == expected
        assert run.take(1) == [] and not run.is_done
        run.cancel()
        assert run.is_done


def test_a_disk_that_hangs_keeps_later_runs_from_waiting(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    pool = InlinePool()
    pool.hangs = True
    reader = shelf.reader(pool)
    started = 0
    while run := reader.start(shelf.keys):
        run.cancel()
        started += 1
    assert started == HUNG_MAX


def test_as_much_is_taken_as_is_asked_for(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 6)
    run = shelf.reader(InlinePool()).start(shelf.keys)
    assert run
    size = 8 * BLOCK
    assert [len(run.take(bytes_max)) for bytes_max in (1, 2 * size, 10**6)] == [1, 2, 3]
