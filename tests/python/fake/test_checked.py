"""A watched engine is the engine itself, says what it sees, and ends where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from families.compare import Silent
from mlx_serving.fake.checked import CHECK_STEPS, CHECKS_VARIABLE, CheckedEngine, checked
from mlx_serving.fake.engine import FakeEngine
from mlx_serving.fake.faults import Faults
from mlx_serving.link.parse import parse
from mlx_serving.messages import TO_WORKER_TYPES, Admission, Load, Sampling

from orchestrator import FAKE_MODEL, load_options


def runner_of(engine: Any) -> Any:
    load = parse(TO_WORKER_TYPES["load"], {"model": FAKE_MODEL, "options": load_options()})
    assert isinstance(load, Load)
    return engine.load(load.model, load.options, Silent())[1]


def asked(id: int, max_tokens: int) -> Admission:
    return Admission(id, [65, 66], [], max_tokens, Sampling())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_watched_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(Faults())
    monkeypatch.delenv(CHECKS_VARIABLE, raising=False)
    assert checked(engine) is engine
    monkeypatch.setenv(CHECKS_VARIABLE, "")
    assert checked(engine) is engine


def test_it_says_what_it_has_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "checks"
    monkeypatch.setenv(CHECKS_VARIABLE, str(path))
    runner = runner_of(checked(FakeEngine(Faults())))
    runner.insert(asked(1, 5))
    runner.insert(asked(2, 3))
    while runner.delay_seconds() is not None:
        runner.step()
    (last,) = lines(path)
    assert last["checks"] == 1 and last["kv_bytes"] == last["both_bytes"] > 0
    assert last["removed"] == {"waiting": 0, "prefill": 0, "decode": 0}
    runner.insert(asked(3, 5))
    runner.remove(3)
    runner.insert(asked(4, 5))
    runner.step()
    runner.remove(4)
    runner.remove(9)
    assert lines(path)[-1]["removed"] == {"waiting": 1, "prefill": 0, "decode": 1}


def test_a_contradiction_ends_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = runner_of(CheckedEngine(FakeEngine(Faults()), tmp_path / "checks"))

    def contradicts() -> None:
        raise AssertionError("a block is in two places")

    monkeypatch.setattr(runner._runner, "check", contradicts)
    runner.insert(asked(1, 100))
    with pytest.raises(AssertionError, match="two places"):
        for _ in range(CHECK_STEPS):
            runner.step()
