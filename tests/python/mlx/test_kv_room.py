"""What rows may take of memory together: whatever comes, what they can hold stays in the budget."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.engine import Capabilities
from mlx_serving.failures import Refused
from mlx_serving.messages import Admission
from mlx_serving.mlx.kv_room import (
    ROOM_SHARE,
    ROOM_TOKENS_MAX,
    ROOM_TOKENS_MIN,
    KvRoom,
    room_tokens,
)

from toy import Driver, greedy, model, prompt, request

CONTEXT = 10_000
PER_TOKEN, FIXED = 10, 7


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def room(budget_bytes: float) -> KvRoom:
    return KvRoom(Capabilities(CONTEXT, PER_TOKEN, FIXED, 0, budget_bytes, budget_bytes))


@given(st.integers(0, 100_000))
def test_a_cache_grows_by_a_share_of_itself_and_no_more_than_is_needed(length: int) -> None:
    grows = room_tokens(length)
    assert ROOM_TOKENS_MIN <= grows <= ROOM_TOKENS_MAX
    assert grows <= max(ROOM_TOKENS_MIN, length // ROOM_SHARE)
    assert room_tokens(length, 3) == 3 and room_tokens(length, 0) == 1
    # What is copied for each token that comes.
    assert length <= ROOM_SHARE * (grows + 1) or grows == ROOM_TOKENS_MAX


def test_a_row_is_counted_with_all_that_it_may_come_to() -> None:
    of = room(0)
    assert of.bytes_max(request(1, [1] * 20, 30)) == FIXED + 50 * PER_TOKEN
    assert of.tokens_max(request(1, [1] * 20, 10 * CONTEXT)) == CONTEXT


def test_one_alone_fits_always_and_the_next_where_there_is_room_for_its_growth_too() -> None:
    small = request(1, [1] * 20, 30)
    assert room(0).fits(small, [], 0)
    with_room = FIXED + (50 + ROOM_TOKENS_MIN) * PER_TOKEN
    assert room(2 * with_room).fits(small, [small], 0)
    assert not room(2 * with_room - 1).fits(small, [small], 0)
    assert not room(2 * with_room).fits(small, [small], 1)


def test_what_is_left_is_there_for_padding() -> None:
    small = request(1, [1] * 20, 30)
    with_room = FIXED + (50 + ROOM_TOKENS_MIN) * PER_TOKEN
    of = room(2 * with_room + 90 * PER_TOKEN)
    assert of.spare_tokens([small, small], 0) == 90 / (1 + 1 / ROOM_SHARE) == 80
    assert round(of.spare_tokens([small, small], 30), 6) == 50
    assert of.fits(small, [small], 80) and not of.fits(small, [small], 81)
    assert KvRoom(Capabilities(CONTEXT, 0, FIXED, 0, 1, 1)).spare_tokens([small], 5) == inf


# Two layers of keys and values, two heads of eight floats.
TOY_PER_TOKEN = 2 * 2 * 2 * 8 * 4


def test_what_fits_only_alone_waits_and_runs_alone(toy: Any) -> None:
    driver = Driver(toy, kv_budget=400 * TOY_PER_TOKEN, kv_bytes_per_token=TOY_PER_TOKEN)
    asked = [request(i, prompt(i, tokens), 12) for i, tokens in enumerate((200, 388, 20))]
    for one in asked:
        driver.insert(one)
    running = []
    while driver.runner.delay_seconds() is not None:
        driver.step()
        driver.runner.check()
        figures = driver.runner.figures()
        running.append(figures.running)
        # First come, first served: the small one is not served before it for ever.
        assert 2 not in driver.ends or 1 in driver.ends
    assert max(running) == 1
    for one in asked:
        assert driver.tokens[one.id] == greedy(toy, one.prompt, 12)


def test_to_one_that_needs_more_than_rows_have_the_prefix_cache_gives_way(toy: Any) -> None:
    driver = Driver(
        toy,
        kv_budget=150 * TOY_PER_TOKEN,
        kv_bytes_per_token=TOY_PER_TOKEN,
        prefix_bytes=150 * TOY_PER_TOKEN,
        block_tokens=8,
    )

    def play(*requests: Admission) -> None:
        for one in requests:
            driver.insert(one)
        while driver.runner.delay_seconds() is not None:
            driver.step()
            driver.runner.check()

    def kept() -> int:
        return driver.prompt_cache.figures().size_bytes

    play(request(1, prompt(1, 120)))
    full = kept()
    assert full > 100 * TOY_PER_TOKEN
    long = prompt(2, 240)
    play(request(2, long), request(3, prompt(3, 20)))
    assert driver.ends[2].finish == "length"
    assert driver.tokens[2] == greedy(toy, long, 12)
    assert kept() < full
    with pytest.raises(Refused, match="of KV cache"):
        driver.insert(request(4, prompt(4, 289), 12))
    # What was lent is back.
    play(request(5, prompt(1, 120)))
    play(request(6, prompt(1, 120)))
    assert driver.cached(6) > 100


@pytest.mark.parametrize("seed", range(6))
def test_rows_never_hold_more_than_their_budget(toy: Any, seed: int) -> None:
    random = Random(seed)
    driver = Driver(
        toy,
        # Of the smallest one the longest request needs more.
        kv_budget=random.choice((420, 700, 1500)) * TOY_PER_TOKEN,
        kv_bytes_per_token=TOY_PER_TOKEN,
        prefix_bytes=100 * TOY_PER_TOKEN,
        block_tokens=8,
    )
    for i in range(24):
        tokens = random.choice((random.randint(1, 40), random.randint(1, 460)))
        driver.insert(request(i, prompt(random.randint(1, 4), tokens), random.randint(1, 40)))
        for _ in range(random.randint(0, 6)):
            driver.step()
            driver.runner.check()
        if random.random() < 0.2:
            driver.runner.remove(random.randint(0, i))
            driver.runner.check()
    while driver.runner.delay_seconds() is not None:
        driver.step()
        driver.runner.check()
    assert driver.runner.figures().kv_bytes == 0
