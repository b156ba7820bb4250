"""What is served while a worker on a GPU loads."""

from __future__ import annotations

import os
from typing import Any

import pytest
from mlx_serving.engine import End, EngineFigures, Host, PrefillProgress, Runner, StepOutput
from mlx_serving.failures import Refused
from mlx_serving.messages import Admission
from mlx_serving.mlx import warm_up
from mlx_serving.mlx.chunk_policy import Units

import toy


class FakeRunner:
    """Ends each request after its tokens, all rows in step."""

    def __init__(self, fails: bool = False) -> None:
        self.rows: dict[int, int] = {}
        self.most = 0
        self.served: list[Admission] = []
        self.fails = fails

    def insert(self, request: Admission, matcher: Any = None, forcing: Any = None) -> None:
        assert request.id not in self.rows
        self.rows[request.id] = request.max_tokens
        self.served.append(request)
        self.most = max(self.most, len(self.rows))

    def remove(self, id: int) -> None:
        raise AssertionError("nothing is aborted here")

    def figures(self) -> EngineFigures:
        raise AssertionError("nobody asks")

    def delay_seconds(self) -> float | None:
        return 0.0 if self.rows else None

    def step(self) -> StepOutput:
        output = StepOutput()
        for id in list(self.rows):
            self.rows[id] -= 1
            if self.rows[id] == 0:
                del self.rows[id]
                finish = "failed" if self.fails else "length"
                output.ends.append(End(id, finish, message="no memory"))
        return output


class FakeHost:
    def __init__(self) -> None:
        self.allowances: list[float] = []
        self.others = 0

    def loading(self, done: float, total: float, what: str) -> None:
        self.others += 1

    def busy(self, reason: str, allowance_ms: float) -> None:
        self.allowances.append(allowance_ms)

    def prefilled(self, progress: PrefillProgress) -> None:
        self.others += 1


def test_a_long_prompt_fits_into_the_context() -> None:
    for context_max in (64, 4096, 100_000):
        [request] = warm_up.long_prompt(context_max)
        assert len(request.prompt) + request.max_tokens <= context_max


@pytest.mark.parametrize("max_batch", [1, 3, 8, 20, 64, 100])
def test_every_kernels_number_of_rows_is_served(max_batch: int) -> None:
    counts = {len(batch) for batch in warm_up.requests(max_batch, 4096)}
    assert max(counts) == min(max_batch, 64)
    for largest in (8, 16, 32, 64):
        # Some run has a number of rows that takes the same kernel as any that may come.
        possible = range(largest // 2 + 1, min(largest, max_batch) + 1)
        assert not possible or counts & set(possible)


@pytest.mark.parametrize("max_batch", [1, 2, 7, 64])
def test_passes_of_one_and_of_several_prompts_are_computed(max_batch: int) -> None:
    """On CUDA, where all shapes that may come are planned."""
    shapes: set[tuple[int, int]] = set()

    class Seeing:
        def __getattr__(self, name: str) -> Any:
            return getattr(tiny, name)

        def __call__(self, inputs: Any, cache: Any) -> Any:
            shapes.add(inputs.shape)
            return tiny(inputs, cache=cache)

    tiny = toy.model()
    driver = toy.Driver(
        Seeing(), max_batch=max_batch, chunk_tokens=512, unit_tokens=64, cost=toy.KnownCost()
    )
    runs = list(warm_up.requests(max_batch, toy.CONTEXT))
    warm_up.run(driver.runner, runs, FakeHost(), lambda _: None)
    units = Units(64)
    for rows in (2, 4, 8):
        for tokens in units.planned_lengths(256):
            if rows <= max_batch and rows * tokens <= 512:
                assert (rows, tokens) in shapes


@pytest.mark.parametrize("max_batch", [1, 2, 64])
def test_every_way_to_sample_is_served(max_batch: int) -> None:
    served = [request for batch in warm_up.requests(max_batch, 4096) for request in batch]
    assert {request.sampling for request in served} >= set(warm_up.SAMPLINGS)


def test_prompts_fit_a_short_context() -> None:
    for batch in warm_up.requests(4, 64):
        for request in batch:
            assert len(request.prompt) + request.max_tokens <= 64


def test_run_tells_what_is_done_and_announces_each_step() -> None:
    runner, host, told = FakeRunner(), FakeHost(), []
    warm_up.run(runner, [*warm_up.requests(16, 4096)], host, told.append)
    assert not runner.rows
    assert runner.most == 16
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert set(host.allowances) == {warm_up.COMPILE_ALLOWANCE_MS}


def test_a_failure_is_told() -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        warm_up.run(
            FakeRunner(fails=True), [*warm_up.requests(2, 4096)], FakeHost(), lambda _: None
        )


def test_the_quiet_host_passes_on_only_that_work_is_under_way() -> None:
    host = FakeHost()
    quiet = warm_up.Quiet(host)
    quiet.loading(1, 2, "x")
    quiet.prefilled(PrefillProgress(1, 1, 1, 0))
    quiet.busy("compilation", 5.0)
    assert host.allowances == [5.0]
    assert host.others == 0


def test_what_has_no_room_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    insert = runner.insert

    def picky(request: Admission) -> None:
        if len(request.prompt) > 100:
            raise Refused("memory_budget_exceeded", "max_tokens", "no room")
        insert(request)

    monkeypatch.setattr(runner, "insert", picky)
    warm_up.run(runner, [*warm_up.requests(2, 4096)], FakeHost(), lambda _: None)
    assert max(len(request.prompt) for request in runner.served) <= 100


def test_what_is_compiled_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SERVING_CACHE", "/cache")
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", "/elsewhere")
    warm_up.prepare_compiler()
    assert os.environ["MLX_PTX_CACHE_DIR"] == "/elsewhere"
    monkeypatch.delenv("MLX_PTX_CACHE_DIR")
    warm_up.prepare_compiler()
    assert os.environ["MLX_PTX_CACHE_DIR"].startswith("/cache/compiled/")


# --- everything, on a runner of the engine ---


class Made:
    """Makes runners on a tiny model, and remembers for which chunks."""

    def __init__(self) -> None:
        self._model: Any = toy.model()
        self.chunk_tokens: list[int] = []

    def __call__(self, chunk_tokens: int, host: Host) -> Runner:
        self.chunk_tokens.append(chunk_tokens)
        driver = toy.Driver(self._model, chunk_tokens=chunk_tokens, on_gpu=True)
        return driver.runner


@pytest.mark.parametrize("lengths", [[], [64], [64, 128, 256]], ids=len)
def test_all_lengths_are_gone_through(lengths: list[int]) -> None:
    made, host, told = Made(), FakeHost(), list[float]()
    warm_up.compile_all(
        made,
        chunk_tokens_max=512,
        planned_lengths=lengths,
        max_batch=4,
        context_max=toy.CONTEXT,
        host=host,
        told=told.append,
    )
    assert made.chunk_tokens == [512, *lengths]
    assert told == sorted(told) and told[0] == 0.0
    assert told[-1] == pytest.approx(1.0 if lengths else warm_up.SHARE_OF_REQUESTS)
    assert host.allowances


def test_a_kernel_that_fails_stops_no_load(capfd: pytest.CaptureFixture[str]) -> None:
    warm_up.compile_all(
        lambda chunk_tokens, host: FakeRunner(fails=True),
        chunk_tokens_max=512,
        planned_lengths=[64],
        max_batch=4,
        context_max=4096,
        host=FakeHost(),
        told=lambda share: None,
    )
    assert "not all kernels are compiled: warm-up: no memory" in capfd.readouterr().err
