"""When the end of reasoning is forced, by counts alone."""

from __future__ import annotations

import pytest
from mlx_serving.text.reasoning_limit import ReasoningLimit

CLOSING = (7, 8)


def think(limit: ReasoningLimit, tokens: int) -> None:
    for _ in range(tokens):
        assert limit.forced is None
        limit.take(True, True, 0)


def closed(limit: ReasoningLimit) -> list[int]:
    """What is forced until it goes on by itself."""
    forced: list[int] = []
    while limit.forced is not None:
        forced.append(limit.forced)
        limit.take(True, len(forced) < 2, 0)
    return forced


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_the_end_comes_when_the_budget_is_spent(budget: int) -> None:
    limit = ReasoningLimit(budget, CLOSING)
    limit.begin(True)
    think(limit, budget)
    assert closed(limit) == [7, 8]


def test_what_is_said_outside_counts_nothing() -> None:
    limit = ReasoningLimit(1, CLOSING)
    limit.begin(False)
    for _ in range(9):
        limit.take(False, False, 0)
    # The mark that begins it.
    limit.take(False, True, 0)
    think(limit, 1)
    assert closed(limit) == [7, 8]


def test_reasoning_that_ends_by_itself_and_begins_again() -> None:
    limit = ReasoningLimit(3, CLOSING)
    limit.begin(True)
    think(limit, 1)
    limit.take(True, False, 0)
    assert limit.forced is None
    limit.take(False, True, 0)
    think(limit, 1)
    assert closed(limit) == [7, 8]
    # Spent: whatever opens it is closed at once.
    limit.take(False, True, 0)
    assert closed(limit) == [7, 8]


def test_what_the_model_has_said_of_the_end_is_not_said_again() -> None:
    limit = ReasoningLimit(2, CLOSING)
    limit.begin(True)
    think(limit, 1)
    limit.take(True, True, 1)
    assert limit.forced == 8
    limit.take(True, False, 0)
    assert limit.forced is None


def test_far_from_its_end_nothing_can_be_forced() -> None:
    limit = ReasoningLimit(4, CLOSING)
    limit.begin(True)
    for _ in range(3):
        assert not limit.may_force
        limit.take(True, True, 0)
    assert limit.may_force and limit.forced is None
    limit.take(True, True, 0)
    assert limit.may_force and limit.forced == 7


def test_a_mark_that_closes_nothing_is_said_again() -> None:
    limit = ReasoningLimit(0, (7,))
    limit.begin(True)
    limit.take(True, True, 0)
    assert limit.forced == 7
