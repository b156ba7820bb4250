"""The engine thread with a scripted engine and no threads: order, credit, failures, telemetry."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from mlx_serving import loop
from mlx_serving.engine import DiskCounts, End, EngineFigures, Loaded, Runner, StepOutput
from mlx_serving.failures import LoadFailed, Refused
from mlx_serving.link.parse import parse
from mlx_serving.loop import Command, Credit, EngineLoop, Finish, Insert, Remove
from mlx_serving.messages import Admission, Load, Sampling

from orchestrator import FAKE_MODEL, load_options


class NoModel:
    """An engine that loads nothing."""

    name = "scripted"

    def describe(self) -> tuple[dict[str, str], str]:
        return {}, "none"

    def load(self, *_: Any) -> tuple[Loaded, Runner]:
        raise LoadFailed("model_not_found", "there is none")


class Scripted:
    """A runner with a token for every request, for ever."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.finished: list[float] = []
        self.disk: DiskCounts | None = None
        self.on_insert: Callable[[Admission], None] = lambda request: None

    def insert(self, request: Admission, matcher: Any = None, forcing: Any = None) -> None:
        self.ids.append(request.id)
        self.on_insert(request)

    def remove(self, id: int) -> None:
        self.ids = [other for other in self.ids if other != id]

    def step(self) -> StepOutput:
        return StepOutput(rows=[(id, 0, 1, None) for id in self.ids])

    def delay_seconds(self) -> float | None:
        return 0.0 if self.ids else None

    def figures(self) -> EngineFigures:
        return EngineFigures(len(self.ids), 0, 1, 2, 3, disk_counts=self.disk)

    def finish(self, seconds: float) -> None:
        self.finished.append(seconds)

    def check(self) -> None:
        pass


class Log:
    """`Reports` as a list."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.said.append((name, arguments))

    def names(self) -> list[str]:
        return [name for name, _ in self.said]


class Rig:
    def __init__(self) -> None:
        self.runner, self.log, self.now = Scripted(), Log(), 0.0
        self.commands: SimpleQueue[Command] = SimpleQueue()
        self.loop = EngineLoop(self.runner, 2, self.commands, self.log, lambda: self.now)

    def run(self) -> None:
        loop.run(NoModel(), self.commands, self.log)

    def turn(self, *commands: Command) -> list[str]:
        for command in commands:
            self.commands.put(command)
        self.log.said.clear()
        self.loop.turn()
        return [name for name in self.log.names() if name != "telemetry"]


def insert(*ids: int) -> Insert:
    return Insert([Admission(id, [1], [], 5, Sampling()) for id in ids])


def test_a_turn_takes_all_commands_and_steps_once() -> None:
    rig = Rig()
    assert rig.turn(insert(1), insert(2), Remove(1, answer=True)) == ["removed", "stepped"]
    assert rig.runner.ids == [2]
    assert rig.turn(Remove(2, answer=False)) == []


def test_without_credit_commands_are_taken_and_nothing_steps() -> None:
    rig = Rig()
    assert rig.turn(insert(1)) == ["stepped"]
    assert rig.turn() == ["stepped"]
    assert rig.turn(insert(2)) == []
    assert rig.turn(Remove(2, answer=True)) == ["removed"]
    assert rig.turn(Credit(1)) == ["stepped"]
    assert rig.turn(Remove(1, answer=True)) == ["removed"]


def test_what_outlives_the_process_is_written_before_its_end() -> None:
    rig = Rig()
    finish = Finish(1.5)
    rig.turn(insert(1), finish)
    assert rig.runner.finished == [1.5] and finish.done.is_set()


def test_figures_of_the_disk_are_told_where_there_is_one() -> None:
    rig = Rig()

    def told() -> object:
        rig.now += 2
        rig.turn(Credit(1))
        (body,) = [body[0] for name, body in rig.log.said if name == "telemetry"]
        return body.get("prefixDisk")

    rig.turn(insert(1))
    assert told() is None
    rig.runner.disk = DiskCounts(on=True, blocks=3, size_bytes=9, hits=2, hit_tokens=128, unfit=1)
    assert told() == {
        "on": True,
        "blocks": 3,
        "bytes": 9,
        "pending": 0,
        "hits": 2,
        "hitTokens": 128,
        "misses": 0,
        "writes": 0,
        "drops": 0,
        "evictions": 0,
        "unfit": 1,
        "readErrors": 0,
        "writeErrors": 0,
        "slow": 0,
    }


def test_a_refusal() -> None:
    rig = Rig()

    def refuse(request: Admission) -> None:
        rig.runner.remove(request.id)
        raise Refused("memory_budget_exceeded", "max_tokens", "too much")

    rig.runner.on_insert = refuse
    assert rig.turn(insert(1)) == ["refused"]


def test_an_exception_in_an_insert_fails_its_request_alone() -> None:
    rig = Rig()
    rig.turn(insert(1))

    def fail(request: Admission) -> None:
        raise ZeroDivisionError("no")

    rig.runner.on_insert = fail
    assert rig.turn(insert(2)) == ["stepped", "stepped"]
    output = rig.log.said[0][1][0]
    assert output.ends == [End(2, "failed", "generation_error", "ZeroDivisionError: no")]
    assert rig.runner.ids == [1]


def test_telemetry_once_a_second_and_once_idle() -> None:
    rig = Rig()

    def told(*commands: Command) -> list[int]:
        rig.turn(*commands)
        return [body[0]["running"] for name, body in rig.log.said if name == "telemetry"]

    assert told(insert(1)) == [1]
    rig.now = 0.9
    assert told(Credit(9)) == []
    rig.now = 1.1
    assert told() == [1]
    assert told(Remove(1, answer=False)) == [0]


def test_the_first_command_is_the_load() -> None:
    rig = Rig()
    rig.commands.put(insert(1))
    with pytest.raises(TypeError):
        rig.run()
    load = parse(1, {"model": FAKE_MODEL, "options": load_options()})
    assert isinstance(load, Load)
    rig.commands.put(load)
    rig.run()
    assert rig.log.names() == ["load_failed"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLX_SERVING_NATIVE", "maybe"),
        ("MLX_SERVING_NATIVE_PARTS", "magic"),
    ],
)
def test_a_native_part_that_is_missed_is_told_before_the_model_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    rig = Rig()
    load = parse(1, {"model": FAKE_MODEL, "options": load_options()})
    assert isinstance(load, Load)
    rig.commands.put(load)
    rig.run()
    [(name, [failure])] = rig.log.said
    assert name == "load_failed" and failure.code == "native_missing"
    assert value in str(failure)
