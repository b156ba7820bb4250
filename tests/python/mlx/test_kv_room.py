"""What rows may take of memory together: whatever comes, what they can hold stays in the budget."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.engine import Capabilities
from mlx_serving.mlx.kv_room import (
    ROOM_SHARE,
    ROOM_TOKENS_MAX,
    ROOM_TOKENS_MIN,
    KvRoom,
    room_tokens,
)

from toy import request

CONTEXT = 10_000
PER_TOKEN, FIXED = 10, 7


def room(budget_bytes: float) -> KvRoom:
    return KvRoom(Capabilities(CONTEXT, PER_TOKEN, FIXED, 0, budget_bytes))


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
    assert KvRoom(Capabilities(CONTEXT, 0, FIXED, 0, 1)).spare_tokens([small], 5) == inf
