"""How prefill shares a step, and what memory there is."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.chunk_policy import FreeLengths, Units
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import (
    CHUNK_TOKENS_MIN,
    CROWDED_SECONDS_MAX,
    PREFILL_SHARE,
    PREFILL_SHARE_MAX,
    PREFILL_SHARE_QUEUED,
    SECONDS_MAX,
    PrefillBudget,
)

from prefill_machine import PRIORS, STEP_SECONDS, Cost, Machine, QueueingMachine, cpu, gpu, memory

FREE = FreeLengths()


def budget(cost: PassCost | None = None) -> PrefillBudget:
    return PrefillBudget(512, cost or PassCost(0.001, 0.001, 512), 0.05)


COSTS = st.builds(PassCost, st.floats(0, 1), st.floats(0, 0.1), st.integers(1, 4096))


@given(st.integers(0, 5000), st.integers(1, 5000), st.booleans(), COSTS)
def test_chunks_have_bounds(done: int, left: int, beside_rows: bool, cost: PassCost) -> None:
    bounded = budget(cost=cost)
    bounded.stepped(0.05, 8, alone=False)
    bounded.begin(beside_rows)
    chunk = FREE.chunk_tokens(bounded, done, left)
    assert 0 <= chunk <= min(left, 512)
    if not beside_rows:
        assert chunk >= 1


def test_without_decoding_rows_a_step_prefills_for_its_time() -> None:
    idle = budget(cost=PassCost(0.01, 0.001, 512))
    idle.begin(beside_rows=False)
    spent = 0.0
    while chunk := FREE.chunk_tokens(idle, 0, 10_000):
        spent += idle.cost.seconds(chunk, 0)
        idle.prefilled(chunk, 0, idle.cost.seconds(chunk, 0))
    assert SECONDS_MAX / 2 < spent <= SECONDS_MAX


def test_a_pass_that_takes_longer_than_a_step_may_is_made_all_the_same() -> None:
    slow = budget(cost=PassCost(3.0, 0.5, 512))
    slow.begin(beside_rows=False)
    assert FREE.chunk_tokens(slow, 0, 100) >= CHUNK_TOKENS_MIN


@pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
def test_a_fixed_cost_per_pass_never_locks_at_short_chunks(prior: tuple[float, float]) -> None:
    machine = Machine(gpu, PassCost(*prior, 32))
    first = machine.prefill(4000)
    settled = machine.prefill(4000)
    # As the share of the time that prefill has allows: its passes at their best, and the steps.
    alone = sum(gpu(500, depth) for depth in range(0, 4000, 500))
    assert settled < 8 * alone and first < 12 * alone
    assert statistics.median(machine.chunks[-8:]) >= 64


@pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
@pytest.mark.parametrize("cost", [gpu, cpu])
def test_gaps_stay_within_three_steps(cost: Cost, prior: tuple[float, float]) -> None:
    machine = Machine(cost, PassCost(*prior, 32))
    machine.prefill(3000)
    settled = machine.gaps[len(machine.gaps) // 4 :]
    # Where what each token costs at a depth is taken for what the depth costs.
    misled = cost is cpu and prior == PRIORS["all of it fixed"]
    limit = (1 + (PREFILL_SHARE_MAX if misled else PREFILL_SHARE)) * STEP_SECONDS
    # Only chunks that are really short show that a pass is not dear.
    slack = 2.0 if prior == PRIORS["all of it fixed"] else 1.1
    assert statistics.quantiles(settled, n=100)[-1] <= slack * limit
    assert statistics.median(settled) <= 1.25 * (1 + PREFILL_SHARE) * STEP_SECONDS


@pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
def test_deep_in_a_prompt_a_pass_may_take_longer(prior: tuple[float, float]) -> None:
    """Twice a step's time would be spent on reading what was computed before, for a few tokens."""
    machine = Machine(memory, PassCost(*prior, 32))
    machine.prefill(4000)
    machine.gaps.clear()
    machine.chunks.clear()
    seconds = machine.prefill(4000)
    alone = sum(memory(500, depth) for depth in range(0, 4000, 500))
    assert seconds < 2.5 * alone
    assert min(machine.chunks[-20:-1]) >= 4
    assert statistics.median(machine.chunks[-20:-1]) >= 16
    gaps = statistics.quantiles(machine.gaps, n=100)
    assert gaps[-1] <= 1.1 * (1 + PREFILL_SHARE_MAX) * STEP_SECONDS
    # At its beginning it is as ever.
    assert max(machine.gaps[2:10]) <= 1.3 * (1 + PREFILL_SHARE) * STEP_SECONDS


def test_a_pass_dearer_than_a_step_earns_comes_less_often() -> None:
    """Its share of the time is held, and every chunk is worth its pass."""
    machine = Machine(lambda tokens, depth: 0.1 + 0.001 * tokens, PassCost(0.1, 0.001, 512))
    seconds = machine.prefill(500)
    decoding = STEP_SECONDS * len(machine.gaps)
    assert (seconds - decoding) / decoding <= 1.1 * PREFILL_SHARE
    assert statistics.median(machine.chunks) >= 20
    assert sum(gap > STEP_SECONDS for gap in machine.gaps) < len(machine.gaps) / 3


def test_steps_without_prefill_save_no_time_up() -> None:
    rested = budget(cost=PassCost(0.001, 0.001, 512))
    for _ in range(1000):
        rested.stepped(0.05, 8, alone=True)
        rested.idle()
    rested.begin(beside_rows=True)
    assert FREE.chunk_tokens(rested, 0, 10_000) <= PREFILL_SHARE * 0.05 / 0.001


def test_the_undisturbed_step_counts() -> None:
    """Beside a prompt a step takes longer, and what it takes must not earn more."""
    disturbed = budget()
    for seconds in (0.05, 0.05, 0.05):
        disturbed.stepped(seconds, 8, alone=True)
    for seconds in (0.08, 0.07, 0.09):
        disturbed.stepped(seconds, 8, alone=False)
    assert disturbed.step_seconds == pytest.approx(0.05)
    disturbed.stepped(0.09, 9, alone=False)
    disturbed.stepped(0.07, 9, alone=False)
    assert disturbed.step_seconds == pytest.approx(0.07)
    for _ in range(10):
        disturbed.stepped(0.03, 2, alone=True)
    assert disturbed.step_seconds == pytest.approx(0.03)


def test_a_step_that_tells_nothing_changes_nothing() -> None:
    partly = budget()
    partly.stepped(0.01, 1, alone=True)
    partly.stepped(0.03, 8, alone=True)
    for rows, expected in ((8, 0.03), (1, 0.01), (9, 0.03), (40, 0.03)):
        partly.stepped(0.2, rows, alone=False, whole=False)
        assert partly.step_seconds == pytest.approx(expected)


def test_prefill_waits_until_it_is_known_what_so_many_rows_take() -> None:
    quiet = budget(PassCost(0.001, 0.001, 8))
    for _ in range(2):
        quiet.stepped(0.2, 8, alone=False, whole=False)
        quiet.begin(beside_rows=True)
        assert FREE.chunk_tokens(quiet, 0, 1000) == 0
    assert quiet.is_undisturbed
    quiet.stepped(0.03, 8, alone=True)
    quiet.begin(beside_rows=True)
    assert FREE.chunk_tokens(quiet, 0, 1000) > 0
    quiet.queued(20, 0)
    quiet.stepped(0.2, 9, alone=False, whole=False)
    quiet.begin(beside_rows=True)
    assert not quiet.is_undisturbed and quiet.step_seconds == pytest.approx(0.03)


def test_a_queued_chunk_has_cost_what_the_longer_of_two_gaps_shows() -> None:
    learned: list[tuple[int, int, float]] = []

    class Spy(PassCost):
        def learn(self, tokens: int, depth: int, seconds: float) -> None:
            learned.append((tokens, depth, round(seconds, 6)))

    queueing = budget(Spy(0.001, 0.001, 512))
    queueing.stepped(0.01, 8, alone=True)

    def step(tokens: int, gap: float | None) -> None:
        queueing.settle(gap)
        queueing.begin(beside_rows=True)
        if tokens:
            queueing.queued(tokens, 0)

    step(100, 0.01)
    step(0, 0.018)
    step(0, 0.07)
    assert learned == [(100, 0, 0.06)]
    learned.clear()
    # In each gap Python's part of one chunk and the device's of the one before.
    step(50, 0.01)
    step(100, 0.02)
    step(0, 0.03)
    step(0, 0.05)
    assert learned == [(50, 0, 0.02), (100, 0, 0.04)]
    learned.clear()
    step(50, 0.01)
    step(0, 0.02)
    step(0, None)
    step(0, 0.03)
    assert learned == []


@pytest.mark.parametrize("python_seconds", [0.004, 0.007, 0.012])
@pytest.mark.parametrize("fixed_seconds", [0.004, 0.008, 0.012])
@pytest.mark.parametrize("prior", [(0.0125, 0.00004, 512), (0.008, 0.002, 64), (0.05, 0.0, 64)])
def test_queued_chunks_stay_within_three_steps(
    python_seconds: float, fixed_seconds: float, prior: tuple[float, float, int]
) -> None:
    machine = QueueingMachine(
        lambda tokens, depth: fixed_seconds + 0.00005 * tokens + 0.0000001 * depth,
        PassCost(*prior),
        Units(64),
        step_seconds=0.006,
        python_step_seconds=python_seconds,
        python_chunk_seconds=1.2 * python_seconds,
    )
    machine.rest(20)
    idle = max(0.006, python_seconds)
    assert machine.budget.step_seconds == pytest.approx(idle, rel=0.01)
    first = machine.prefill(4000)
    machine.rest(20)
    settled = machine.prefill(4000)
    waited = sum(2 * idle + fixed_seconds + 0.007 + 0.0000001 * at for at in range(0, 4000, 128))
    assert first < 1.5 * waited and settled < 1.5 * waited
    # Not even the shortest chunk fits into twice a step of 6 ms where a pass takes 12.
    limit = max((1 + PREFILL_SHARE) * idle, idle + fixed_seconds + 0.007)
    assert sorted(machine.gaps)[int(0.95 * len(machine.gaps))] <= 1.2 * limit
    assert max(machine.gaps) <= 1.6 * limit


def test_one_stall_holds_prefill_up_for_a_step_or_two() -> None:
    machine = Machine(cpu, PassCost(0.004, 0.0009, 512))
    machine.prefill(500)
    machine.budget.prefilled(8, 500, 3.0)
    before = len(machine.gaps)
    machine.prefill(100)
    assert len(machine.gaps) - before < 20


@pytest.mark.parametrize("queues", [False, True])
def test_prompts_that_wait_together_bring_longer_chunks(queues: bool) -> None:
    """One alone keeps the gap that was promised; where chunks are queued, so do all."""

    def seconds(prompts: int, step: float) -> float:
        one = PrefillBudget(512, PassCost(0.001, 0.001, 512), step, queues)
        for _ in range(3):
            one.begin(beside_rows=True, prompts=prompts)
            one.stepped(step, 8, alone=True)
        one.begin(beside_rows=True, prompts=prompts)
        return one.seconds

    share = PREFILL_SHARE_QUEUED if queues else PREFILL_SHARE
    assert seconds(1, 0.02) == pytest.approx(share * 0.02)
    assert seconds(2, 0.02) == pytest.approx((1 if queues else 2) * share * 0.02)
    assert seconds(9, 0.02) == pytest.approx(0.02 * share if queues else CROWDED_SECONDS_MAX)
    # A step that is long already has what it has always had.
    assert seconds(9, 0.2) == pytest.approx(share * 0.2)
