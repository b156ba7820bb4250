"""Sampling operations against plain arithmetic."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_cases import DTYPES, ISAS, LAYOUTS, exact, native, normal, strided, using


def allowed(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float, min_p: float
) -> np.ndarray:
    """Which tokens may be drawn, by sorting."""
    scaled = logits / temperature
    order = np.argsort(-scaled, kind="stable")
    keep = np.ones(len(scaled), dtype=bool)
    if 0 < top_k < len(scaled):
        keep &= scaled >= scaled[order[top_k - 1]]
    if top_p < 1:
        weights = np.where(keep, np.exp(scaled - scaled.max()), 0)[order]
        above = np.cumsum(weights) - weights
        needed = order[above < top_p * weights.sum()]
        keep &= scaled >= (scaled[needed].min() if len(needed) else scaled.max())
    if min_p > 0:
        keep &= scaled >= scaled.max() + math.log(min_p)
    return keep


def drawn(logits: np.ndarray, keep: np.ndarray, temperature: float, uniform: float) -> set[int]:
    """The token, or the two between which rounding may decide."""
    weights = np.where(keep, np.exp((logits - logits[keep].max()) / temperature), 0)
    cumulative = np.cumsum(weights) / weights.sum()
    places = {int((cumulative <= uniform + shift).sum()) for shift in (-1e-6, 0, 1e-6)}
    last = int(np.flatnonzero(weights)[-1])
    return {min(place, last) for place in places}


def sample(logits: mx.array, **options: Any) -> list[int]:
    draws = [native.Draw(**options)] * logits.shape[0]
    return native.sample(logits, draws).tolist()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("count", [1, 2, 17, 1000, 5000])
def test_draws(isa: str, count: int) -> None:
    with using(isa):
        generator = np.random.default_rng(count)
        logits = normal(count, 1, count, scale=3)
        numbers = exact(logits)[0]
        for _ in range(60):
            options = {
                "temperature": float(generator.choice([0.1, 0.7, 1.0, 3.0])),
                "top_k": int(generator.choice([0, 1, 5, 40, 10_000])),
                "top_p": float(generator.choice([1.0, 0.99, 0.9, 0.5, 1e-6])),
                "min_p": float(generator.choice([0.0, 0.05, 0.5, 1.0])),
            }
            uniform = float(generator.random())
            keep = allowed(numbers, **options)
            token = sample(logits, uniform=uniform, **options)[0]
            assert token in drawn(numbers, keep, options["temperature"], uniform), options


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40),
    st.sampled_from([0.2, 1.0, 2.0]),
    st.integers(0, 41),
    st.sampled_from([1.0, 0.999, 0.9, 0.3, 0.0]),
    st.sampled_from([0.0, 0.01, 0.9]),
    st.floats(0, 1, exclude_max=True, width=32),
)
def test_nothing_that_is_not_allowed_is_drawn(
    values: list[float], temperature: float, top_k: int, top_p: float, min_p: float, uniform: float
) -> None:
    token = sample(
        mx.array([values]),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        uniform=uniform,
    )[0]
    numbers = np.array(values, dtype=np.float32).astype(np.float64)
    # Rounding may decide about a token at a limit, so the limits are a little wider.
    wide = allowed(numbers, temperature, top_k, min(1.0, top_p + 1e-5), min_p * 0.9999)
    near = numbers >= numbers[wide].min() - 1e-4
    assert near[token]


@pytest.mark.parametrize("isa", ISAS)
def test_frequencies(isa: str) -> None:
    with using(isa):
        numbers = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
        wanted = np.exp(numbers) / np.exp(numbers).sum()
        uniform = (np.arange(4000) + 0.5) / 4000
        draws = [native.Draw(uniform=float(u)) for u in uniform]
        tokens = native.sample(mx.array([numbers.tolist()] * 4000), draws)
        counts = np.bincount(np.array(tokens), minlength=6) / 4000
        assert np.abs(counts - wanted).max() < 1e-3


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_greedy(isa: str, dtype: mx.Dtype, layout: str) -> None:
    with using(isa):
        logits = strided(normal(1, 5, 999, dtype=dtype), layout)
        assert sample(logits, temperature=0.0) == np.argmax(exact(logits), axis=-1).tolist()


def test_of_equal_logits_the_first() -> None:
    assert sample(mx.array([[0.0, 2.0, 2.0, 1.0]]), temperature=0.0) == [1]


def test_rows_have_their_own_parameters() -> None:
    logits = mx.array([[0.0, 3.0, 1.0]] * 4)
    draws = [
        native.Draw(temperature=0.0),
        native.Draw(uniform=0.0),
        native.Draw(uniform=0.999),
        native.Draw(uniform=0.999, top_k=1),
    ]
    assert native.sample(logits, draws).tolist() == [1, 0, 2, 1]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-23])
@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 2}, {"temperature": 0.0}])
def test_logits_that_are_no_numbers(isa: str, uniform: float, options: dict[str, Any]) -> None:
    with using(isa):
        forbidden = mx.array([[-math.inf, 1.0, -math.inf, 2.0, -math.inf, math.nan]])
        assert sample(forbidden, uniform=uniform, **options)[0] in (1, 3)
        assert sample(mx.array([[1.0, math.inf, 2.0]]), uniform=uniform, **options) == [1]
        for hopeless in (-math.inf, math.nan):
            token = sample(mx.full((1, 5), hopeless), uniform=uniform, **options)[0]
            assert 0 <= token < 5


@pytest.mark.parametrize("temperature", [1e-38, 1e-6, 1e6, 3e38])
def test_extreme_temperatures(temperature: float) -> None:
    token = sample(mx.array([[1.0, 2.0, 3.0]]), temperature=temperature, uniform=0.1)[0]
    assert token == (2 if temperature < 1 else 0)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_log_softmax(isa: str, dtype: mx.Dtype, layout: str) -> None:
    with using(isa):
        for count in (1, 5, 16, 33, 5000):
            logits = strided(normal(1, 3, count, dtype=dtype, scale=8), layout)
            numbers = exact(logits)
            largest = numbers.max(axis=-1, keepdims=True)
            wanted = numbers - largest - np.log(np.exp(numbers - largest).sum(-1, keepdims=True))
            result = native.log_softmax(logits)
            assert result.dtype == mx.float32
            assert np.abs(exact(result) - wanted).max() < 1e-5


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_top_logprobs(isa: str, top: int) -> None:
    with using(isa):
        logits = normal(1, 3, 500, scale=4)
        chosen = mx.array([4, 499, 0], dtype=mx.uint32)
        sampled, tokens, values = native.top_logprobs(logits, chosen, top)
        wanted = exact(native.log_softmax(logits))
        order = np.argsort(-wanted, axis=-1, kind="stable")[:, :top]
        assert np.array(tokens).tolist() == order.tolist()
        assert np.allclose(exact(values), np.take_along_axis(wanted, order, -1), atol=1e-6)
        assert np.allclose(exact(sampled), wanted[[0, 1, 2], [4, 499, 0]], atol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_no_top_logprobs_write_nothing(isa: str) -> None:
    """Before an empty array stands its size, which MLX counts when it is given back."""
    with using(isa):
        logits = normal(1, 3, 500, scale=4)
        chosen = mx.array([4, 499, 0], dtype=mx.uint32)
        mx.eval(logits, chosen)
        before = mx.get_active_memory()
        results = native.top_logprobs(logits, chosen, 0)
        mx.eval(*results)
        del results
        mx.synchronize()
        assert mx.get_active_memory() == before


def test_what_does_not_fit_is_refused() -> None:
    logits = mx.zeros((2, 5))
    with pytest.raises(ValueError, match="one draw"):
        native.sample(logits, [native.Draw()])
    with pytest.raises(ValueError, match="vocabulary"):
        native.sample(logits[0], [native.Draw()] * 5)
    with pytest.raises(ValueError, match="top"):
        native.top_logprobs(logits, mx.array([0, 0]), 6)
    with pytest.raises(ValueError, match="token"):
        native.top_logprobs(logits, mx.array([0]), 1)
    assert native.sample(mx.zeros((0, 5)), []).tolist() == []
