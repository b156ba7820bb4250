"""The cost of a pass is found again from chunks of any lengths, through noise and disturbances."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlx_serving.mlx.pass_cost import PassCost, solve

FIXED, TOKEN, FIXED_AT_DEPTH, TOKEN_AT_DEPTH = 0.012, 0.0004, 0.000002, 0.0000003


def cost(tokens: int, depth: int) -> float:
    return FIXED + TOKEN * tokens + (FIXED_AT_DEPTH + TOKEN_AT_DEPTH * tokens) * depth


def taught(
    noise: float = 0.0, chunks: int = 60, prior: tuple[float, float] = (0.1, 0.1)
) -> PassCost:
    chance = random.Random(7)
    learned = PassCost(0.1, 0.1, 32)
    for _ in range(chunks):
        tokens, depth = chance.choice((8, 30, 100, 300)), chance.randrange(4000)
        learned.learn(tokens, depth, cost(tokens, depth) * chance.uniform(1 - noise, 1 + noise))
    return learned


def test_all_four_parts_are_found() -> None:
    learned = taught()
    for depth in (0, 1000, 4000):
        assert learned.fixed_seconds(depth) == pytest.approx(cost(0, depth), rel=0.05)
        at_depth = cost(1, depth) - cost(0, depth)
        assert learned.token_seconds(depth) == pytest.approx(at_depth, rel=0.05)
        assert learned.seconds(200, depth) == pytest.approx(cost(200, depth), rel=0.02)
        assert learned.tokens_within(cost(200, depth), depth) == pytest.approx(200, rel=0.05)


def test_noise_is_averaged() -> None:
    learned = taught(noise=0.3)
    assert learned.seconds(100, 1000) == pytest.approx(cost(100, 1000), rel=0.15)


def test_a_disturbed_chunk_moves_little_and_a_change_of_speed_wins() -> None:
    learned = taught()
    learned.learn(100, 1000, 100 * cost(100, 1000))
    assert learned.seconds(100, 1000) < 2 * cost(100, 1000)
    for _ in range(60):
        learned.learn(100, 1000, 10 * cost(100, 1000))
    assert learned.seconds(100, 1000) == pytest.approx(10 * cost(100, 1000), rel=0.1)


def test_chunks_of_one_length_say_what_that_length_costs() -> None:
    learned = PassCost(0.001, 0.001, 32)
    for depth in range(0, 4000, 64):
        learned.learn(64, depth, cost(64, depth))
    assert learned.seconds(64, 4000) == pytest.approx(cost(64, 4000), rel=0.05)


@given(
    st.lists(
        st.tuples(st.integers(1, 4096), st.integers(0, 100_000), st.floats(0, 1e4)), max_size=30
    ),
    st.floats(0, 10),
    st.floats(0, 10),
)
@example([(37, 122, 4.0), (43, 108, 6.0), (45, 287, 159.0), (42, 0, 405.0)], 5.0, 5.0)
def test_whatever_is_measured_costs_are_positive(
    chunks: list[tuple[int, int, float]], fixed: float, token: float
) -> None:
    learned = PassCost(fixed, token, 32)
    for tokens, depth, seconds in chunks:
        learned.learn(tokens, depth, seconds)
    for tokens, depth, _ in [(1, 0, 0), (4096, 100_000, 0), *chunks]:
        assert 0 < learned.seconds(tokens, depth) < float("inf")
        assert learned.tokens_within(1.0, depth) >= 0


def test_a_chunk_is_not_much_longer_than_those_of_late() -> None:
    learned = PassCost(0.001, 0.00001, 32)
    assert learned.tokens_within(10.0, 0) == 64
    learned.learn(200, 0, 0.01)
    assert learned.tokens_within(10.0, 0) == 400
    for _ in range(60):
        learned.learn(8, 0, 0.002)
    assert learned.tokens_within(10.0, 0) < 50


def test_elimination() -> None:
    matrix = [[4.0, 1.0, 2.0], [1.0, 3.0, 0.5], [2.0, 0.5, 5.0]]
    x = [1.0, -2.0, 3.0]
    target = [sum(a * b for a, b in zip(row, x, strict=True)) for row in matrix]
    assert solve(matrix, target) == pytest.approx(x)


def test_a_chunk_shorter_than_all_of_late_may_save_nothing() -> None:
    cost = PassCost(0.001, 0.001, 64)
    assert cost.seconds_at_most(8, 0) == cost.seconds(8, 0)
    for _ in range(4):
        cost.learn(128, 0, 0.024)
    assert cost.seconds_at_most(31, 0) == cost.seconds(128, 0) > cost.seconds(31, 0)
    cost.learn(16, 0, 0.016)
    assert cost.seconds_at_most(31, 0) == cost.seconds(31, 0)
