"""krserve_native in worker processes: there, not there, and not wanted."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import msgpack
import pytest

from orchestrator import (
    FAKE_MODEL,
    PYTHON_ROOT,
    Message,
    Worker,
    admission,
    load_options,
)

ALL = {"MLX_SERVING_NATIVE_PARTS": "all"}
NOT_BUILT = "krserve_native is not built (npx mlx-serving build-native)"
# An engine that takes no prompt of one token.
PICKY = """
from mlx_serving.__main__ import main
from mlx_serving.fake.engine import FakeRunner

insert = FakeRunner.insert

def picky(engine, request, *what_else):
    if len(request.prompt) == 1:
        raise RuntimeError("one token is too few")
    insert(engine, request, *what_else)

FakeRunner.insert = picky
main()
"""

needs_module = pytest.mark.skipif(find_spec("krserve_native") is None, reason=NOT_BUILT)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with nothing but what a worker with the fake engine imports."""
    (tmp_path / "msgpack").symlink_to(Path(msgpack.__file__).parent)
    site = Path(msgpack.__file__).parents[1]
    for folder in site.glob("msgpack-*.dist-info"):
        (tmp_path / folder.name).symlink_to(folder)
    return tmp_path


def without_module(folder: Path, **environment: str) -> Worker:
    path = f"{folder}{os.pathsep}{PYTHON_ROOT}"
    env = {"PYTHONPATH": path, **environment}
    return Worker(env=env, program=("-S", "-m", "mlx_serving"))


def refused_load(worker: Worker) -> Message:
    worker.expect("hello")
    worker.send("load", model=FAKE_MODEL, options=load_options())
    failed = worker.expect("loadFailed")
    assert worker.exit_code() == 1
    return failed


def last_figures(worker: Worker, ended: int) -> Message:
    """Of the telemetry after which so many requests have ended."""
    while True:
        figures: Message = worker.wait_for("telemetry")["native"]
        metrics = figures["metrics"]
        if metrics["completedRequests"] + metrics["failedRequests"] >= ended:
            return figures


@needs_module
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_the_module_is_used(mode: str) -> None:
    with Worker(env={**ALL, "MLX_SERVING_NATIVE": mode}) as worker:
        native = worker.ready()["native"]
        on = {"on": True, "reason": None, "applicable": True, "missing": False}
        assert native == {"pool": on, "metrics": on}
        worker.run(admission(1, max_tokens=4))
        figures = last_figures(worker, 1)
        assert figures["module"]["on"] and figures["module"]["version"] == "1.0.0"
        assert figures["pool"]["totalAcquired"] > 0


@pytest.mark.parametrize("mode", ["off", "0"])
def test_nothing_is_used_that_is_turned_off(mode: str) -> None:
    with Worker(env={**ALL, "MLX_SERVING_NATIVE": mode}) as worker:
        native = worker.ready()["native"]
        assert {part["reason"] for part in native.values()} == {
            "turned off by --native or MLX_SERVING_NATIVE"
        }
        worker.run(admission(1, max_tokens=4))
        figures = last_figures(worker, 1)
        assert not figures["module"]["on"] and figures["pool"] is None


def test_twins_where_there_is_no_module(bare: Path) -> None:
    with without_module(bare, **ALL) as worker:
        native = worker.ready()["native"]
        off = {"on": False, "reason": NOT_BUILT, "applicable": True, "missing": True}
        assert native == {"pool": off, "metrics": off}
        worker.run(*(admission(id, max_tokens=4) for id in range(1, 6)))
        figures = last_figures(worker, 5)
        assert figures["module"] == {"on": False, "version": None, "reason": NOT_BUILT}
        assert figures["metrics"]["completedRequests"] == 5
        assert figures["pool"] is None
        worker.send("stop")
        assert worker.exit_code() == 0
        assert worker.stderr() == f"worker: native off: pool, metrics ({NOT_BUILT})\n"


@pytest.mark.parametrize("parts", ["", "all", "pool", "metrics"])
def test_no_module_where_one_is_required(bare: Path, parts: str) -> None:
    asked = {"MLX_SERVING_NATIVE": "on", "MLX_SERVING_NATIVE_PARTS": parts}
    with without_module(bare, **asked) as worker:
        failed = refused_load(worker)
    named = "metrics" if parts == "metrics" else "pool"
    assert failed["code"] == "native_missing"
    assert failed["message"] == f"native part {named} is required but off: {NOT_BUILT}"


def test_no_module_where_others_are_required(bare: Path) -> None:
    asked = {"MLX_SERVING_NATIVE": "on", "MLX_SERVING_NATIVE_PARTS": "blas,products"}
    with without_module(bare, **asked) as worker:
        assert worker.ready()["native"]["pool"]["reason"] == "not among --native-parts"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"MLX_SERVING_NATIVE": "maybe"}, "MLX_SERVING_NATIVE must be auto, on, off, 1 or 0"),
        ({"MLX_SERVING_NATIVE_PARTS": "magic"}, "MLX_SERVING_NATIVE_PARTS must name some of"),
    ],
)
def test_variables_that_mean_nothing_end_the_load(asked: dict[str, str], message: str) -> None:
    with Worker(env=asked) as worker:
        failed = refused_load(worker)
    assert failed["code"] == "native_missing" and message in failed["message"]


@pytest.mark.parametrize("parts", ["", "all"])
def test_every_end_is_counted_once(parts: str) -> None:
    """Also of requests that no engine has seen, or that it fails, or that are aborted."""
    asked = {"MLX_SERVING_NATIVE_PARTS": parts}
    with Worker(env=asked, program=("-c", PICKY)) as worker:
        worker.ready(contextMax=64, fakeTokensPerSecond=50)
        runs = worker.run(
            admission(1, "long enough", max_tokens=4),
            admission(2, "stops", max_tokens=40, stop=[" "]),
            admission(3, "x" * 100),
            admission(4, "x"),
            admission(5, "all is out", emitted=[1, 2, 3], max_tokens=3),
        )
        ends = {id: run.end.get("finish", run.end["type"]) for id, run in runs.items()}
        assert ends == {1: "length", 2: "stop", 3: "refused", 4: "failed", 5: "length"}
        worker.send("prepare", id=6, input={"kind": "text", "text": "y" * 100})
        assert worker.wait_for("refused", 6)
        worker.send("admit", requests=[admission(7, "goes away", max_tokens=40)])
        worker.wait_for("step")
        worker.send("abort", ids=[7])
        worker.wait_for("aborted", 7)
        metrics = worker.wait_for("telemetry")["native"]["metrics"]
    assert metrics["totalRequests"] == 6
    assert (metrics["completedRequests"], metrics["failedRequests"]) == (3, 2)
    assert 0 < metrics["averageLatencyMs"] < 60_000


@pytest.mark.parametrize("parts", ["", "all"])
def test_a_crash_carries_the_figures(parts: str) -> None:
    asked = {"MLX_SERVING_NATIVE_PARTS": parts}
    with Worker(faults='{"raiseAtToken": 20}', env=asked) as worker:
        worker.ready()
        worker.run(admission(1, max_tokens=4))
        worker.send("admit", requests=[admission(2)])
        fault = worker.wait_for("fault")
    metrics = fault["native"]["metrics"]
    assert fault["code"] == "internal"
    assert (metrics["totalRequests"], metrics["completedRequests"]) == (2, 1)
    assert metrics["failedRequests"] == 0
