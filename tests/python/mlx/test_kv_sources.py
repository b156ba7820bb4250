"""What is taken of a row's cache is a copy, and is there before the row goes on."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache
from mlx_serving.mlx.kv_sources import RowSource


@pytest.mark.parametrize("waits", [True, False])
def test_a_rows_cache_is_copied(waits: bool) -> None:
    layer = KVCache()
    layer.update_and_fetch(mx.ones((1, 2, 8, 4)), mx.ones((1, 2, 8, 4)))
    source = RowSource([layer], waits)
    blocks, whole = source.blocks([0, 4, 8]), source.whole()
    layer.trim(8)
    layer.update_and_fetch(mx.zeros((1, 2, 8, 4)), mx.zeros((1, 2, 8, 4)))
    assert [block.layers[0][0].sum().item() for block in blocks] == [32, 32]
    assert whole[0].keys_and_values()[1].sum().item() == 64
