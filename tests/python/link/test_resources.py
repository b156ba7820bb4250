"""What the link thread works with: the collector of request metrics and the pool."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest
from mlx_serving import acceleration
from mlx_serving.link import resources
from mlx_serving.link.outgoing import STAGE_BYTES, STAGES, PlainOutgoing, StagedOutgoing
from mlx_serving.link.resources import LinkResources
from mlx_serving.native import loader, status

import shapes
from orchestrator import Message, Worker, admission


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_SERVING_NATIVE", raising=False)
    monkeypatch.delenv("MLX_SERVING_NATIVE_PARTS", raising=False)


@pytest.mark.parametrize("asked", [None, "all", "metrics", "pool"])
def test_figures_of_whoever_collects(monkeypatch: pytest.MonkeyPatch, asked: str | None) -> None:
    if asked is not None:
        monkeypatch.setenv("MLX_SERVING_NATIVE_PARTS", asked)
    of_link = LinkResources()
    staged = asked in ("all", "pool") and status()["on"]
    assert isinstance(of_link.outgoing(), StagedOutgoing if staged else PlainOutgoing)
    is_module = type(of_link.collector).__module__ == "krserve_native"
    assert is_module == (asked in ("all", "metrics") and status()["on"])
    for latency_ms in (10, 20):
        of_link.collector.record_request()
        of_link.collector.record_completion(latency_ms)
    of_link.collector.record_request()
    of_link.collector.record_failure()
    figures = of_link.figures()
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
    module = SimpleNamespace(**classes, status=lambda: on)
    for user in (acceleration, resources):
        monkeypatch.setattr(user, "native", module)
    of_link = LinkResources()
    outgoing = of_link.outgoing()
    outgoing.put(b"head", b"x" * (STAGE_BYTES + 1))
    outgoing.put(b"head", b"x")
    figures = of_link.figures()
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
