"""Prompts with one prefix that come together compute it once, whatever becomes of the one that
computes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import StepOutput
from mlx_serving.messages import Admission
from mlx_serving.mlx.chunk_policy import BORDER_TOKENS
from mlx_serving.mlx.common_prefixes import BLOCK_TOKENS
from mlx_serving.mlx.prefill import Chunk, Plan, TakeOver
from mlx_serving.mlx.runner import play

from phases import Phases
from toy import CONTEXT, VOCABULARY, Driver, greedy, model, prompt, request

PREFIX, OWN, CHUNK = 4 * BLOCK_TOKENS, 30, 64
AGENTS = 8
BYTES = 1 << 26


class Counting:
    """A model that knows how many tokens of prompts it has computed, and fails when it is told."""

    def __init__(self, toy: Any) -> None:
        self._toy = toy
        self.computed = 0
        self.lengths: list[int] = []
        self.fails_at: int | None = None
        self.error = "a broken kernel"
        self.prefills = False
        """What is computed now is of prompts, though it be a single token: on a busy machine a
        chunk may have no more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        if self.prefills or inputs.shape[1] > 1:
            if self.fails_at is not None and self.computed >= self.fails_at:
                self.fails_at = None
                raise RuntimeError(self.error)
            self.computed += inputs.size
            self.lengths.append(inputs.shape[1])
        return self._toy(inputs, cache=cache)


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


@pytest.fixture
def counting(toy: Any) -> Counting:
    return Counting(toy)


def agents(count: int = AGENTS, own: int = OWN, prefix: int = PREFIX) -> list[Admission]:
    return [request(i, [*prompt(1, prefix), *prompt(20 + i, own)], 4) for i in range(count)]


def once(requests: Sequence[Admission], prefix: int = PREFIX) -> int:
    """Tokens to compute where the prefix is computed once; the last one of each is decoded."""
    return prefix + sum(len(one.prompt) - 1 - prefix for one in requests)


def driver_of(counting: Counting, **options: Any) -> Driver:
    """Each prompt in passes of its own: those that share one are in test_short_prompts.py."""
    driver = Driver(
        counting, prefix_bytes=BYTES, chunk_tokens=CHUNK, shares_passes=False, **options
    )
    phase: Any = driver.runner._prefill
    run = phase.run

    def counted(plan: Plan) -> Any:
        counting.prefills = True
        try:
            return run(plan)
        finally:
            counting.prefills = False

    phase.run = counted
    return driver


def run_chunks(phases: Phases, chunks: int) -> None:
    """So many of the first prompt."""
    left = chunks
    for plan in plans_of(phases):
        if isinstance(plan, Chunk):
            if not left:
                return
            left -= 1
        assert plan.row.id == 0
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    raise AssertionError("there are no more chunks")


def plans_of(phases: Phases) -> Iterator[Plan]:
    """Of as many steps as it takes."""
    while phases.stages.prefilling:
        yield from phases.prefill.schedule()


def check_texts(toy: Any, driver: Driver, requests: Sequence[Admission]) -> None:
    for one in requests:
        assert driver.tokens[one.id] == greedy(toy, one.prompt, one.max_tokens)


def test_eight_prompts_with_one_prefix_compute_it_once(toy: Any, counting: Counting) -> None:
    requests, driver = agents(), driver_of(counting)
    driver.run(*requests)
    assert counting.computed == once(requests)
    assert [driver.cached(i) for i in range(AGENTS)] == [0, *[PREFIX] * (AGENTS - 1)]
    check_texts(toy, driver, requests)


def test_a_shorter_one_goes_on_from_a_longer_one_and_the_other_way_round(
    toy: Any, counting: Counting
) -> None:
    """One that comes later is shorter: it takes the turn, and the first one goes on from it."""
    long = request(0, [*prompt(1, PREFIX), *prompt(20, 250)], 4)
    short = request(1, [*prompt(1, PREFIX), *prompt(21, 5)], 4)
    phases = Phases(counting, prefix_bytes=BYTES, chunk_tokens=CHUNK, share=False)
    phases.wait(long)
    play(phases.admission, StepOutput())
    run_chunks(phases, 2)
    phases.wait(short)
    play(phases.admission, StepOutput())
    assert phases.stages.prefilling[1].missing_tokens == PREFIX + 4 - 2 * CHUNK
    seen = []
    for plan in plans_of(phases):
        seen.append((plan.row.id, type(plan)))
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    assert seen[:4] == [(1, TakeOver), (1, Chunk), (1, Chunk), (1, Chunk)]
    assert seen[4] == (0, TakeOver)
    assert counting.computed == once([long, short])
    cached = {row.id: row.cached for row in phases.stages.ready}
    # What it had computed itself isn't counted as cached.
    assert cached == {1: 2 * CHUNK, 0: PREFIX - 2 * CHUNK}


def test_without_a_prompt_cache_each_computes_for_itself(toy: Any, counting: Counting) -> None:
    requests = agents(3)
    driver = Driver(counting, chunk_tokens=CHUNK, shares_passes=False)
    driver.run(*requests)
    assert counting.computed == sum(len(one.prompt) - 1 for one in requests)
    check_texts(toy, driver, requests)


def test_a_prompt_cache_that_is_too_small_costs_no_request(toy: Any, counting: Counting) -> None:
    requests = agents(4)
    driver = Driver(counting, prefix_bytes=30_000, chunk_tokens=CHUNK, shares_passes=False)
    driver.run(*requests)
    check_texts(toy, driver, requests)


def test_another_salt_computes_for_itself(toy: Any, counting: Counting) -> None:
    requests = [replace(one, salt=str(one.id % 2)) for one in agents(4)]
    driver = driver_of(counting)
    driver.run(*requests)
    assert counting.computed == once(requests) + PREFIX
    check_texts(toy, driver, requests)


@pytest.mark.parametrize("sharing", [True, False])
def test_the_deterministic_profile_has_the_chunks_that_it_had(
    toy: Any, counting: Counting, sharing: bool
) -> None:
    """A prompt whose prefix another one has computed has the same chunks to go as alone."""
    requests = agents(4, prefix=2 * BORDER_TOKENS + 20)
    driver = Driver(
        counting, deterministic=True, prefix_bytes=BYTES if sharing else 0, chunk_tokens=1_000
    )
    driver.run(*requests)
    left = len(requests[0].prompt) - 1 - 2 * BORDER_TOKENS
    whole = [BORDER_TOKENS, BORDER_TOKENS, left]
    assert counting.lengths == (whole + [left] * 3 if sharing else whole * 4)
    check_texts(toy, driver, requests)


def test_in_whole_units(toy: Any, counting: Counting) -> None:
    requests = agents(4, own=50)
    driver = driver_of(counting, unit_tokens=16)
    driver.run(*requests)
    assert [driver.cached(i) for i in range(4)] == [0, PREFIX, PREFIX, PREFIX]
    check_texts(toy, driver, requests)


@pytest.mark.parametrize("window", [48, 1_000])
def test_a_model_with_windows(window: int) -> None:
    windowed = model(layer_types=["sliding_attention", "full_attention"], sliding_window=window)
    counting, requests = Counting(windowed), agents(3)
    driver = driver_of(counting)
    driver.run(*requests)
    check_texts(windowed, driver, requests)
    shares = window > CONTEXT
    whole = sum(len(one.prompt) - 1 for one in requests)
    assert counting.computed == (once(requests) if shares else whole)


def test_queued_chunks_are_shared_too(toy: Any, counting: Counting) -> None:
    running = request(99, prompt(7, 10), 120)
    driver = driver_of(counting, on_gpu=True, queues_chunks=True)
    driver.insert(running)
    driver.step()
    driver.step()
    requests = agents(4)
    driver.run(*requests)
    assert counting.computed == once(requests) + 9
    check_texts(toy, driver, requests)


# --- what becomes of the one that computes ---


@pytest.mark.parametrize("chunks", range(1 + PREFIX // CHUNK))
def test_one_that_is_cancelled_leaves_what_it_has_computed(counting: Counting, chunks: int) -> None:
    phases = Phases(counting, prefix_bytes=BYTES, chunk_tokens=CHUNK, max_batch=AGENTS, share=False)
    requests = agents(4)
    phases.wait(*requests)
    play(phases.admission, StepOutput())
    run_chunks(phases, chunks)
    for row in phases.stages.remove(0):
        phases.prefixes.keep_so_far(row, waits=False)
    while phases.stages.prefilling:
        play(phases.prefill, StepOutput())
    assert counting.computed == once(requests[1:])
    assert [row.id for row in phases.stages.ready] == [1, 2, 3]


@pytest.mark.parametrize("steps", range(4))
def test_a_cancel_at_any_step(toy: Any, counting: Counting, steps: int) -> None:
    """While it waits for a place, is prefilled, or decodes."""
    requests, driver = agents(4), driver_of(counting, max_batch=3)
    for one in requests:
        driver.insert(one)
    for _ in range(steps):
        driver.step()
    for id in (0, 3):
        driver.runner.remove(id)
    driver.run()
    check_texts(toy, driver, requests[1:3])
    assert counting.computed <= once(requests)
    assert driver.runner.delay_seconds() is None and driver.runner.figures().kv_bytes == 0


@pytest.mark.parametrize("fails_at", [0, CHUNK, 2 * CHUNK, PREFIX])
def test_one_that_fails_leaves_the_others_to_go_on(
    toy: Any, counting: Counting, fails_at: int
) -> None:
    counting.fails_at = fails_at
    requests, driver = agents(4), driver_of(counting)
    driver.run(*requests)
    assert driver.ends[0].code == "generation_error"
    assert counting.computed <= fails_at + once(requests[1:])
    check_texts(toy, driver, requests[1:])


def test_memory_that_runs_out_beside_others_ends_the_process(counting: Counting) -> None:
    counting.fails_at, counting.error = CHUNK, "[malloc] Unable to allocate 1 bytes."
    with pytest.raises(RuntimeError, match="allocate"):
        driver_of(counting).run(*agents(3))


def test_a_copy_that_fails_costs_its_row_alone(toy: Any, counting: Counting) -> None:
    requests, driver = agents(3), driver_of(counting)
    policy = driver.runner._prefixes
    take_over = policy.take_over

    def failing(row: Any) -> None:
        if row.id == 1:
            raise RuntimeError("no copy")
        take_over(row)

    policy.take_over = failing  # type: ignore[method-assign]
    driver.run(*requests)
    assert driver.ends[1].code == "generation_error"
    check_texts(toy, driver, [requests[0], requests[2]])


def test_after_a_death_all_of_them_go_on_with_one_prefix(toy: Any, counting: Counting) -> None:
    """As a new worker gets them: with the tokens that are out."""
    whole = Driver(toy).run(*agents(4))
    requests = [replace(one, emitted=whole[one.id][: min(one.id, 2)]) for one in agents(4)]
    driver = driver_of(counting)
    driver.run(*requests)
    for one in requests:
        assert driver.tokens[one.id] == whole[one.id][len(one.emitted) :]
    total = sum(len(one.prompt) + len(one.emitted) - 1 - PREFIX for one in requests)
    assert counting.computed == PREFIX + total


def test_a_token_outside_the_common_part_is_never_shared(toy: Any, counting: Counting) -> None:
    """Prompts that differ in the middle of a block, and one that ends there."""
    ids = prompt(1, PREFIX)
    other = [*ids[:150], (ids[150] + 1) % (VOCABULARY - 1), *ids[151:]]
    requests = [request(0, ids, 6), request(1, other, 6), request(2, ids[:100], 6)]
    driver = driver_of(counting)
    driver.run(*requests)
    check_texts(toy, driver, requests)
