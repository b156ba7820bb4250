"""Short prompts that wait together are computed in one pass, and say what each says alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import StepOutput
from mlx_serving.messages import Admission
from mlx_serving.mlx.chunk_policy import Units
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.pass_sharing import SHORT_TOKENS_MAX
from mlx_serving.mlx.prefill import SharedComputed
from mlx_serving.mlx.prefill_budget import PREFILL_SHARE
from mlx_serving.mlx.runner import play
from mlx_serving.mlx.short_prompts import SharedChunk, common_tokens

from phases import Phases
from toy import END, VOCABULARY, Driver, KnownCost, greedy, kept_to, model, prompt, request

BYTES = 1 << 26
LENGTHS = (20, 5, 33, 12, 28, 40)
SAMPLED: dict[str, Any] = {"temperature": 1.0, "seed": 5, "top_p": 0.9, "presence_penalty": 0.4}
ENDLESS: dict[str, Any] = {"logit_bias": ((END, -1000.0),)}


class Passes:
    """A model that remembers the shapes of its passes over prompts, and fails over some."""

    def __init__(self, toy: Any) -> None:
        self._toy = toy
        self.shapes: list[tuple[int, int]] = []
        self.bad_token: int | None = None
        self.rows_max = 1 << 30
        self.error = "a broken kernel"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        rows, tokens = inputs.shape
        if tokens > 1:
            if rows > self.rows_max or any(self.bad_token in row for row in inputs.tolist()):
                raise RuntimeError(self.error)
            self.shapes.append((rows, tokens))
        return self._toy(inputs, cache=cache)


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


@pytest.fixture
def passes(toy: Any) -> Passes:
    return Passes(toy)


def driver_of(passes: Any, **options: Any) -> Driver:
    return Driver(passes, **{"chunk_tokens": 512, "cost": KnownCost(), **options})


def asked(lengths: Sequence[int] = LENGTHS, **options: Any) -> list[Admission]:
    """Prompts that don't begin alike."""
    return [request(i, [i + 1, *prompt(i, n - 1)], **options) for i, n in enumerate(lengths)]


def check_texts(toy: Any, driver: Driver, requests: Sequence[Admission]) -> None:
    for one in requests:
        known = one.prompt + one.emitted
        assert driver.tokens[one.id] == greedy(toy, known, one.max_tokens - len(one.emitted))


def test_prompts_that_come_together_have_one_pass(toy: Any, passes: Passes) -> None:
    driver, requests = driver_of(passes), asked()
    driver.run(*requests)
    assert passes.shapes == [(6, 39)]
    check_texts(toy, driver, requests)
    for one in requests:
        told = driver.prefills[one.id][0]
        assert (told.done, told.total, told.cached) == (len(one.prompt) - 1, len(one.prompt), 0)


def test_it_can_be_switched_off(toy: Any, passes: Passes) -> None:
    driver, requests = driver_of(passes, shares_passes=False), asked()
    driver.run(*requests)
    assert sorted(passes.shapes) == sorted((1, n - 1) for n in LENGTHS)
    check_texts(toy, driver, requests)


def test_rows_of_all_kinds(toy: Any, passes: Passes) -> None:
    """Drawn, kept to a grammar, resumed, of one token, with no answer: as each is alone."""
    emitted = greedy(toy, prompt(9, 14), 12)[:3]
    requests = [
        *asked(LENGTHS[:2], **SAMPLED),
        request(2, [9, *prompt(2, 20)], 6),
        request(3, prompt(9, 14), 12, emitted),
        request(4, [7], 9),
        request(5, [11, *prompt(5, 25)], 0),
        request(6, [12, *prompt(6, 8)], 9, logprobs=2, **SAMPLED),
    ]

    def played(driver: Driver, some: Sequence[Admission]) -> Driver:
        for one in some:
            driver.insert(one, kept_to("(ab|cd)+") if one.id == 2 else None)
        driver.run()
        return driver

    together = played(driver_of(passes), requests)
    assert passes.shapes == [(6, 25)], "the one of a single token has none"
    for one in requests:
        alone = played(driver_of(toy), [one])
        assert together.tokens[one.id] == alone.tokens[one.id], one.id
        assert together.ends[one.id] == alone.ends[one.id]
    assert together.ends[5].finish == "stop" and together.tokens[5] == []
    check_texts(toy, together, requests[3:5])


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("gone", [[0], [1, 2], [1, 2, 3, 4], [0, 1, 2, 3, 4, 5]])
def test_some_are_cancelled_at_any_step(
    toy: Any, passes: Passes, steps: int, gone: list[int]
) -> None:
    """Before the pass, between it and their first token, while they decode."""
    driver, requests = driver_of(passes, prefix_bytes=BYTES), asked()
    for one in requests:
        driver.insert(one)
    for _ in range(steps):
        driver.step()
    for id in gone:
        driver.runner.remove(id)
    driver.run()
    check_texts(toy, driver, [one for one in requests if one.id not in gone])
    assert driver.runner.figures().kv_bytes == 0
    driver.run(*(replace(one, id=10 + one.id) for one in requests))
    check_texts(toy, driver, [replace(one, id=10 + one.id) for one in requests])


def test_a_bad_one_takes_no_others_down(
    toy: Any, passes: Passes, capfd: pytest.CaptureFixture[str]
) -> None:
    requests = asked()
    passes.bad_token = VOCABULARY - 1
    requests[2] = replace(requests[2], prompt=[3, VOCABULARY - 1, 4])
    driver = driver_of(passes)
    driver.run(*requests)
    assert driver.ends[2].code == "generation_error" and "broken" in str(driver.ends[2].message)
    assert {rows for rows, _ in passes.shapes} == {1}
    assert "6 prompts are computed one by one: a broken kernel" in capfd.readouterr().err
    check_texts(toy, driver, [one for one in requests if one.id != 2])


@pytest.mark.parametrize("error", ["a broken kernel", "[malloc] Unable to allocate 9 bytes."])
def test_a_pass_that_fails_as_a_whole_is_none(toy: Any, passes: Passes, error: str) -> None:
    passes.rows_max, passes.error = 1, error
    driver, requests = driver_of(passes, prefix_bytes=BYTES), asked()
    driver.run(*requests)
    assert len(passes.shapes) == 6
    check_texts(toy, driver, requests)


def test_those_that_come_later_share_again_after_a_failure(toy: Any, passes: Passes) -> None:
    passes.rows_max = 1
    driver = driver_of(passes)
    driver.run(*asked())
    passes.rows_max = 8
    passes.shapes.clear()
    later = [replace(one, id=10 + one.id) for one in asked()]
    driver.run(*later)
    assert passes.shapes == [(6, 39)]


# --- who shares ---


@pytest.mark.parametrize(
    "options",
    [
        {"deterministic": True, "max_batch": 1},
        {"deterministic": True},
        {"in_pieces": False},
        {"grouping": Grouping(alone=True)},
    ],
)
def test_some_never_share(toy: Any, passes: Passes, options: dict[str, Any]) -> None:
    driver, requests = driver_of(passes, **options), asked()
    driver.run(*requests)
    assert {rows for rows, _ in passes.shapes} == {1}
    check_texts(toy, driver, requests)


def test_windows_are_not_shared() -> None:
    windowed = model(layer_types=["sliding_attention", "full_attention"], sliding_window=24)
    passes, requests = Passes(windowed), asked()
    driver = driver_of(passes)
    driver.run(*requests)
    assert {rows for rows, _ in passes.shapes} == {1}
    check_texts(windowed, driver, requests)


def test_a_long_one_has_its_own_passes(toy: Any, passes: Passes) -> None:
    driver, requests = driver_of(passes, chunk_tokens=1024), asked((20, SHORT_TOKENS_MAX + 2, 30))
    driver.run(*requests)
    assert passes.shapes == [(2, 29), (1, SHORT_TOKENS_MAX + 1)]
    check_texts(toy, driver, requests)


def test_only_those_whose_turns_follow(passes: Passes) -> None:
    """By class first: the longer one of a better class parts the short ones."""
    phases = Phases(passes, chunk_tokens=512, max_batch=8, cost=KnownCost())
    requests = asked((20, 21, 22, 300, 23))
    for i, priority in ((0, "interactive"), (1, "interactive"), (3, "normal")):
        requests[i] = replace(requests[i], priority=priority)
    for i in (2, 4):
        requests[i] = replace(requests[i], priority="batch")
    phases.wait(*requests)
    play(phases.admission, StepOutput())
    turns = []
    for plan in phases.prefill.schedule():
        if isinstance(plan, SharedChunk):
            turns.append([row.id for row in plan.rows])
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    assert turns == [[0, 1], [2, 4]]
    assert [row.id for row in phases.stages.ready] == [0, 1, 3, 2, 4]


def test_each_counts_in_the_order_of_prefill_as_alone(passes: Passes) -> None:
    clocks = []
    for share in (True, False):
        phases = Phases(passes, chunk_tokens=512, max_batch=8, cost=KnownCost(), share=share)
        phases.wait(*asked())
        play(phases.admission, StepOutput())
        play(phases.prefill, StepOutput())
        phases.wait(request(9, prompt(9, 9)))
        play(phases.admission, StepOutput())
        clocks.append(phases.stages.prefilling[0].arrived_tokens)
    assert clocks == [sum(LENGTHS) - len(LENGTHS)] * 2


def test_a_plan_computes_nothing_before_it_is_run(passes: Passes) -> None:
    phases = Phases(passes, chunk_tokens=512, max_batch=8, cost=KnownCost())
    phases.wait(*asked())
    play(phases.admission, StepOutput())
    for plan in phases.prefill.schedule():
        if isinstance(plan, SharedChunk):
            break
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    assert passes.shapes == [] and phases.budget.chunks == 0
    ran = phases.prefill.run(plan)
    assert isinstance(ran, SharedComputed) and ran.computed == 6 * 39
    assert phases.host.prefills == [] and phases.stages.ready == []
    phases.prefill.postprocess(ran, StepOutput())
    assert phases.budget.chunks == 1 and len(phases.stages.ready) == 6


# --- beside rows, and on a GPU ---


@pytest.mark.parametrize("queues_chunks", [False, True])
@pytest.mark.parametrize("unit_tokens", [1, 16])
def test_beside_rows_that_decode(
    toy: Any, passes: Passes, queues_chunks: bool, unit_tokens: int
) -> None:
    driver = driver_of(
        passes, queues_chunks=queues_chunks, on_gpu=queues_chunks, unit_tokens=unit_tokens
    )
    running = request(99, prompt(7, 10), 60, **ENDLESS)
    driver.insert(running)
    while not driver.tokens[99]:
        driver.step()
    passes.shapes.clear()
    requests = asked()
    driver.run(*requests)
    assert len(passes.shapes) < len(requests)
    assert len(driver.tokens[99]) == 60
    check_texts(toy, driver, requests)


def test_beside_rows_a_pass_is_no_longer_than_what_is_earned(passes: Passes) -> None:
    phases = Phases(passes, chunk_tokens=512, max_batch=16, cost=KnownCost(1e-3, 1e-4))
    phases.wait(request(99, prompt(7, 10), 60, **ENDLESS))
    play(phases.admission, StepOutput())
    play(phases.prefill, StepOutput())
    play(phases.decode, StepOutput())
    phases.wait(*asked([11] * 12))
    play(phases.admission, StepOutput())
    computed: list[int] = []
    # What the first prompt has really taken, on whatever machine, is earned again.
    for _ in range(3):
        phases.budget.stepped(3e-3, 1, alone=True)
    for _ in range(50):
        phases.budget.stepped(3e-3, 1, alone=True)
        spent, prompts = 0.0, max(1, len(phases.stages.prefilling))
        for plan in phases.prefill.schedule():
            if isinstance(plan, SharedChunk):
                computed.append(plan.lengths.computed)
                expected = phases.budget.cost.seconds(plan.lengths.computed, 0)
                assert expected <= phases.budget.seconds
                spent += expected
            ran = phases.prefill.run(plan)
            if isinstance(ran, SharedComputed):
                ran = replace(ran, seconds=expected)
            phases.prefill.postprocess(ran, StepOutput())
        assert spent <= prompts * PREFILL_SHARE * phases.budget.step_seconds
    assert sum(computed) == 120 and min(computed) >= 20
    assert not phases.stages.prefilling


def test_in_whole_units_and_powers_of_two(toy: Any, passes: Passes) -> None:
    driver, requests = driver_of(passes, unit_tokens=16), asked((9, 14, 20, 30, 3, 16, 33))
    driver.run(*requests)
    assert all(rows in (1, 2, 4) and tokens in (16, 32) for rows, tokens in passes.shapes)
    assert len(passes.shapes) == 3
    check_texts(toy, driver, requests)


def test_a_pass_over_units_is_padded_as_planned(passes: Passes) -> None:
    phases = Phases(passes, policy=Units(16), chunk_tokens=512, max_batch=8, cost=KnownCost())
    phases.wait(*asked((9, 14, 20, 30)))
    play(phases.admission, StepOutput())
    play(phases.prefill, StepOutput())
    assert passes.shapes == [(4, 32)]
    assert [{layer.offset for layer in row.cache} for row in phases.stages.ready] == [
        {8},
        {13},
        {19},
        {29},
    ]


# --- what begins alike ---


def headed(head: int, count: int = 5, own: int = 10, first: int = 0, **options: Any) -> Any:
    """Prompts with a common head."""
    return [
        request(i, [*prompt(50, head), i + 1, *prompt(i, own - 1)], **options)
        for i in range(first, first + count)
    ]


@pytest.mark.parametrize("prefix_bytes", [0, BYTES])
def test_a_common_block_is_computed_once_where_it_can_be_kept(
    toy: Any, passes: Passes, prefix_bytes: int
) -> None:
    driver, requests = driver_of(passes, prefix_bytes=prefix_bytes), headed(70)
    driver.run(*requests)
    if prefix_bytes:
        assert passes.shapes[0] == (1, 79) and sum(r * t for r, t in passes.shapes[1:]) < 4 * 16
        assert [driver.cached(i) >= 64 for i in range(5)] == [False, True, True, True, True]
    else:
        assert passes.shapes == [(5, 79)]
    check_texts(toy, driver, requests)


@pytest.mark.parametrize(("fixed", "shapes"), [(29, [(1, 39), (4, 9)]), (31, [(5, 39)])])
def test_a_common_head_is_computed_again_where_that_is_cheaper(
    toy: Any, passes: Passes, fixed: int, shapes: list[tuple[int, int]]
) -> None:
    """Of 30 tokens, in passes whose fixed cost is that of fewer, or of more."""
    cost = KnownCost(fixed * 1e-5, 1e-5)
    driver, requests = driver_of(passes, prefix_bytes=BYTES, cost=cost), headed(30)
    driver.run(*requests)
    assert passes.shapes == shapes
    check_texts(toy, driver, requests)


def test_what_others_left_is_taken_over_before_a_pass(toy: Any, passes: Passes) -> None:
    driver = driver_of(passes, prefix_bytes=BYTES)
    driver.run(headed(30, 1)[0])
    passes.shapes.clear()
    requests = headed(30, 4, first=1)
    driver.run(*requests)
    assert passes.shapes == [(4, 9)]
    assert [driver.cached(one.id) for one in requests] == [30] * 4
    check_texts(toy, driver, requests)


def test_what_they_leave_is_found(toy: Any, passes: Passes) -> None:
    driver, requests = driver_of(passes, prefix_bytes=BYTES), asked()
    driver.run(*requests)
    for one in requests:
        again = replace(one, id=10 + one.id, prompt=[*one.prompt, 1, 2, 3])
        driver.run(again)
        expected = len(one.prompt) - 1
        assert driver.cached(again.id) >= (expected if expected >= 8 else 0)
        check_texts(toy, driver, [again])


def test_another_owner_finds_nothing_of_it(toy: Any, passes: Passes) -> None:
    driver = driver_of(passes, prefix_bytes=BYTES)
    requests = [replace(one, salt=str(one.id % 2)) for one in headed(100, 4, own=20)]
    driver.run(*requests)
    assert passes.shapes[0] == (2, 119), "of one owner each"
    other = replace(requests[0], id=9, salt="another")
    driver.run(other)
    assert driver.cached(9) == 0
    check_texts(toy, driver, [*requests, other])


def test_blocks_that_are_evicted_meanwhile(toy: Any, passes: Passes) -> None:
    driver = driver_of(passes, prefix_bytes=BYTES)
    driver.run(headed(30, 1)[0])
    requests = headed(30, 4, first=1)
    for one in requests:
        driver.insert(one)
    peeked = driver.prompt_cache.peek

    def gone(*args: Any, **options: Any) -> int:
        found = peeked(*args, **options)
        driver.prompt_cache.evict(BYTES)
        return found

    driver.prompt_cache.peek = gone  # type: ignore[method-assign]
    driver.run()
    check_texts(toy, driver, requests)


def test_common_tokens() -> None:
    assert common_tokens([1, 2, 3], [1, 2, 4]) == 2
    assert common_tokens([1, 2], [1, 2, 4]) == 2
    assert common_tokens([3], [1]) == common_tokens([], [1]) == 0
