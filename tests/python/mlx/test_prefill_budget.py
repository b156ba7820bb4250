"""How prefill shares a step, and what memory there is."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import (
    BORDER_TOKENS,
    CHUNK_TOKENS_MIN,
    PREFILL_SHARE,
    SECONDS_MAX,
    PrefillBudget,
    allowance_ms,
)

STEP_SECONDS = 0.012
Cost = Callable[[int, int], float]


def budget(deterministic: bool = False, cost: PassCost | None = None) -> PrefillBudget:
    return PrefillBudget(512, deterministic, cost or PassCost(0.001, 0.001, 512), 0.05)


COSTS = st.builds(PassCost, st.floats(0, 1), st.floats(0, 0.1), st.integers(1, 4096))


@given(st.integers(0, 5000), st.integers(1, 5000), st.booleans(), COSTS)
def test_chunks_have_bounds(done: int, left: int, decoding: bool, cost: PassCost) -> None:
    bounded = budget(cost=cost)
    bounded.stepped(0.05, 8, alone=False)
    bounded.begin(decoding)
    chunk = bounded.chunk_tokens(done, left, decoding)
    assert 0 <= chunk <= min(left, 512)
    if not decoding:
        assert chunk >= 1


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_fixed_borders(done: int, left: int) -> None:
    fixed = budget(deterministic=True)
    fixed.begin(decoding=False)
    chunk = fixed.chunk_tokens(done, left, decoding=False)
    assert chunk == left or (done + chunk) % BORDER_TOKENS == 0
    assert 1 <= chunk <= BORDER_TOKENS


def test_without_decoding_rows_a_step_prefills_for_its_time() -> None:
    idle = budget(cost=PassCost(0.01, 0.001, 512))
    idle.begin(decoding=False)
    spent = 0.0
    while chunk := idle.chunk_tokens(0, 10_000, decoding=False):
        spent += idle.cost.seconds(chunk, 0)
        idle.prefilled(chunk, 0, idle.cost.seconds(chunk, 0))
    assert SECONDS_MAX / 2 < spent <= SECONDS_MAX


def test_a_pass_that_takes_longer_than_a_step_may_is_made_all_the_same() -> None:
    slow = budget(cost=PassCost(3.0, 0.5, 512))
    slow.begin(decoding=False)
    assert slow.chunk_tokens(0, 100, decoding=False) >= CHUNK_TOKENS_MIN


class Machine:
    """A worker in virtual time: decodes every `step_seconds`, while one prompt comes in."""

    def __init__(self, cost: Cost, prior: PassCost, step_seconds: float = STEP_SECONDS) -> None:
        self._cost = cost
        self._step_seconds = step_seconds
        self.budget = PrefillBudget(2048, False, prior, step_seconds)
        self.gaps: list[float] = []
        self.chunks: list[int] = []

    def prefill(self, tokens: int) -> float:
        """Seconds until the prompt is computed."""
        start, done = sum(self.gaps), 0
        while done < tokens:
            gap = self._step_seconds
            self.budget.stepped(gap, 8, alone=False)
            self.budget.begin(decoding=True)
            while chunk := self.budget.chunk_tokens(done, tokens - done, decoding=True):
                seconds = self._cost(chunk, done)
                self.budget.prefilled(chunk, done, seconds)
                gap += seconds
                done += chunk
                self.chunks.append(chunk)
                if done == tokens:
                    break
            self.gaps.append(gap)
        return sum(self.gaps) - start


def gpu(tokens: int, depth: int) -> float:
    """An H100's passes over an 8B model: what they cost whatever their length is most of it."""
    return 0.0125 + 0.00004 * tokens + 0.0000001 * depth


def cpu(tokens: int, depth: int) -> float:
    return 0.004 + 0.0009 * tokens + 0.0000015 * tokens * depth


# Warm-up says little: a prior of a few tokens, or one that was disturbed.
PRIORS = {
    "from a few tokens": (0.008, 0.002),
    "all of it per token": (0.0, 0.005),
    "all of it fixed": (0.05, 0.0),
    "far too cheap": (0.0001, 0.00001),
}


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
    limit = (1 + PREFILL_SHARE) * STEP_SECONDS
    # Only chunks that are really short show that a pass is not dear.
    slack = 2.0 if prior == PRIORS["all of it fixed"] else 1.1
    assert statistics.quantiles(settled, n=100)[-1] <= slack * limit


def test_a_pass_dearer_than_a_step_earns_comes_less_often() -> None:
    """Its share of the time is held, and every chunk is worth its pass."""
    machine = Machine(lambda tokens, depth: 0.1 + 0.001 * tokens, PassCost(0.1, 0.001, 512))
    seconds = machine.prefill(500)
    decoding = STEP_SECONDS * len(machine.gaps)
    assert (seconds - decoding) / decoding <= 1.1 * PREFILL_SHARE
    assert statistics.median(machine.chunks) >= 20
    assert sum(gap > STEP_SECONDS for gap in machine.gaps) < len(machine.gaps) / 3


@given(st.integers(0, 5000), st.integers(1, 5000), st.booleans())
def test_chunks_of_units_begin_at_multiples_of_their_length(
    done: int, left: int, decoding: bool
) -> None:
    units = PrefillBudget(500, False, PassCost(0.001, 0.0001, 512), 0.05, unit_tokens=64)
    units.stepped(0.05, 8, alone=False)
    units.begin(decoding)
    chunk = units.chunk_tokens(done, left, decoding)
    assert list(units.unit_lengths()) == [64, 128, 256]
    if done % 64:
        assert chunk == min(left, 64 - done % 64)
    elif left >= 64:
        assert chunk in (64, 128, 256) and chunk <= left and done % chunk == 0
    else:
        assert chunk == left


def units_of(step_seconds: float) -> Machine:
    machine = Machine(gpu, PassCost(0.0125, 0.00004, 512), step_seconds)
    machine.budget.unit_tokens = 64
    return machine


def test_units_dearer_than_a_step_earns_hold_their_share() -> None:
    machine = units_of(0.006)
    seconds = machine.prefill(4000)
    decoding = 0.006 * len(machine.gaps)
    share = (seconds - decoding) / decoding
    assert 0.9 * PREFILL_SHARE <= share <= 1.1 * PREFILL_SHARE
    assert set(machine.chunks[:-1]) == {64}
    assert max(machine.gaps) <= 0.006 + 1.1 * gpu(64, 4000)


def test_units_are_doubled_as_far_as_a_step_earns_them() -> None:
    machine = units_of(0.012)
    machine.prefill(4096)
    assert {128, 256} <= set(machine.chunks)
    assert max(machine.gaps) <= 1.1 * (1 + PREFILL_SHARE) * 0.012


def test_steps_without_prefill_save_no_time_up() -> None:
    rested = budget(cost=PassCost(0.001, 0.001, 512))
    for _ in range(1000):
        rested.stepped(0.05, 8, alone=True)
        rested.idle()
    rested.begin(decoding=True)
    assert rested.chunk_tokens(0, 10_000, decoding=True) <= PREFILL_SHARE * 0.05 / 0.001


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
    disturbed.stepped(0.02, 9, alone=False, whole=False)
    assert disturbed.step_seconds == pytest.approx(0.07)
    for _ in range(10):
        disturbed.stepped(0.03, 2, alone=True)
    assert disturbed.step_seconds == pytest.approx(0.03)


def test_one_stall_holds_prefill_up_for_a_step_or_two() -> None:
    machine = Machine(cpu, PassCost(0.004, 0.0009, 512))
    machine.prefill(500)
    machine.budget.prefilled(8, 500, 3.0)
    before = len(machine.gaps)
    machine.prefill(100)
    assert len(machine.gaps) - before < 20


def test_only_what_takes_long_is_announced() -> None:
    assert allowance_ms(0.5) == 0
    assert allowance_ms(10) > 10_000
