"""Which native parts a worker has: what it says of them, and what it does without one."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mlx_serving import acceleration, fast
from mlx_serving.acceleration import Parts, Staff, describe, mlx_parts, module_parts, require
from mlx_serving.fast import blas
from mlx_serving.kernels import device
from mlx_serving.messages import LoadFailed
from mlx_serving.native import loader, status
from mlx_serving.native.choice import PARTS
from mlx_serving.outgoing import STAGE_BYTES, STAGES, PlainOutgoing, StagedOutgoing

import shapes
from orchestrator import FAKE_MODEL, PYTHON_ROOT, Message, Worker, admission, load_options

ON = {"on": True, "reason": None, "applicable": True, "missing": False}
BROKEN = {"on": False, "reason": "it is broken", "applicable": True, "missing": True}
UNWANTED = {**BROKEN, "missing": False}
ELSEWHERE = {**UNWANTED, "reason": "MLX computes on the GPU here", "applicable": False}


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_SERVING_NATIVE", raising=False)
    monkeypatch.delenv("MLX_SERVING_NATIVE_PARTS", raising=False)


def parts(**of: object) -> Parts:
    return of  # type: ignore[return-value]


# --- what is required ---


def test_nothing_is_required_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    require(parts(pool=BROKEN))
    monkeypatch.setenv("MLX_SERVING_NATIVE", "off")
    require(parts(pool=BROKEN))


def test_on_requires_what_would_be_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    require(parts(pool=ON, blas=ELSEWHERE))
    with pytest.raises(LoadFailed) as failure:
        require(parts(pool=ON, blocks=BROKEN))
    assert failure.value.code == "native_missing"
    assert str(failure.value) == "native part blocks is required but off: it is broken"


def test_on_requires_the_named_parts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "metrics")
    require(parts(pool=BROKEN, metrics=ON))
    with pytest.raises(LoadFailed):
        require(parts(pool=ON, metrics=BROKEN))


def test_a_wrong_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "magic")
    with pytest.raises(LoadFailed, match="MLX_SERVING_NATIVE_PARTS must name some of"):
        require(module_parts())


# --- what is said ---


def test_the_line_for_the_log() -> None:
    line = describe(parts(products=ON, blocks=ON, pool=BROKEN, metrics=BROKEN, kernels=ELSEWHERE))
    assert line == "native on: products, blocks; off: pool, metrics (it is broken)"
    assert describe(parts(pool=BROKEN)) == "native off: pool (it is broken)"


@pytest.mark.parametrize("asked", [None, "all", "metrics", "pool"])
def test_figures_of_whoever_collects(monkeypatch: pytest.MonkeyPatch, asked: str | None) -> None:
    if asked is not None:
        monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", asked)
    staff = Staff()
    staged = asked in ("all", "pool") and status()["on"]
    assert isinstance(staff.outgoing(), StagedOutgoing if staged else PlainOutgoing)
    is_module = type(staff.collector).__module__ == "krserve_native"
    assert is_module == (asked in ("all", "metrics") and status()["on"])
    for latency_ms in (10, 20):
        staff.collector.record_request()
        staff.collector.record_completion(latency_ms)
    staff.collector.record_request()
    staff.collector.record_failure()
    figures = staff.figures()
    assert shapes.native_figures(figures)
    metrics = figures["metrics"]
    assert (metrics["totalRequests"], metrics["completedRequests"]) == (3, 2)
    assert metrics["failedRequests"] == 1
    assert metrics["averageLatencyMs"] == pytest.approx(15)
    assert metrics["p95LatencyMs"] == pytest.approx(20, rel=0.01)
    assert (figures["pool"] is not None) == staged


def test_figures_with_the_module_and_with_its_twins(
    monkeypatch: pytest.MonkeyPatch, api: ModuleType
) -> None:
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "all")
    classes = {name: getattr(api, name) for name in loader.API}
    on = {"on": True, "version": "1.0.0", "reason": None}
    monkeypatch.setattr(acceleration, "native", SimpleNamespace(**classes, status=lambda: on))
    staff = Staff()
    outgoing = staff.outgoing()
    outgoing.put(b"head", b"x" * (STAGE_BYTES + 1))
    outgoing.put(b"head", b"x")
    figures = staff.figures()
    assert shapes.native_figures(figures)
    assert figures["module"] == on
    assert figures["pool"] == {
        "poolSize": STAGES,
        "available": STAGES - 1,
        "totalAcquired": 2,
        "totalReleased": 1,
        "cacheHits": 2,
        "cacheMisses": 0,
    }
    assert set(figures["metrics"].values()) == {0}


# --- which parts there are ---


def say(monkeypatch: pytest.MonkeyPatch, module: Any, reason: str | None) -> None:
    monkeypatch.setattr(module, "status", lambda: {"on": reason is None, "reason": reason})


@pytest.mark.parametrize(
    "reason", [None, "krserve_native is not built (npx mlx-serving build-native)"]
)
def test_parts_of_the_module(monkeypatch: pytest.MonkeyPatch, reason: str | None) -> None:
    say(monkeypatch, acceleration.native, reason)
    by_default = {**UNWANTED, "reason": "off by default: it gains too little"}
    assert module_parts() == {"pool": by_default, "metrics": by_default}
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "pool")
    assert module_parts() == {
        "pool": ON if reason is None else {**BROKEN, "reason": reason},
        "metrics": {**UNWANTED, "reason": "not among --native-parts"},
    }


@pytest.mark.parametrize("backend", ["cuda", "metal"])
def test_parts_on_a_gpu(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(device, "backend", lambda: backend)
    parts = mlx_parts(on_gpu=True)
    kernels = parts.pop("kernels")
    assert parts == dict.fromkeys(("blas", "products", "blocks", "sampling"), ELSEWHERE)
    unmeasured = {**ELSEWHERE, "reason": "nothing has been measured on Metal"}
    assert kernels == (ON if backend == "cuda" else unmeasured)
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    require(parts | {"kernels": kernels})


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_parts_on_a_cpu(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    say(monkeypatch, fast, None)
    say(monkeypatch, blas, "it is broken")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", "blas,products,sampling,kernels")
    parts = mlx_parts(on_gpu=False)
    assert parts["products"] == parts["sampling"] == ON
    assert parts["blocks"] == {
        **UNWANTED,
        "reason": "not among --native-parts",
    }
    assert parts["blas"] == {
        **(BROKEN if platform == "linux" else UNWANTED),
        "applicable": platform == "linux",
    }
    assert parts["kernels"] == {
        **ELSEWHERE,
        "reason": "MLX computes on the CPU here",
    }
    monkeypatch.setenv("MLX_SERVING_NATIVE", "on")
    if platform == "linux":
        with pytest.raises(LoadFailed, match="blas is required"):
            require(parts)
    else:
        require(parts)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_parts_that_are_turned_off(monkeypatch: pytest.MonkeyPatch, on_gpu: bool) -> None:
    for module in (fast, blas):
        # Theirs is asked for once in a process.
        say(monkeypatch, module, None)
    monkeypatch.setenv("MLX_SERVING_NATIVE", "off")
    parts = {**module_parts(), **mlx_parts(on_gpu)}
    assert tuple(sorted(parts)) == tuple(sorted(PARTS))
    assert {part["reason"] for part in parts.values()} == {
        "turned off by --native or MLX_SERVING_NATIVE"
    }
    assert not any(part["on"] for part in parts.values())
    require(parts)


# --- in a worker ---


def metrics_of(message: Message) -> dict[str, float]:
    return message["native"]["metrics"]  # type: ignore[no-any-return]


def settled(worker: Worker, total: int) -> dict[str, float]:
    """The figures once so many requests have ended."""
    while True:
        metrics = metrics_of(worker.wait_for("telemetry"))
        if metrics["completedRequests"] + metrics["failedRequests"] >= total:
            return metrics


@pytest.mark.parametrize("asked", ["", "all"])
def test_the_collector_records_every_request(asked: str) -> None:
    with Worker(env={"MLX_SERVING_NATIVE_PARTS": asked}) as worker:
        worker.ready()
        refused = worker.run(admission(3, stop=["x" * 100_000]))
        assert refused[3].end["type"] == "refused"
        worker.run(admission(1, max_tokens=4), admission(2, max_tokens=4))
        metrics = settled(worker, 3)
        assert metrics["totalRequests"] == 3
        assert (metrics["completedRequests"], metrics["failedRequests"]) == (2, 1)
        assert 0 < metrics["p50LatencyMs"] <= metrics["p99LatencyMs"]


@pytest.mark.skipif(not status()["on"], reason=f"{status()['reason']}")
def test_frames_are_staged_in_the_pool() -> None:
    with Worker(env={"MLX_SERVING_NATIVE_PARTS": "all"}) as worker:
        worker.ready()
        texts = [run.text for run in worker.run(*map(admission, range(1, 9))).values()]
        pool = worker.wait_for("telemetry")["native"]["pool"]
    assert pool["cacheHits"] > 0 and pool["cacheMisses"] == 0
    assert pool["totalAcquired"] - pool["totalReleased"] <= 1
    with Worker() as worker:
        worker.ready()
        assert [run.text for run in worker.run(*map(admission, range(1, 9))).values()] == texts


def test_a_fault_carries_the_figures() -> None:
    with Worker() as worker:
        worker.ready()
        worker.run(admission(1, max_tokens=4))
        worker.sock.sendall(b"this is no frame")
        fault = worker.wait_for("fault")
        assert fault["code"] == "bad_magic"
        assert metrics_of(fault)["completedRequests"] == 1


def cut_short(folder: Path) -> dict[str, str]:
    """An environment in which half a library comes first."""
    library = f"krserve_native{EXTENSION_SUFFIXES[0]}"
    (folder / library).write_bytes(b"\x7fELF")
    checksum = sha256(b"the whole").hexdigest()
    (folder / "krserve_native.sha256").write_text(f"{checksum}  {library}\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{PYTHON_ROOT}"}


def test_a_broken_library_leaves_a_worker_that_serves(tmp_path: Path) -> None:
    environment = {**cut_short(tmp_path), "MLX_SERVING_NATIVE_PARTS": "all"}
    with Worker(env=environment) as worker:
        ready = worker.ready()
        for part in ("pool", "metrics"):
            assert not ready["native"][part]["on"]
            assert "damaged" in ready["native"][part]["reason"]
        assert worker.run(admission(1, max_tokens=4))[1].end["finish"] == "length"


def test_a_broken_library_that_is_required_ends_the_load(tmp_path: Path) -> None:
    with Worker(env={**cut_short(tmp_path), "MLX_SERVING_NATIVE": "on"}) as worker:
        worker.expect("hello")
        worker.send("load", model=FAKE_MODEL, options=load_options())
        failed = worker.expect("loadFailed")
        assert failed["code"] == "native_missing"
        assert "pool is required but off" in failed["message"]
        assert "damaged" in failed["message"]
