"""The disk tier over a real folder, without threads, clock or model."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest
from mlx_serving.engine import DiskCounts
from mlx_serving.mlx.disk_tier import BLOCKS_AT_ONCE, STEPS_UNTIL_COMPUTED
from mlx_serving.mlx.disk_writer import WriteJob

from disk import BLOCK, Clock, Life, Reviver, damage, files_in, key_of

IDS = list(range(100, 120))


def test_what_one_life_computed_the_next_one_finds_to_the_token(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS[:18])
    assert one.tier.counts().writes == 5 and len(files_in(tmp_path)) == 5
    two = Life(tmp_path, reviver=one.reviver)
    assert two.bring(IDS) == 18
    counts = two.tier.counts()
    assert (counts.hits, counts.hit_tokens, counts.blocks) == (5, 18, 5)
    # It is in memory now, and not written again.
    assert two.bring(IDS) == 18 and two.tier.counts().hits == 5
    two.write()
    assert two.tier.counts().writes == 0


def test_the_longest_short_block_is_taken_that_begins_a_prompt(tmp_path: Path) -> None:
    one = Life(tmp_path)
    for end in (5, 7, 6):
        one.compute(IDS[:end])
        one.cache.evict(10**9)
    for asked, expected in ((8, 7), (7, 7), (6, 6), (5, 5), (4, 4)):
        assert Life(tmp_path, reviver=one.reviver).bring(IDS[:asked]) == expected


def test_short_blocks_are_not_kept_where_they_are_of_no_use(tmp_path: Path) -> None:
    one = Life(tmp_path, keeps_short=False)
    one.compute(IDS[:10])
    assert one.tier.counts().writes == 2
    assert Life(tmp_path, reviver=one.reviver).bring(IDS) == 8


def test_a_prompt_goes_on_from_memory_with_the_disk(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    two = Life(tmp_path, reviver=one.reviver)
    two.compute(IDS[:9])
    assert two.bring(IDS) == 20
    assert two.tier.counts().hits == 3


def test_a_salt_parts_what_is_on_disk_and_is_not_on_it(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS, salt="key:0123456789abcdef")
    two = Life(tmp_path, reviver=one.reviver)
    assert two.bring(IDS) == two.bring(IDS, "key:other") == 0
    assert two.bring(IDS, "key:0123456789abcdef") == 20
    for path in files_in(tmp_path):
        assert b"0123456789abcdef" not in path.read_bytes() + path.name.encode()


def test_another_model_finds_nothing(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    other = Life(tmp_path, identity=b"another", reviver=one.reviver)
    assert other.bring(IDS) == 0 and other.tier.counts().unfit == 0
    assert len(files_in(tmp_path)) == 5


def test_blocks_that_are_evicted_before_their_turn_are_dropped(tmp_path: Path) -> None:
    one = Life(tmp_path, jobs_max=2)
    one.compute(IDS, writes=False)
    one.tier.keep_up(beside_rows=False)
    assert len(one.writer.jobs) == 2 and one.tier.counts().pending == 5
    one.cache.evict(2 * one.size_bytes)
    one.write()
    counts = one.tier.counts()
    assert (counts.writes, counts.drops, counts.pending) == (3, 2, 0)
    assert Life(tmp_path, reviver=one.reviver).bring(IDS) == 12


def test_a_block_may_be_evicted_while_it_is_written(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS, writes=False)
    one.tier.keep_up(beside_rows=False)
    one.cache.evict(10**9)
    one.write()
    assert one.tier.counts().writes == 5 and one.tier.counts().drops == 0
    assert Life(tmp_path, reviver=one.reviver).bring(IDS) == 20


def test_beside_rows_little_is_handed_on_and_nothing_is_waited_for(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(list(range(40)), writes=False)
    for _ in range(STEPS_UNTIL_COMPUTED):
        one.tier.keep_up(beside_rows=True)
        assert not one.writer.jobs
    one.tier.keep_up(beside_rows=True)
    assert len(one.writer.jobs) == BLOCKS_AT_ONCE


def test_a_full_disk_costs_what_is_written_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = Life(tmp_path)
    one.files.fail("write", 3)
    one.compute(IDS)
    counts = one.tier.counts()
    # Behind the first one nothing would be found.
    assert (counts.writes, counts.write_errors, counts.drops) == (0, 3, 2) or (
        counts.writes == 2 and counts.write_errors == 3
    )
    assert capfd.readouterr().err.count("No space left") == 1
    assert not list((tmp_path / "kv-blocks").glob(".*"))
    # It is of use again, so it is tried again.
    assert one.cache.match(IDS, 1)
    one.write()
    assert Life(tmp_path, reviver=one.reviver).bring(IDS) == 20


def test_what_the_disk_lost_is_written_again_once_it_is_used(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    for path in files_in(tmp_path):
        path.unlink()
    assert one.cache.match(IDS, 1)
    one.write()
    assert len(files_in(tmp_path)) == 5


def test_damaged_files_are_misses_and_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    third = tmp_path / "kv-blocks" / f"{key_of(one.format, IDS[:12]).name.hex()}.safetensors"
    damage(third, Random(0))
    two = Life(tmp_path, reviver=one.reviver)
    assert two.bring(IDS) == 8
    assert not third.exists() and two.tier.counts().unfit == 1
    assert capfd.readouterr().err.count("no block of this model") == 1
    two.compute(IDS)
    assert Life(tmp_path, reviver=one.reviver).bring(IDS) == 20


def test_a_disk_that_cannot_be_read_is_a_miss(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    two = Life(tmp_path, reviver=one.reviver)
    two.files.fail("read", 100, errno.EIO)
    assert two.bring(IDS) == 0
    assert two.tier.counts().read_errors == 1 and len(files_in(tmp_path)) == 5
    assert capfd.readouterr().err.count("can't be read") == 1


def test_the_least_recently_used_go_first_and_across_lives(tmp_path: Path) -> None:
    clock, reviver = Clock(), Reviver()
    one = Life(tmp_path, 6.5, clock=clock, reviver=reviver)
    first, second = [1] * 8, [2] * 8
    one.compute(first)
    one.compute(second)
    assert one.cache.match(first, 1)
    one.write()
    two = Life(tmp_path, 6.5, clock=clock, reviver=reviver)
    two.compute([3] * 16)
    assert two.tier.counts().evictions == 2
    three = Life(tmp_path, 6.5, clock=clock, reviver=reviver)
    assert [three.bring(one) for one in (first, second, [3] * 16)] == [8, 0, 16]


def test_a_path_goes_from_its_end(tmp_path: Path) -> None:
    one = Life(tmp_path, 3.5)
    one.compute(IDS[:12])
    one.compute([1] * 4)
    assert Life(tmp_path, 3.5, reviver=one.reviver).bring(IDS) == 8


def test_a_limit_that_shrank_is_kept_from_the_start(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    two = Life(tmp_path, 2.5, reviver=one.reviver)
    assert len(files_in(tmp_path)) == 2 and two.bring(IDS) == 8
    assert two.tier.counts().size_bytes <= 2.5 * two.size_bytes


def test_two_workers_share_a_folder(tmp_path: Path) -> None:
    one = Life(tmp_path, 20)
    two = Life(tmp_path, 20, reviver=one.reviver)
    one.compute(IDS)
    assert two.bring(IDS) == 20
    two.compute([1] * 8)
    assert one.bring([1] * 8) == 8
    # What one of them evicts is a miss of the other's.
    for path in files_in(tmp_path):
        path.unlink()
    one.cache.evict(10**9)
    assert one.bring(IDS) == 0
    one.compute(IDS)
    assert one.tier.counts().write_errors == 0


def test_a_worker_that_ends_writes_what_waits(tmp_path: Path) -> None:
    one = Life(tmp_path, jobs_max=2)
    work = one.writer.write

    def write(job: WriteJob) -> None:
        one.clock.seconds += 1
        work(job)
        one.writer.run()

    one.writer.write = write  # type: ignore[method-assign]
    one.compute(IDS, writes=False)
    one.tier.finish(0)
    assert one.tier.counts().pending == 5
    one.tier.finish(60)
    assert one.tier.counts().writes == 5 and one.tier.counts().pending == 0


def test_figures_are_those_of_the_folder(tmp_path: Path) -> None:
    one = Life(tmp_path)
    one.compute(IDS)
    size = sum(path.stat().st_size for path in files_in(tmp_path))
    assert one.tier.counts() == DiskCounts(on=True, blocks=5, size_bytes=size, writes=5)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_what_is_found_is_right_and_the_limit_holds(
    tmp_path: Path, seed: int
) -> None:
    """Against the plainest reference: what was ever computed, and what the folder holds. Each of
    the matches is compared with its tokens by `Life.bring`, number by number."""
    random = Random(seed)
    clock, reviver = Clock(), Reviver()
    limit = random.choice([2.5, 6.5, 50])
    options = {"memory_blocks": random.choice([3, 8, 50]), "jobs_max": random.choice([1, 3, 100])}

    def new() -> Life:
        return Life(tmp_path, limit, clock=clock, reviver=reviver, **options)

    lives = [new(), new()]
    computed: set[tuple[str, tuple[int, ...]]] = set()
    for _ in range(60):
        place = random.randrange(2)
        life = lives[place]
        tokens = [random.randrange(2) for _ in range(random.randrange(1, 18))]
        salt = random.choice(["", "mine"])
        action = random.random()
        if action < 0.35:
            life.compute(tokens, salt, writes=random.random() < 0.7)
            computed |= {(salt, tuple(tokens[:end])) for end in range(len(tokens) + 1)}
        elif action < 0.7:
            found = life.bring(tokens, salt)
            assert not found or (salt, tuple(tokens[:found])) in computed, "nobody has computed it"
        elif action < 0.8:
            life.cache.evict(random.randrange(4) * life.size_bytes)
        elif action < 0.87:
            # Killed, with all that it hadn't written.
            lives[place] = new()
        elif action < 0.94:
            what = random.choice(["write", "use", "read", "remove", "list"])
            life.files.fail(what, random.randrange(1, 4), random.choice([errno.ENOSPC, errno.EIO]))
        elif files := files_in(tmp_path):
            damage(random.choice(files), random)
        for one in lives:
            one.check()
    for life in lives:
        life.files.failures = dict.fromkeys(life.files.failures, 0)
        life.write()
    lives[0].index.look()
    held = sum(path.stat().st_size for path in files_in(tmp_path))
    assert held == lives[0].index.size_bytes <= limit * lives[0].size_bytes


@pytest.mark.parametrize("seed", range(20))
def test_eviction_is_that_of_the_plain_reference(tmp_path: Path, seed: int) -> None:
    """One life, whole blocks, no faults: a dict of beginnings, each with the time of its last
    use."""
    random = Random(seed)
    blocks_max = 5
    life = Life(tmp_path, blocks_max + 0.5, keeps_short=False)
    used: dict[tuple[int, ...], tuple[float, int]] = {}
    now = 0.0
    for _ in range(60):
        tokens = [random.randrange(2) for _ in range(random.randrange(1, 4) * BLOCK)]
        # From the disk alone, as after a restart.
        life.cache.evict(10**9)
        now += 1
        ends = range(BLOCK, len(tokens) + 1, BLOCK)
        if random.random() < 0.5:
            life.compute(tokens)
            for end in ends:
                known = tuple(tokens[:end])
                if known not in used and len(used) == blocks_max:
                    # As they were before this use, but those of this path.
                    path = {tuple(tokens[:e]) for e in ends}
                    rest = {one: use for one, use in used.items() if one not in path} or used
                    del used[min(rest, key=lambda one: rest[one])]
                used[known] = (now, -end)
        else:
            found = 0
            while tuple(tokens[: found + BLOCK]) in used and found < len(tokens):
                found += BLOCK
            assert life.bring(tokens) == found
            life.write()
            for end in range(BLOCK, found + 1, BLOCK):
                used[tuple(tokens[:end])] = (now, -end)
        names = {path.stem for path in files_in(tmp_path)}
        assert names == {key_of(life.format, one).name.hex() for one in used}
