"""What the native operation doesn't know is left to operations of MLX; the rest is in
test_sampling.py, which tries every sampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.messages import Sampling
from mlx_serving.mlx.sampling import RowSampling, StockSampler

pytest.importorskip("krserve_mlx_ops")
from mlx_serving.mlx.fast_sampler import FastSampler, others_than_known

LOGITS = mx.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Later(Sampling):
    """With a parameter that doesn't exist yet."""

    cut: float = 0.0


class Stock(StockSampler):
    def __init__(self) -> None:
        self.rows = 0

    def tokens(
        self, logits: mx.array, rows: Sequence[RowSampling], *others: Any, **named: Any
    ) -> mx.array:
        self.rows += len(rows)
        return super().tokens(logits, rows, *others, **named)


def test_of_what_there_is_all_is_known() -> None:
    assert others_than_known(Sampling) == []
    assert others_than_known(Later) == [("cut", 0.0)]


@pytest.mark.parametrize(("cuts", "left"), [((0.0, 0.0), 0), ((0.0, 0.5), 2)])
def test_a_parameter_that_it_does_not_know_is_left_to_mlx(
    monkeypatch: pytest.MonkeyPatch, cuts: tuple[float, float], left: int
) -> None:
    sampler, stock = FastSampler(others_than_known(Later)), Stock()
    monkeypatch.setattr(sampler, "_stock", stock)
    rows = [RowSampling(Later(cut=cut), [], [], 3) for cut in cuts]
    assert sampler.tokens(LOGITS, rows, [0, 0]).tolist() == [2, 0]
    assert stock.rows == left
