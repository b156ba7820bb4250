"""What the first passes of a model tell of it."""

from __future__ import annotations

import pytest
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.first_passes import (
    WARM_UP_CHUNK_TOKENS,
    WARM_UP_CHUNK_TOKENS_MIN,
    _chunk_tokens,
    first_passes,
)

from toy import VOCABULARY, model


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_models_own_figures(on_gpu: bool) -> None:
    passes = first_passes(CacheFactory(model()), on_gpu)
    assert passes.vocabulary == VOCABULARY
    assert passes.pass_seconds > 0 and passes.cost.seconds(100, 0) > 0
    # Keys and values of two layers, two heads of eight floats.
    assert passes.kv_cost.bytes_per_token == 2 * 2 * 2 * 8 * 4 and passes.kv_cost.bytes_fixed == 0


@pytest.mark.parametrize(
    ("pass_seconds", "tokens"),
    [(0.001, WARM_UP_CHUNK_TOKENS), (0.02, 15), (5.0, WARM_UP_CHUNK_TOKENS_MIN)],
)
def test_no_start_waits_for_the_measurement(pass_seconds: float, tokens: int) -> None:
    assert _chunk_tokens(pass_seconds) == tokens
