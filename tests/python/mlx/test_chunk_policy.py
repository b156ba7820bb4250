"""Where a prompt is cut, for each way of computing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.chunk_policy import (
    BORDER_TOKENS,
    ChunkPolicy,
    FixedBorders,
    FreeLengths,
    Units,
    WholePrompts,
    chunk_policy,
)
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import PREFILL_SHARE, PrefillBudget

from prefill_machine import Machine, gpu

POLICIES: dict[str, ChunkPolicy] = {
    "free": FreeLengths(),
    "units": Units(64),
    "borders": FixedBorders(),
    "whole": WholePrompts(FreeLengths()),
    "whole units": WholePrompts(Units(64)),
}


def budget() -> PrefillBudget:
    return PrefillBudget(512, PassCost(0.001, 0.001, 512), 0.05)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
@given(st.integers(0, 5000), st.integers(1, 5000), st.booleans())
def test_a_chunk_is_never_longer_than_what_is_left(
    policy: ChunkPolicy, done: int, left: int, beside_rows: bool
) -> None:
    time = budget()
    time.stepped(0.05, 8, alone=False)
    time.begin(beside_rows)
    tokens = policy.chunk_tokens(time, done, left)
    assert 0 <= tokens <= left
    assert beside_rows or tokens > 0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_a_computed_prompt_is_cut_where_its_prefix_is_used(policy: ChunkPolicy) -> None:
    """What a hit leaves begins where a chunk begins."""
    assert policy.padding_tokens(200) == 0
    unit = policy.reuse_unit_tokens
    assert policy.keeps_prompt(2 * unit, 0)
    time = budget()
    time.begin(beside_rows=False)
    tokens = policy.chunk_tokens(time, 2 * unit, 10_000)
    assert tokens == 10_000 or tokens % unit == 0


def test_which_policy_a_model_gets() -> None:
    free = chunk_policy(deterministic=False, in_pieces=True)
    units = chunk_policy(deterministic=False, in_pieces=True, unit_tokens=64)
    fixed = chunk_policy(deterministic=True, in_pieces=True, unit_tokens=64)
    whole = chunk_policy(deterministic=False, in_pieces=False, unit_tokens=64)
    assert (free, units, whole) == (FreeLengths(), Units(64), WholePrompts(Units(64)))
    assert isinstance(fixed, FixedBorders)
    assert [policy.replays for policy in (free, units, fixed, whole)] == [False, False, True, True]
    assert [policy.keeps_answers for policy in (free, fixed, whole)] == [True, False, True]


def test_lengths_that_a_load_goes_through() -> None:
    assert FreeLengths().planned_lengths(4096) == ()
    assert FixedBorders().planned_lengths(4096) == ()
    planned = chunk_policy(deterministic=True, in_pieces=True, unit_tokens=64)
    assert list(planned.planned_lengths(4096)) == [BORDER_TOKENS]
    assert WholePrompts(Units(64)).planned_lengths(200) == [64, 128]
    assert Units(64).planned_lengths(63) == []


# --- fixed borders ---


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_fixed_borders(done: int, left: int) -> None:
    fixed = budget()
    fixed.begin(beside_rows=False)
    chunk = FixedBorders().chunk_tokens(fixed, done, left)
    assert chunk == left or (done + chunk) % BORDER_TOKENS == 0
    assert 1 <= chunk <= BORDER_TOKENS


def test_fixed_borders_wait_for_time_alone() -> None:
    spent = budget()
    spent.begin(beside_rows=False)
    spent.prefilled(128, 0, 5.0)
    assert FixedBorders().chunk_tokens(spent, 128, 500) == 0


@pytest.mark.parametrize(
    ("done", "left", "kept"),
    [(128, 0, True), (128, 127, True), (128, 128, False), (100, 0, False), (256, 5, True)],
)
def test_a_prompt_is_kept_at_its_last_border(done: int, left: int, kept: bool) -> None:
    assert FixedBorders().keeps_prompt(done, left) == kept


# --- whole prompts ---


@pytest.mark.parametrize("left", [1, 500, 100_000])
def test_a_prompt_that_may_not_be_cut_is_one_chunk(left: int) -> None:
    spent = budget()
    spent.begin(beside_rows=True)
    spent.prefilled(128, 0, 5.0)
    assert WholePrompts(FreeLengths()).chunk_tokens(spent, 0, left) == left


# --- units ---


@given(st.integers(0, 5000), st.integers(1, 5000), st.booleans())
def test_chunks_of_units_begin_at_multiples_of_their_length(
    done: int, left: int, beside_rows: bool
) -> None:
    units, time = Units(64), PrefillBudget(500, PassCost(0.001, 0.0001, 512), 0.05)
    time.stepped(0.05, 8, alone=False)
    time.begin(beside_rows)
    chunk = units.chunk_tokens(time, done, left)
    assert units.planned_lengths(500) == [64, 128, 256]
    if done % 64:
        assert chunk == min(left, 64 - done % 64)
    elif left >= 64:
        assert chunk in (64, 128, 256) and chunk <= left and done % chunk == 0
    else:
        assert chunk == left


def units_of(step_seconds: float) -> Machine:
    return Machine(gpu, PassCost(0.0125, 0.00004, 512), step_seconds, Units(64))


def test_units_dearer_than_a_step_earns_hold_their_share() -> None:
    machine = units_of(0.006)
    seconds = machine.prefill(4000)
    decoding = 0.006 * len(machine.gaps)
    share = (seconds - decoding) / decoding
    assert 0.9 * PREFILL_SHARE <= share <= 1.1 * PREFILL_SHARE
    # 64 tokens would take four fifths of the time of twice as many.
    assert machine.chunks[-10:-1] == [128] * 9
    assert max(machine.gaps) <= 0.006 + 1.1 * gpu(128, 4000)


def test_units_are_doubled_as_far_as_a_step_earns_them() -> None:
    machine = units_of(0.012)
    machine.prefill(4096)
    assert {128, 256} <= set(machine.chunks)
    assert max(machine.gaps) <= 1.1 * (1 + PREFILL_SHARE) * 0.012


@given(st.integers(0, 500))
def test_the_last_chunk_of_units_is_padded_to_one(tokens: int) -> None:
    padded = tokens + Units(64).padding_tokens(tokens)
    assert padded == max(tokens, 64)


def test_what_is_left_of_a_prompt_waits_for_its_own_step() -> None:
    """Passes of one length don't tell that a shorter one takes less."""
    time = PrefillBudget(512, PassCost(0.0001, 0.0001, 512), 0.014)
    for done in range(0, 1024, 128):
        time.prefilled(128, done, 0.024)
    time.stepped(0.014, 8, alone=True)
    time.stepped(0.014, 8, alone=True)
    time.begin(beside_rows=True)
    assert Units(64).chunk_tokens(time, 3840, 159) == 128
    time.prefilled(128, 3840, 0.024)
    assert Units(64).chunk_tokens(time, 3968, 31) == 0


def test_lengths_of_passes_that_are_shared() -> None:
    """Planned ones where lengths are planned, at multiples of themselves."""
    assert [FreeLengths().shared_tokens(n, 7) for n in (1, 33)] == [1, 33]
    assert [Units(64).shared_tokens(n, 0) for n in (1, 64, 65, 129)] == [64, 64, 128, 256]
    assert [Units(64).shared_tokens(65, done) for done in (64, 128)] == [0, 128]
    assert [Units(64).shared_rows(n) for n in (0, 1, 2, 3, 7, 8)] == [0, 1, 2, 2, 4, 8]
    assert FreeLengths().shared_rows(7) == 7
    never: list[ChunkPolicy] = [FixedBorders(), WholePrompts(FreeLengths())]
    for policy in never:
        assert policy.shared_tokens(10, 0) == policy.shared_rows(4) == 0
