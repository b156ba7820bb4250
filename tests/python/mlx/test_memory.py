"""What a request costs in memory, and how the budget is split."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.memory import kv_cost, machine_bytes, split_budget


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


def test_cost_of_a_quantized_cache() -> None:
    codes = [Array(1, 2, 256, 16), Array(1, 2, 256, 1), Array(1, 2, 256, 1)]
    cost = kv_cost([Layer(keys=codes, values=list(codes), nbytes=1)], 4)
    assert (cost.bytes_per_token, cost.bytes_fixed) == (2 * 2 * (16 + 1 + 1) * 4, 0)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1))
def test_everything_stays_within_the_budget(
    budget: int, weights: int, prefix: int, share: float
) -> None:
    running, cached = split_budget(budget, weights, prefix, share)
    left = max(0, budget - weights)
    assert 0 <= cached <= min(prefix, share * left) and running + cached == left


def test_the_prefix_cache_has_its_bytes_or_its_share() -> None:
    assert split_budget(1000, 200, 10**15, 0.5) == (400, 400)
    assert split_budget(1000, 200, 100, 0.9) == (700, 100)
    assert split_budget(1000, 200, 10**15, 0.0) == (800, 0)
    assert split_budget(100, 200, 10, 0.5) == (0, 0)


def test_machine_bytes() -> None:
    assert machine_bytes() > 1 << 28
