"""Blocks of keys and values: cut out of mlx-lm's caches and joined again, to the bit."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, KVCache, QuantizedKVCache, RotatingKVCache
from mlx_serving.mlx import kv_blocks
from mlx_serving.mlx.caches import Cache
from mlx_serving.mlx.joining import merged

WIDTHS = [(3, 8, 8), (1, 8, 8), (1, 8, 4), (2, 4, 6)]


def filled(tokens: int, heads: int, keys: int, values: int, seed: int = 0) -> Cache:
    mx.random.seed(seed)
    cache = [KVCache(), KVCache()]
    for layer in cache:
        layer.update_and_fetch(
            mx.random.normal((1, heads, tokens, keys)), mx.random.normal((1, heads, tokens, values))
        )
    mx.eval([layer.state for layer in cache])
    return cache


def same(one: Any, other: Any) -> bool:
    """To the bit, which makes zeros of either sign two numbers."""
    return bool(mx.array_equal(one.view(mx.uint32), other.view(mx.uint32)))


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_what_is_cut_is_joined_to_the_same(width: tuple[int, int, int]) -> None:
    cache = filled(70, *width)
    blocks = kv_blocks.cut(cache, range(0, 65, 16))
    assert len(blocks) == 4
    joined = [KVCache(), KVCache()]
    for tokens, count in ((64, 4), (49, 4), (32, 2)):
        kv_blocks.join(joined, blocks[:count], tokens, 100)
        for mine, theirs in zip(joined, cache, strict=True):
            assert mine.offset == tokens and mine.keys.shape[2] == tokens + 100
            assert same(mine.keys_and_values()[0], theirs.keys[..., :tokens, :])
            assert same(mine.keys_and_values()[1], theirs.values[..., :tokens, :])


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_blocks_stay_as_they_were_computed(width: tuple[int, int, int]) -> None:
    """Whatever is written into the cache that they are cut from, or into one that they are in."""
    cache = filled(40, *width)
    blocks = kv_blocks.cut(cache, range(8, 41, 8))
    mx.eval(kv_blocks.arrays(blocks))
    before = [array.tolist() for array in kv_blocks.arrays(blocks)]
    joined = [KVCache(), KVCache()]
    kv_blocks.join(joined, blocks, 32, 10)
    heads, keys, values = width
    for layer in [*cache, *joined]:
        layer.trim(20)
        layer.update_and_fetch(mx.ones((1, heads, 9, keys)), mx.ones((1, heads, 9, values)))
    mx.eval([layer.state for layer in [*cache, *joined]])
    assert [array.tolist() for array in kv_blocks.arrays(blocks)] == before


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_a_block_holds_its_own_memory_and_no_more(width: tuple[int, int, int]) -> None:
    cache = filled(4000, *width)
    one = kv_blocks.cut(cache, [64, 128])
    mx.eval(kv_blocks.arrays(one))
    assert one[0].size_bytes == 64 * width[0] * (width[1] + width[2]) * 4 * 2
    held = mx.get_active_memory()
    cache.clear()
    freed = held - mx.get_active_memory()
    assert freed >= 4000 * width[0] * (width[1] + width[2]) * 4 * 2


def test_a_row_is_cut_out_of_a_shared_cache() -> None:
    rows = [filled(tokens, 3, 8, 8, seed=tokens) for tokens in (20, 33)]
    shared = merged(rows)
    for place, padding in ((0, 13), (1, 0)):
        block = kv_blocks.cut(shared, [8, 16], place, padding)[0]
        for layer, (keys, values) in zip(rows[place], block.layers, strict=True):
            assert same(keys, layer.keys[..., 8:16, :]) and same(values, layer.values[..., 8:16, :])


def test_a_row_that_begins_with_blocks_writes_into_their_room() -> None:
    cache = filled(64, 2, 4, 4)
    joined = [KVCache(), KVCache()]
    kv_blocks.join(joined, kv_blocks.cut(cache, [0, 64]), 64, 300)
    size = joined[0].keys.shape[2]
    assert size == 364
    for _ in range(3):
        for layer in joined:
            layer.update_and_fetch(mx.ones((1, 2, 100, 4)), mx.ones((1, 2, 100, 4)))
    assert joined[0].offset == 364 and joined[0].keys.shape[2] == size


def test_a_layer_without_attention_stays_empty() -> None:
    """As some of nemotron-nas are."""
    cache = [*filled(20, 2, 4, 4)[:1], KVCache()]
    blocks = kv_blocks.cut(cache, [0, 8, 20])
    mx.eval(kv_blocks.arrays(blocks))
    assert blocks[0].size_bytes == 8 * 2 * (4 + 4) * 4
    joined = [KVCache(), KVCache()]
    kv_blocks.join(joined, blocks, 20, 4)
    assert joined[0].offset == 20 and joined[1].keys is None and joined[1].offset == 0


def test_what_can_be_cut() -> None:
    assert kv_blocks.can_cut([KVCache(), KVCache()])
    for other in (RotatingKVCache(8), ArraysCache(2), QuantizedKVCache()):
        assert not kv_blocks.can_cut([KVCache(), other])
    assert not kv_blocks.can_cut([])
