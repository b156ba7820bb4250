"""When blocks are brought from the disk, for whom, and for how long at most."""

from __future__ import annotations

from pathlib import Path

from mlx_serving.mlx.disk_lookup import RATE_TOKENS_MIN, RUN_SECONDS_MIN

from disk import BLOCK, Life

IDS = list(range(100, 140))


def written(folder: Path) -> Life:
    one = Life(folder)
    one.compute(IDS)
    return one


def test_what_nobody_has_costs_one_question(tmp_path: Path) -> None:
    life = Life(tmp_path)
    assert not life.tier.awaits(1, IDS, "", may_wait=False)
    assert life.tier.counts().misses == 1
    # Nothing is asked of the disk for what is in memory, or for less than a block.
    life.compute(IDS)
    for tokens in (IDS, IDS[:9], [1, 2, 3]):
        assert not life.tier.awaits(1, tokens, "", may_wait=False)
    assert life.tier.counts().misses == 1


def test_one_at_a_time_and_the_others_let_those_go_who_need_nothing(tmp_path: Path) -> None:
    one = written(tmp_path)
    life = Life(tmp_path, reviver=one.reviver)
    life.pool.hangs = True
    assert life.tier.awaits(1, IDS, "", may_wait=False)
    assert life.tier.awaits(2, IDS, "", may_wait=False)
    assert not life.tier.awaits(3, [1, 2, 3], "", may_wait=False)
    life.tier.forget(2)
    assert life.tier.awaits(1, IDS, "", may_wait=False)
    # Who has gone leaves its turn to the next.
    life.tier.forget(1)
    life.pool.hangs = False
    assert life.bring(IDS, id=2) == 40


def test_a_disk_that_hangs_costs_what_computing_costs(tmp_path: Path) -> None:
    one = written(tmp_path)
    life = Life(tmp_path, reviver=one.reviver)
    life.pool.hangs = True
    life.seconds_a_token = 0.5
    assert life.tier.awaits(1, IDS, "", may_wait=False)
    life.clock.seconds += 19.9
    assert life.tier.awaits(1, IDS, "", may_wait=False)
    life.clock.seconds += 0.2
    assert not life.tier.awaits(1, IDS, "", may_wait=False)
    assert life.tier.counts().slow == 1
    # However little computing costs, a run has its least time.
    life.seconds_a_token = 0
    assert life.tier.awaits(2, IDS, "", may_wait=False)
    life.clock.seconds += RUN_SECONDS_MIN * 1.1
    assert not life.tier.awaits(2, IDS, "", may_wait=False)


def test_reading_that_is_slower_than_computing_is_not_begun_for_a_while(tmp_path: Path) -> None:
    tokens = [i % 50 for i in range(2 * RATE_TOKENS_MIN)]
    one = Life(tmp_path)
    one.compute(tokens)
    life = Life(tmp_path, reviver=one.reviver)
    take = life.pool.submit

    def slowly(task):  # type: ignore[no-untyped-def]
        life.clock.seconds += 1
        take(task)

    life.pool.submit = slowly  # type: ignore[method-assign]
    assert life.bring(tokens) == len(tokens)
    life.cache.evict(10**9)
    life.seconds_a_token = 0.9 / BLOCK
    assert life.bring(tokens) == 0 and life.tier.counts().slow == 1
    tries = 1
    while not life.bring(tokens):
        tries += 1
    assert 2 < tries < 20


def test_no_more_is_read_than_memory_has_room_for(tmp_path: Path) -> None:
    one = written(tmp_path)
    life = Life(tmp_path, reviver=one.reviver, memory_blocks=3)
    assert life.bring(IDS) == 12
    assert life.tier.counts().hits == 3


def test_blocks_that_go_meanwhile_end_a_run(tmp_path: Path) -> None:
    one = written(tmp_path)
    life = Life(tmp_path, reviver=one.reviver)
    life.compute(IDS[:8])
    life.pool.hangs = True
    assert life.tier.awaits(1, IDS, "", may_wait=False)
    life.cache.evict(10**9)
    while life.pool.waiting:
        life.pool._tasks.get()()
    assert not life.tier.awaits(1, IDS, "", may_wait=False)
    assert life.cache.peek(IDS, 1) == 0
    life.pool.hangs = False
    assert life.bring(IDS) == 40


def test_what_cannot_be_brought_fails_no_request(tmp_path: Path) -> None:
    one = written(tmp_path)
    life = Life(tmp_path)
    # A block whose numbers nobody knows: its `block_of` raises.
    assert not one.reviver.known.keys() <= life.reviver.known.keys()
    assert life.bring(IDS) == 0
    assert life.tier.counts().read_errors == 1
