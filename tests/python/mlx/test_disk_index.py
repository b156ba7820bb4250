"""Which blocks go first, and that the limit holds, by itself and beside another process."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from mlx_serving.mlx.disk_index import HEAP_SPARE, DiskIndex

from disk import FaultyFiles


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Shelf:
    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.files = FaultyFiles(folder)
        self.index = DiskIndex(self.files, bytes_max)
        self.index.look()

    def write(self, number: int, used_ns: int, size: int = 10) -> None:
        self.index.write(name(number), used_ns, size, [bytes(size)])

    def held(self) -> list[int]:
        return sorted(int.from_bytes(one.name, "big") for one in self.files.list())


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 35)
    for number in (1, 2, 3):
        shelf.write(number, number)
    assert shelf.index.use(name(1), 10)
    shelf.write(4, 4)
    assert shelf.held() == [1, 3, 4] and shelf.index.evictions == 1
    shelf.write(5, 5, size=30)
    assert shelf.held() == [5] and shelf.index.size_bytes == 30
    shelf.write(5, 6, size=20)
    assert shelf.held() == [5] and shelf.index.size_bytes == 20


def test_the_folder_is_the_truth(tmp_path: Path) -> None:
    one = Shelf(tmp_path, 1000)
    for number in range(5):
        one.write(number, 100 - number)
    two = Shelf(tmp_path, 25)
    assert two.held() == [0, 1] and two.index.size_bytes == 20
    assert not one.index.use(name(4), 5)
    assert len(one.index) == 4 and one.index.has(name(3))
    one.index.look()
    assert len(one.index) == 2 and not one.index.has(name(3))


def test_what_another_process_used_stays_and_what_it_removed_is_gone(tmp_path: Path) -> None:
    one, two = Shelf(tmp_path, 35), Shelf(tmp_path, 1000)
    for number in (1, 2, 3):
        one.write(number, number)
    two.index.use(name(1), 50)
    two.index.remove(name(2))
    one.write(4, 4)
    # The second one's place is free, which is only found out when it is its turn.
    assert one.held() == [1, 3, 4] and one.index.evictions == 0


def test_what_another_process_wrote_is_counted_before_long(tmp_path: Path) -> None:
    one, two = Shelf(tmp_path, 1000), Shelf(tmp_path, 1000)
    for number in range(60):
        one.write(number, number)
        two.write(1000 + number, number)
    assert sum(one.size_bytes for one in one.files.list()) <= 1000 + 2 * 1000 / 16 + 20


def test_what_cannot_be_removed_is_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 15)
    shelf.write(1, 1)
    shelf.files.fail("remove")
    with pytest.raises(OSError, match="No space"):
        shelf.write(2, 2)
    assert shelf.held() == [1] and shelf.index.size_bytes == 10
    shelf.write(2, 2)
    assert shelf.held() == [2]


def test_one_that_cannot_be_written_is_not_counted(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 100)
    shelf.files.fail("write")
    with pytest.raises(OSError, match="No space"):
        shelf.write(1, 1)
    assert shelf.held() == [] and shelf.index.size_bytes == 0 and not shelf.index.has(name(1))


def test_many_uses_take_no_memory(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 25)
    shelf.write(1, 1)
    shelf.write(2, 2)
    for used_ns in range(3, 3 * HEAP_SPARE):
        shelf.index.use(name(1), used_ns)
    assert len(shelf.index._heap) <= HEAP_SPARE + 2 * len(shelf.index) + 1
    shelf.write(3, 10 * HEAP_SPARE)
    assert shelf.held() == [1, 3]


def test_one_that_is_gone_may_be_removed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 100)
    shelf.index.remove(name(1))
    shelf.write(1, 1)
    next((tmp_path / "kv-blocks").iterdir()).unlink()
    shelf.index.remove(name(1))
    assert shelf.index.size_bytes == 0


@pytest.mark.parametrize("seed", range(20))
def test_as_a_sorted_list_would(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    shelf = Shelf(tmp_path, 55)
    used: dict[int, int] = {}
    for now in range(1, 80):
        number = random.randrange(12)
        if random.random() < 0.6:
            used.pop(number, None)
            while len(used) >= 5:
                del used[min(used, key=lambda one: used[one])]
            shelf.write(number, now)
            used[number] = now
        elif shelf.index.use(name(number), now):
            used[number] = now
        if random.random() < 0.1:
            shelf.index.look()
        assert shelf.held() == sorted(used) and shelf.index.size_bytes == 10 * len(used)
