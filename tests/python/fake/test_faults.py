"""Faults of the fake engine do what their names say."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from faulty import all_bytes, faulty, frames_of
from orchestrator import admission


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_dies_after_a_token(name: str) -> None:
    with faulty(dieAtToken=5, dieSignal=name) as worker:
        worker.ready()
        data = all_bytes(worker, admission(1))
        assert [kind for kind, _ in frames_of(data)].count("step") == 6
        assert worker.exit_code() == -signal.Signals[name]


def test_too_many_rows_are_out_of_memory() -> None:
    with faulty(outOfMemoryAtRows=2) as worker:
        worker.ready()
        runs = worker.run(admission(1, max_tokens=3), admission(2, max_tokens=3))
        assert [run.end["finish"] for run in runs.values()] == ["length"] * 2
        worker.send("admit", requests=[admission(i, max_tokens=3) for i in (3, 4, 5)])
        assert worker.wait_for("fault")["code"] == "out_of_memory"
        assert worker.exit_code() == 1


def test_too_long_a_prompt_is_out_of_memory() -> None:
    with faulty(outOfMemoryAtTokens=8) as worker:
        worker.ready()
        end = worker.run(admission(1, "x" * 9))[1].end
        assert (end["finish"], end["code"]) == ("failed", "out_of_memory")
        assert worker.run(admission(2, "x" * 8, max_tokens=3))[2].end["finish"] == "length"
        worker.send("admit", requests=[admission(3, "x" * 9), admission(4, "x")])
        assert worker.wait_for("fault")["code"] == "out_of_memory"


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ({"typo": 1}, "typo"),
        ({"dieInFrame": {"frame": "picture"}}, "picture"),
        ({"damage": {"kind": "rust", "frame": "step"}}, "rust"),
    ],
)
def test_unknown_faults_are_an_error(faults: dict[str, Any], named: str) -> None:
    with faulty(**faults) as worker:
        assert worker.exit_code() == 1
        assert named in worker.stderr()
