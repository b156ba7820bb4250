"""What a template may take: what is in time is returned, what isn't is refused."""

from __future__ import annotations

import pytest
from mlx_serving.failures import Refused
from mlx_serving.text.time_limit import within_seconds


def test_what_is_in_time_is_returned() -> None:
    assert within_seconds(lambda: "done", 60) == "done"
    with pytest.raises(KeyError):
        within_seconds(lambda: str({}["x"]), 60)


def test_what_takes_too_long_is_refused() -> None:
    def endless() -> str:
        while True:
            pass

    with pytest.raises(Refused) as caught:
        within_seconds(endless, 0.05)
    assert "longer than 0.05 s" in str(caught.value)


def test_a_program_that_catches_all_it_can_is_stopped_too() -> None:
    def stubborn() -> str:
        while True:
            try:
                raise ValueError
            except Exception:
                continue

    with pytest.raises(Refused):
        within_seconds(stubborn, 0.05)
