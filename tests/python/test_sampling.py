"""Draws against plain arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx_serving.messages import Sampling
from mlx_serving.sampling import RowSampling, Sampler, StockSampler, draw, uniform

LOGITS = [2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -3.0]
COUNT = len(LOGITS)


def row(prompt: list[int] | None = None, generated: list[int] | None = None, **options: Any):
    return RowSampling(Sampling(**options), prompt or [], generated or [], COUNT)


def fast_sampler() -> Sampler:
    pytest.importorskip("krserve_mlx_ops", reason="krserve_mlx_ops is not built")
    from mlx_serving.fast.sampling import FastSampler

    return FastSampler()


class Case:
    """The sampler under test; set for each test anew."""

    sampler: Sampler = StockSampler()


@pytest.fixture(autouse=True, params=[StockSampler, fast_sampler], ids=["stock", "fast"])
def every_sampler(request: pytest.FixtureRequest) -> None:
    Case.sampler = request.param()


def drawn(rows: list[RowSampling], positions: list[int]) -> list[int]:
    tokens, _ = draw(mx.array([LOGITS] * len(rows)), rows, positions, Case.sampler)
    return tokens.tolist()  # type: ignore[return-value]


def frequencies(draws: int = 4000, **options: Any) -> list[float]:
    rows = [row(temperature=options.pop("temperature", 1.0), seed=7, **options)] * draws
    counts = Counter(drawn(rows, list(range(draws))))
    return [counts[i] / draws for i in range(COUNT)]


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    weights = [math.exp(logit / temperature) for logit in logits]
    return [weight / sum(weights) for weight in weights]


# The sampler of the fixture plays no part in it.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**20))
def test_uniform_is_in_range_and_exact_in_float32(seed: int, position: int) -> None:
    number = uniform(seed, position)
    assert 0 <= number < 1
    assert float(mx.array(number).item()) == number


def test_uniform_numbers_are_spread() -> None:
    for numbers in (
        [uniform(1, i) for i in range(10_000)],
        [uniform(i, 0) for i in range(10_000)],
    ):
        tenths = Counter(int(number * 10) for number in numbers)
        assert all(800 < tenths[i] < 1200 for i in range(10))


def test_draws_follow_the_distribution() -> None:
    for temperature in (0.5, 1.0, 2.0):
        expected = softmax(LOGITS, temperature)
        for share, probability in zip(frequencies(temperature=temperature), expected, strict=True):
            assert abs(share - probability) < 0.03


def test_temperature_zero_is_greedy() -> None:
    assert drawn([row(), row(seed=3)], [0, 1]) == [0, 0]


def test_top_k() -> None:
    shares = frequencies(top_k=3)
    assert all(shares[:3]) and sum(shares[3:]) == 0
    assert sum(frequencies(top_k=1)[1:]) == 0
    assert frequencies(top_k=1000) == frequencies()


def test_top_p() -> None:
    probabilities = softmax(LOGITS)
    mass = probabilities[0] + probabilities[1] / 2
    assert sum(frequencies(top_p=mass)[2:]) == 0
    assert frequencies(top_p=mass)[1] > 0
    assert sum(frequencies(top_p=probabilities[0] / 2)[1:]) == 0
    assert sum(frequencies(top_p=0.0)[1:]) == 0


def test_min_p() -> None:
    shares = frequencies(min_p=math.exp(-1.6))
    assert all(shares[:3]) and sum(shares[3:]) == 0


def test_top_p_counts_what_top_k_left() -> None:
    assert sum(frequencies(top_k=2, top_p=0.5)[1:]) == 0


def test_rows_do_not_depend_on_each_other() -> None:
    rows = [
        row(temperature=1.0, seed=1),
        row(),
        row(temperature=0.7, seed=2, top_p=0.9),
        row(temperature=1.3, seed=3, top_k=4),
        row(temperature=1.0, seed=4, min_p=0.1),
        row([0], [0, 1], presence_penalty=2.0, temperature=0.9, seed=5),
    ]
    together = drawn(rows, [5] * len(rows))
    assert together == [drawn([one], [5])[0] for one in rows]


def adjusted(one: RowSampling) -> list[float]:
    return one.adjust(mx.array([LOGITS])).tolist()[0]  # type: ignore[index, return-value]


def test_penalties_count_generated_tokens_only() -> None:
    one = row([3], [0, 0, 1], presence_penalty=0.5, frequency_penalty=0.25)
    assert adjusted(one) == [2.0 - 1.0, 1.0 - 0.75, *LOGITS[2:]]


def test_the_repetition_penalty_counts_the_prompt_too() -> None:
    one = row([7], [0, 5], repetition_penalty=2.0)
    assert adjusted(one) == [1.0, 1.0, 0.5, 0.0, -0.5, -2.0, -2.0, -6.0]


def test_observed_tokens_count_like_generated_ones() -> None:
    options = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "repetition_penalty": 1.5}
    one = row([2], [], **options)
    for token in (4, 4, 0):
        one.observe(mx.array([token]))
    assert adjusted(one) == adjusted(row([2], [4, 4, 0], **options))


def test_logit_bias_adds_up() -> None:
    one = row(logit_bias=((7, 10.0), (0, -1.0), (7, 1.0)))
    assert adjusted(one) == [1.0, *LOGITS[1:7], 8.0]
    assert drawn([one], [0]) == [7]


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_logprobs(count: int) -> None:
    rows = [row(logprobs=count, logit_bias=((4, 50.0),)), row()]
    tokens, lazy = draw(mx.array([LOGITS] * 2), rows, [0, 0], Case.sampler)
    assert tokens.tolist() == [4, 0] and lazy[1] is None
    assert lazy[0] is not None
    logprobs = lazy[0].read()
    expected = [math.log(probability) for probability in softmax(LOGITS)]
    assert logprobs.logprob == pytest.approx(expected[4], abs=1e-5)
    assert [token for token, _ in logprobs.top] == list(range(min(count, COUNT)))
    for token, value in logprobs.top:
        assert value == pytest.approx(expected[token], abs=1e-5)
