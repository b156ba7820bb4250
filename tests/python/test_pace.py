"""How prefill shares a step, and what memory there is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.memory import kv_cost, machine_bytes, split_budget
from mlx_serving.pace import BORDER_TOKENS, CHUNK_TOKENS_MIN, SECONDS_MAX, Pace, allowance_ms


def pace(deterministic: bool = False, speed: float = 1000.0) -> Pace:
    return Pace(512, deterministic, speed, 0.05)


@given(st.integers(0, 5000), st.integers(1, 5000), st.floats(0, 2), st.floats(1, 1e6))
def test_chunks_have_bounds(done: int, left: int, seconds: float, speed: float) -> None:
    chunk = pace(speed=speed).chunk_tokens(done, left, seconds)
    assert 1 <= chunk <= min(left, 512)
    if chunk < left and chunk > CHUNK_TOKENS_MIN:
        assert chunk <= speed * seconds


@given(st.integers(0, 5000), st.integers(1, 5000), st.floats(0, 2), st.floats(1, 1e6))
def test_fixed_borders(done: int, left: int, seconds: float, speed: float) -> None:
    chunk = pace(True, speed).chunk_tokens(done, left, seconds)
    assert chunk == left or (done + chunk) % BORDER_TOKENS == 0
    assert chunk <= BORDER_TOKENS


def test_decoding_rows_bound_the_time() -> None:
    assert pace().prefill_seconds(decoding=False) == SECONDS_MAX
    assert pace().prefill_seconds(decoding=True) == 0.1


def test_measurements_count() -> None:
    measured = pace()
    for _ in range(20):
        measured.prefilled(100, 1.0)
        measured.stepped(0.2)
    assert 99 < measured.prefill_tokens_per_second < 101
    assert 0.19 < measured.step_seconds < 0.21
    measured.prefilled(1, 10.0)
    assert measured.prefill_tokens_per_second > 99


def test_only_what_takes_long_is_announced() -> None:
    assert allowance_ms(0.5) == 0
    assert allowance_ms(10) > 10_000


class Layer:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Array:
    def __init__(self, *shape: int) -> None:
        self.shape, self.ndim, self.nbytes = shape, len(shape), 4
        for length in shape:
            self.nbytes *= length


def test_cost_of_a_request() -> None:
    full = Layer(keys=Array(1, 2, 256, 8), values=Array(1, 2, 256, 8), nbytes=1)
    window = Layer(keys=Array(1, 2, 4, 8), values=Array(1, 2, 4, 8), max_size=32, nbytes=1)
    state = Layer(nbytes=1000)
    cost = kv_cost([full, Layer(caches=(window, state))], 4)
    assert cost.bytes_per_token == 2 * 2 * 8 * 4
    assert cost.bytes_fixed == 32 * 2 * 2 * 8 * 4 + 1000


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_everything_stays_within_the_budget(budget: int, weights: int, prefix: int) -> None:
    running, cached = split_budget(budget, weights, prefix)
    assert running >= cached >= 0 and cached <= prefix
    assert running + cached == max(0, budget - weights)


def test_machine_bytes() -> None:
    assert machine_bytes() > 1 << 28
