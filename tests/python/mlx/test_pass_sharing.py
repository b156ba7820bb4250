"""How many prompts share a pass: within the time and the longest chunk, and not for padding's
sake."""

from __future__ import annotations

import pytest
from mlx_serving.mlx.chunk_policy import ChunkPolicy, FixedBorders, FreeLengths, Units, WholePrompts
from mlx_serving.mlx.pass_sharing import SHORT_TOKENS_MAX, ShortPrompt, shared_lengths
from mlx_serving.mlx.prefill_budget import PrefillBudget

from toy import KnownCost

MS = 1e-3


def budget(
    fixed: float = 12 * MS,
    token: float = 0.05 * MS,
    *,
    tokens_max: int = 512,
    step: float = 10 * MS,
    beside_rows: bool = False,
    queues_chunks: bool = False,
) -> PrefillBudget:
    made = PrefillBudget(tokens_max, KnownCost(fixed, token), step, queues_chunks)
    if beside_rows:
        made.stepped(step, 4, alone=True)
    made.begin(beside_rows)
    return made


def shared(
    lengths: list[int],
    made: PrefillBudget | None = None,
    policy: ChunkPolicy | None = None,
    depth: int = 0,
    repeated: int = 0,
) -> tuple[int, int] | None:
    prompts = [ShortPrompt(length, repeated if i else 0) for i, length in enumerate(lengths)]
    found = shared_lengths(policy or FreeLengths(), made or budget(), depth, prompts)
    return found and (found.rows, found.tokens)


def test_as_many_as_a_chunk_may_be_long() -> None:
    assert shared([32] * 64) == (16, 32)
    assert shared([32] * 64, budget(tokens_max=2048)) == (64, 32)
    assert shared([31, 40, 12]) == (3, 40)


@pytest.mark.parametrize("lengths", [[32], [32, SHORT_TOKENS_MAX + 1], [300, 32], [0, 32], []])
def test_a_single_short_one_shares_nothing(lengths: list[int]) -> None:
    assert shared(lengths) is None


def test_those_after_a_long_one_wait_for_their_own_pass() -> None:
    assert shared([20, 20, 400, 20, 20]) == (2, 20)


def test_padding_costs_no_more_than_the_passes_that_it_saves() -> None:
    cheap = budget(1 * MS, 0.1 * MS)
    assert shared([30, 40], cheap) == (2, 40)
    assert shared([30, 41], cheap) is None
    assert shared([40, 30, 30, 30], cheap) == (4, 40)
    assert shared([40, 30, 30, 29], cheap) == (3, 40)


def test_what_could_be_taken_over_counts_as_padding_does() -> None:
    cheap = budget(1 * MS, 0.1 * MS)
    assert shared([30] * 4, cheap, repeated=10) == (4, 30)
    assert shared([30] * 4, cheap, repeated=11) is None


def test_beside_rows_within_the_time_that_a_step_earns() -> None:
    one = budget(beside_rows=True, step=10 * MS)
    found = shared_lengths(FreeLengths(), one, 0, [ShortPrompt(16, 0)] * 20)
    assert found is not None and found.fits
    assert one.cost.seconds(found.computed, 0) <= one.seconds
    assert one.cost.seconds(found.computed + 16, 0) > one.seconds


def test_where_no_pass_fits_the_least_that_is_worth_one_is_to_be_earned() -> None:
    one = budget(beside_rows=True, step=2 * MS)
    found = shared_lengths(FreeLengths(), one, 0, [ShortPrompt(16, 0)] * 20)
    assert found is not None and not found.fits
    assert found.computed <= one.tokens_min(0) < found.computed + 16


def test_on_cuda_lengths_and_rows_are_planned() -> None:
    units = Units(64)
    assert shared([32] * 7, budget(tokens_max=2048), units) == (4, 64)
    assert shared([32] * 64, budget(tokens_max=2048), units) == (32, 64)
    assert shared([65, 90], budget(tokens_max=2048), units) == (2, 128)
    queued = budget(tokens_max=2048, beside_rows=True, queues_chunks=True, step=1 * MS)
    found = shared_lengths(units, queued, 0, [ShortPrompt(20, 0)] * 8)
    assert found is not None and (found.rows, found.tokens, found.fits) == (2, 64, False)


def test_on_cuda_a_chunk_begins_at_a_multiple_of_its_length() -> None:
    assert shared([32] * 4, policy=Units(64), depth=64) == (4, 64)
    assert shared([100] * 4, policy=Units(64), depth=64) is None


@pytest.mark.parametrize(
    "policy", [FixedBorders(), WholePrompts(FreeLengths()), WholePrompts(Units(64))]
)
def test_some_policies_never_share(policy: ChunkPolicy) -> None:
    assert shared([32] * 8, policy=policy) is None
