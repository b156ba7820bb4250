"""krserve_native and its pure-Python fallback: the same answers and errors to the same calls."""

import ast
import math
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.native import fallback, loader

ROOT = Path(__file__).resolve().parents[3]
STUB = ROOT / "native" / "bindings" / "krserve_native.pyi"
PERCENTILE_ERROR_MAX = 1 / 256

module, why_not = loader.load("auto")
needs_module = pytest.mark.skipif(module is None, reason=str(why_not))


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "ok"


def test_both_have_the_api_of_the_stub(api: ModuleType) -> None:
    for node in ast.parse(STUB.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        found = getattr(api, node.name)
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and member.name != "__buffer__":
                assert hasattr(found, member.name), f"{node.name}.{member.name}"
    assert {n.name for n in ast.parse(STUB.read_text()).body if isinstance(n, ast.ClassDef)} == set(
        loader.API
    )
    assert api.__version__ == loader.VERSION


def test_acquired_memory_is_whole_zeroed_pages(api: ModuleType) -> None:
    buffer = api.CommandBufferPool(1, backend="host", buffer_bytes=5000).acquire()
    assert buffer.nbytes >= 5000
    assert buffer.nbytes % 4096 == 0
    assert buffer.address % 4096 == 0
    with buffer.view() as view:
        assert view.nbytes == buffer.nbytes
        assert not any(view)
        view[-3:] = b"end"
    assert bytes(buffer.view()[-3:]) == b"end"


def test_defaults(api: ModuleType) -> None:
    stats = api.CommandBufferPool().get_stats()
    assert (stats.pool_size, stats.available) == (16, 16)


def test_released_buffer_has_no_memory(api: ModuleType) -> None:
    pool = api.CommandBufferPool(1, backend="host")
    buffer = pool.acquire()
    pool.release(buffer)
    assert (buffer.nbytes, buffer.address) == (0, 0)
    with pytest.raises(BufferError):
        buffer.view()


def test_view_in_use_holds_the_buffer(api: ModuleType) -> None:
    pool = api.CommandBufferPool(1, backend="host")
    buffer = pool.acquire()
    part = buffer.view()[4:8]
    with pytest.raises(BufferError):
        pool.release(buffer)
    part[:] = b"kept"
    assert bytes(part) == b"kept"
    part.release()
    pool.release(buffer)
    assert pool.get_stats().total_released == 1


def test_dropped_buffer_comes_back_when_its_views_have_gone(api: ModuleType) -> None:
    pool = api.CommandBufferPool(1, backend="host")
    view = pool.acquire().view()
    assert pool.get_stats().available == 0
    view[0] = 1
    del view
    assert pool.get_stats().available == 1
    assert pool.get_stats().total_released == 1


def test_view_outlives_its_pool(api: ModuleType) -> None:
    view = api.CommandBufferPool(1, backend="host").acquire().view()
    view[:] = b"x" * len(view)
    assert view[-1] == ord("x")


@pytest.mark.parametrize("size", [0, -1, 1025, 10**6, 2**63, 2**64, -(2**70)])
def test_absurd_sizes(api: ModuleType, size: int) -> None:
    with pytest.raises(ValueError, match=r"^pool_size must be from 1 to 1024, not -?\d+$"):
        api.CommandBufferPool(size)
    with pytest.raises(ValueError, match=r"^buffer_bytes must be from 1 to 268435456, not -?\d+$"):
        api.CommandBufferPool(1, backend="host", buffer_bytes=size << 20)


def test_other_bad_arguments(api: ModuleType) -> None:
    for size in ("16", 1.5, None, [1]):
        with pytest.raises(TypeError):
            api.CommandBufferPool(size)
    with pytest.raises(ValueError, match="backend must be auto, host or metal"):
        api.CommandBufferPool(1, backend="cuda")
    with pytest.raises(ValueError, match="pool_size \\* buffer_bytes"):
        api.CommandBufferPool(1024, backend="host", buffer_bytes=2 << 20)
    with pytest.raises(TypeError):
        api.CommandBufferPool(1, "host")
    for nothing in (None, object(), b"x"):
        with pytest.raises(TypeError):
            api.CommandBufferPool(1).release(nothing)


@pytest.mark.parametrize("latency_ms", [math.nan, math.inf, -math.inf, -1, -5e-324, 1e300, 2**33])
def test_latencies_that_are_none(api: ModuleType, latency_ms: float) -> None:
    collector = api.MetricsCollector()
    with pytest.raises(ValueError, match=r"^latency_ms must be from 0 to 4294967296, not "):
        collector.record_completion(latency_ms)
    assert collector.get_metrics().completed_requests == 0


def test_latencies_of_other_types(api: ModuleType) -> None:
    collector = api.MetricsCollector()
    for latency in (1, True, Fraction(1, 2), 2**32):
        collector.record_completion(latency)
    for nonsense in ("1", None, b"1", 1j):
        with pytest.raises(TypeError):
            collector.record_completion(nonsense)
    with pytest.raises(OverflowError):
        collector.record_completion(10**400)
    assert collector.get_metrics().completed_requests == 4


def test_figures_are_read_only(api: ModuleType) -> None:
    for figures, name in (
        (api.MetricsCollector().get_metrics(), "total_requests"),
        (api.CommandBufferPool(1).get_stats(), "pool_size"),
    ):
        with pytest.raises(AttributeError):
            setattr(figures, name, 1)


def test_percentiles_against_exact_values(api: ModuleType) -> None:
    draw = random.Random(7)
    for make in (draw.random, lambda: draw.lognormvariate(3, 2), lambda: draw.paretovariate(1.2)):
        latencies = sorted(make() for _ in range(5000))
        collector = api.MetricsCollector()
        for latency in latencies:
            collector.record_completion(latency)
        metrics = collector.get_metrics()
        assert metrics.average_latency_ms == pytest.approx(sum(latencies) / 5000, rel=1e-12)
        for percent, got in (
            (50, metrics.p50_latency_ms),
            (95, metrics.p95_latency_ms),
            (99, metrics.p99_latency_ms),
        ):
            exact = latencies[-(-5000 * percent // 100) - 1]
            assert abs(got - exact) <= PERCENTILE_ERROR_MAX * exact


def test_threads_lose_nothing(api: ModuleType) -> None:
    pool = api.CommandBufferPool(2, backend="host")
    collector = api.MetricsCollector()

    def work() -> None:
        for round_ in range(1500):
            collector.record_request()
            buffer = pool.acquire()
            with buffer.view() as view:
                view[0] = 1
            if round_ % 3:
                pool.release(buffer)
            del buffer
            collector.record_completion(round_)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = pool.get_stats()
    assert (stats.available, stats.total_acquired, stats.total_released) == (2, 12000, 12000)
    metrics = collector.get_metrics()
    assert (metrics.total_requests, metrics.completed_requests) == (12000, 12000)


class PoolUser:
    """Does what it is told with one implementation, remembering what it holds."""

    def __init__(self, api: ModuleType) -> None:
        self.pool = api.CommandBufferPool(2, backend="host", buffer_bytes=4096)
        self.other = api.CommandBufferPool(1, backend="host", buffer_bytes=4096)
        self.buffers: list[Any] = []
        self.views: list[memoryview] = []

    def do(self, action: str, which: int) -> str:
        buffer = self.buffers[which % len(self.buffers)] if self.buffers else None
        actions: dict[str, Callable[[], Any]] = {
            "acquire": lambda: self.buffers.append(self.pool.acquire()),
            "borrow": lambda: self.buffers.append(self.other.acquire()),
            "release": lambda: self.pool.release(buffer),
            "drop": lambda: self.buffers and self.buffers.pop(which % len(self.buffers)),
            "view": lambda: self.views.append(buffer.view()),
            "unview": lambda: self.views and self.views.pop(which % len(self.views)).release(),
            "reset": self.pool.reset,
        }
        return outcome(actions[action])


ACTIONS = ["acquire"] * 4 + ["borrow", "view", "unview", "drop", "reset"] + ["release"] * 3


@needs_module
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 20)), max_size=60))
def test_pools_answer_alike(steps: list[tuple[str, int]]) -> None:
    assert module is not None
    users = PoolUser(fallback), PoolUser(module)
    for action, which in steps:
        answers = [user.do(action, which) for user in users]
        assert answers[0] == answers[1], action
        assert repr(users[0].pool.get_stats()) == repr(users[1].pool.get_stats())


LATENCIES = st.one_of(
    st.floats(),
    st.floats(0, 2**32),
    st.sampled_from([0.0, -0.0, 2.0**-20, 2.0**-21, 1.0, 2.0**32, 5e-324, 2.0**31.999]),
)


@needs_module
@given(st.lists(st.one_of(LATENCIES, st.sampled_from(["request", "failure"]))))
def test_collectors_answer_alike(records: list[float | str]) -> None:
    assert module is not None
    seen = []
    for api in (fallback, module):
        collector = api.MetricsCollector()
        outcomes = []
        for record in records:
            if record == "request":
                collector.record_request()
            elif record == "failure":
                collector.record_failure()
            else:
                outcomes.append(outcome(lambda: collector.record_completion(record)))  # noqa: B023
        metrics = repr(collector.get_metrics()).split(", throughput_rps=")[0]
        collector.reset()
        seen.append((outcomes, metrics, repr(collector.get_metrics())))
    assert seen[0] == seen[1]


GROWTH = """
import resource, sys
from mlx_serving.native import loader, fallback
api = fallback if sys.argv[1] == "fallback" else loader.load("auto")[0]
pool = api.CommandBufferPool(4, backend="host")
collector = api.MetricsCollector()
def work(count):
    for i in range(count):
        collector.record_completion(i % 1000)
        buffer = pool.acquire()
        if i % 2:
            with buffer.view() as view:
                view[0] = 1
            pool.release(buffer)
        if i % 1000 == 0:
            pool.get_stats(), collector.get_metrics()
            try:
                pool.release(None)
            except TypeError:
                pass
        if i % 50000 == 0:
            pool.reset(), collector.reset()
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
work(100_000)
before = peak()
work(1_000_000)
print(peak() - before)
"""


def test_memory_does_not_grow_over_a_million_operations(api: ModuleType) -> None:
    name = "fallback" if api is fallback else "module"
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, name],
        cwd=ROOT / "python",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # A leak of 2 bytes a round would show.
    assert int(done.stdout) < 2 << 20
