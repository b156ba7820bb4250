"""Draws against plain arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.messages import Sampling
from mlx_serving.mlx.sampling import (
    TEMPERATURE_MIN,
    RowSampling,
    Sampler,
    StockSampler,
    draw,
    uniform,
)

LOGITS = [2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -3.0]
COUNT = len(LOGITS)


# What seed and position have drawn since seeds had 32 bits.
KEPT = {
    (0, 0): 0.8833107948303223,
    (1, 0): 0.7663017511367798,
    (7, 123): 0.8022737503051758,
    (2**32 - 1, 0): 0.13134384155273438,
    (2**32 - 1, 2**20): 0.17342817783355713,
}


def row(prompt: list[int] | None = None, generated: list[int] | None = None, **options: Any):
    return RowSampling(Sampling(**options), prompt or [], generated or [], COUNT)


def drawn(sampler: Sampler, rows: list[RowSampling], positions: list[int]) -> list[int]:
    tokens, _ = draw(mx.array([LOGITS] * len(rows)), rows, positions, sampler)
    return tokens.tolist()  # type: ignore[return-value]


def frequencies(sampler: Sampler, draws: int = 4000, **options: Any) -> list[float]:
    rows = [row(temperature=options.pop("temperature", 1.0), seed=7, **options)] * draws
    counts = Counter(drawn(sampler, rows, list(range(draws))))
    return [counts[i] / draws for i in range(COUNT)]


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    weights = [math.exp(logit / temperature) for logit in logits]
    return [weight / sum(weights) for weight in weights]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**20))
def test_uniform_is_in_range_and_exact_in_float32(seed: int, position: int) -> None:
    number = uniform(seed, position)
    assert 0 <= number < 1
    assert float(mx.array(number).item()) == number


def test_a_seed_of_32_bits_draws_what_it_always_drew() -> None:
    # Responses on disk go on with these.
    assert [uniform(seed, position) for seed, position in KEPT] == list(KEPT.values())


def test_uniform_numbers_are_spread() -> None:
    for numbers in (
        [uniform(1, i) for i in range(10_000)],
        [uniform(i, 0) for i in range(10_000)],
        [uniform(i << 32, 0) for i in range(10_000)],
        [uniform(2**64 - 1 - i, 0) for i in range(10_000)],
        [uniform(2**63, i) for i in range(10_000)],
    ):
        tenths = Counter(int(number * 10) for number in numbers)
        assert all(800 < tenths[i] < 1200 for i in range(10))


def test_draws_follow_the_distribution(sampler: Sampler) -> None:
    for temperature in (0.5, 1.0, 2.0):
        expected = softmax(LOGITS, temperature)
        for share, probability in zip(
            frequencies(sampler, temperature=temperature), expected, strict=True
        ):
            assert abs(share - probability) < 0.03


def test_temperature_zero_is_greedy(sampler: Sampler) -> None:
    assert drawn(sampler, [row(), row(seed=3)], [0, 1]) == [0, 0]


def test_top_k(sampler: Sampler) -> None:
    shares = frequencies(sampler, top_k=3)
    assert all(shares[:3]) and sum(shares[3:]) == 0
    assert sum(frequencies(sampler, top_k=1)[1:]) == 0
    assert frequencies(sampler, top_k=1000) == frequencies(sampler)


def test_top_p(sampler: Sampler) -> None:
    probabilities = softmax(LOGITS)
    mass = probabilities[0] + probabilities[1] / 2
    assert sum(frequencies(sampler, top_p=mass)[2:]) == 0
    assert frequencies(sampler, top_p=mass)[1] > 0
    assert sum(frequencies(sampler, top_p=probabilities[0] / 2)[1:]) == 0
    assert sum(frequencies(sampler, top_p=0.0)[1:]) == 0


def test_min_p(sampler: Sampler) -> None:
    shares = frequencies(sampler, min_p=math.exp(-1.6))
    assert all(shares[:3]) and sum(shares[3:]) == 0


def test_top_p_counts_what_top_k_left(sampler: Sampler) -> None:
    assert sum(frequencies(sampler, top_k=2, top_p=0.5)[1:]) == 0


def test_rows_do_not_depend_on_each_other(sampler: Sampler) -> None:
    rows = [
        row(temperature=1.0, seed=1),
        row(),
        row(temperature=0.7, seed=2, top_p=0.9),
        row(temperature=1.3, seed=3, top_k=4),
        row(temperature=1.0, seed=4, min_p=0.1),
        row([0], [0, 1], presence_penalty=2.0, temperature=0.9, seed=5),
    ]
    together = drawn(sampler, rows, [5] * len(rows))
    assert together == [drawn(sampler, [one], [5])[0] for one in rows]


def test_draws_are_keyed_by_seed_and_position(sampler: Sampler) -> None:
    seeds = (0, 1, 2**32 - 1, 2**32, 2**33, 2**63 - 2, 2**63 - 1, 2**64 - 1)
    places = [(seed, position) for seed in seeds for position in range(40)]

    def draws(order: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
        rows = [row(temperature=1.0, seed=seed) for seed, _ in order]
        tokens = drawn(sampler, rows, [position for _, position in order])
        return dict(zip(order, tokens, strict=True))

    together = draws(places)
    mx.random.seed(5)
    assert draws(places[::-1]) == together
    assert {place: draws([place])[place] for place in places} == together
    # Both parts of the key count.
    by_seed = [tuple(together[seed, i] for i in range(40)) for seed in seeds]
    assert len(set(by_seed)) == len(seeds) and all(len(set(tokens)) > 1 for tokens in by_seed)


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


def test_logit_bias_adds_up(sampler: Sampler) -> None:
    one = row(logit_bias=((7, 10.0), (0, -1.0), (7, 1.0)))
    assert adjusted(one) == [1.0, *LOGITS[1:7], 8.0]
    assert drawn(sampler, [one], [0]) == [7]


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_logprobs(sampler: Sampler, count: int) -> None:
    rows = [row(logprobs=count, logit_bias=((4, 50.0),)), row()]
    tokens, lazy = draw(mx.array([LOGITS] * 2), rows, [0, 0], sampler)
    assert tokens.tolist() == [4, 0] and lazy[1] is None
    assert lazy[0] is not None
    logprobs = lazy[0].read()
    expected = [math.log(probability) for probability in softmax(LOGITS)]
    assert logprobs.logprob == pytest.approx(expected[4], abs=1e-5)
    assert [token for token, _ in logprobs.top] == list(range(min(count, COUNT)))
    for token, value in logprobs.top:
        assert value == pytest.approx(expected[token], abs=1e-5)


@pytest.mark.parametrize("temperature", [TEMPERATURE_MIN, 1e-38, 1e-45, 1e-300])
def test_the_coldest_temperatures_are_greedy(sampler: Sampler, temperature: float) -> None:
    rows = [row(temperature=temperature, seed=seed, top_p=0.9) for seed in range(3)]
    assert drawn(sampler, rows, [0] * 3) == [0] * 3
    last = row(temperature=temperature, logit_bias=((COUNT - 1, 10.0),))
    assert drawn(sampler, [last], [0]) == [COUNT - 1]


def test_any_top_k(sampler: Sampler) -> None:
    for top_k in (COUNT, COUNT + 1, 2**31, 2**32 - 1):
        assert frequencies(sampler, 100, top_k=top_k) == frequencies(sampler, 100)


def test_both_samplers_draw_the_same(sampler: Sampler) -> None:
    """But for numbers that fall between two tokens, where rounding decides."""
    mx.random.seed(1)
    logits = mx.random.normal((400, 300)) * 3
    options = [{}, {"top_p": 0.9}, {"top_k": 40}, {"min_p": 0.05}, {"top_k": 20, "top_p": 0.5}]
    rows = [
        RowSampling(
            Sampling(temperature=(i % 4) / 2, seed=i, logprobs=i % 3 - 1, **options[i % 5]),
            [],
            [],
            300,
        )
        for i in range(400)
    ]
    mine, my_logprobs = draw(logits, rows, range(400), sampler)
    theirs, their_logprobs = draw(logits, rows, range(400), StockSampler())
    assert mine.dtype == theirs.dtype == mx.uint32
    same = (mine == theirs).tolist()
    assert sum(same) >= 398
    for one, other, equal in zip(my_logprobs, their_logprobs, same, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None and equal:
            a, b = one.read(), other.read()
            assert [token for token, _ in a.top] == [token for token, _ in b.top]
            assert a.logprob == pytest.approx(b.logprob, abs=1e-5)


def mask_of(allowed: set[int], vocabulary: int) -> bytes:
    words = [0] * ((vocabulary + 31) // 32)
    for token in allowed:
        words[token // 32] |= 1 << token % 32
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.mark.parametrize("vocabulary", [31, 32, 33, 300, 4100])
def test_a_mask_is_as_if_the_others_were_impossible(sampler: Sampler, vocabulary: int) -> None:
    """Word borders, whole words and none; rows without a mask draw as without the others."""
    mx.random.seed(2)
    rows = [
        RowSampling(Sampling(temperature=i % 3 / 2, seed=i, top_p=0.9), [], [], vocabulary)
        for i in range(12)
    ]
    logits = mx.random.normal((12, vocabulary)) * 3
    some = [
        set(range(0, vocabulary, 3)),
        {vocabulary - 1},
        set(range(vocabulary)),
        set(range(min(40, vocabulary))),
    ]
    masks = [None if i % 5 == 4 else mask_of(some[i % 4], vocabulary) for i in range(12)]
    barred = [
        [
            logit if masks[i] is None or token in some[i % 4] else -math.inf
            for token, logit in enumerate(row_logits)
        ]
        for i, row_logits in enumerate(logits.tolist())
    ]
    masked, _ = draw(logits, rows, range(12), sampler, masks)
    without, _ = draw(mx.array(barred), rows, range(12), sampler)
    assert masked.tolist() == without.tolist()
    for i, token in enumerate(masked.tolist()):
        assert masks[i] is None or token in some[i % 4]


def test_log_probabilities_are_the_models_own_under_a_mask(sampler: Sampler) -> None:
    rows = [row(logprobs=2)]
    tokens, logprobs = draw(mx.array([LOGITS]), rows, [0], sampler, [mask_of({7}, COUNT)])
    assert tokens.tolist() == [7]
    assert logprobs[0] is not None
    assert logprobs[0].read().logprob == pytest.approx(math.log(softmax(LOGITS)[7]), abs=1e-5)
    assert [token for token, _ in logprobs[0].read().top] == [0, 1]


def test_a_row_may_ask_for_more_logprobs_than_its_neighbours(sampler: Sampler) -> None:
    rows = [row(logprobs=count) for count in (0, 2, -1, 20, 1)]
    _, lazy = draw(mx.array([LOGITS] * 5), rows, [0] * 5, sampler)
    found = [None if one is None else len(one.read().top) for one in lazy]
    assert found == [0, 2, None, COUNT, 1]
