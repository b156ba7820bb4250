from __future__ import annotations

import pytest
from mlx_serving.grammar.compile_times import BOUNDS_MS, CompileTimes


def counted(*seconds: float) -> dict[float, int]:
    times = CompileTimes()
    for one in seconds:
        times.add(one)
    return {bound: count for bound, count in times.counts() if count}


def test_bounds_rise_and_each_is_told_though_nothing_was_compiled() -> None:
    counts = CompileTimes().counts()
    assert [bound for bound, _ in counts] == sorted(set(BOUNDS_MS))
    assert all(count == 0 for _, count in counts)


@pytest.mark.parametrize("bound", BOUNDS_MS)
def test_a_bound_is_met_by_what_takes_as_long(bound: float) -> None:
    assert counted(bound / 1000) == {bound: 1}


def test_what_is_longer_than_one_bound_counts_for_the_next() -> None:
    assert counted(0.0, 0.000_4, 0.000_6, 0.03, 0.04) == {0.5: 2, 1.0: 1, 50.0: 2}


def test_what_is_longer_than_all_counts_for_none() -> None:
    assert counted(BOUNDS_MS[-1], 3600.0) == {}
