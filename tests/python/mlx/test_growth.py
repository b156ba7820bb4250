"""Caches of the pinned mlx-lm get the memory that they are told, and hold the same as without."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache, KVCache, RotatingKVCache
from mlx_serving.kv.quantized import KvQuantization, QuantizedCache
from mlx_serving.mlx import growth
from mlx_serving.mlx.joining import extend
from mlx_serving.mlx.kv_blocks import layer_arrays
from mlx_serving.mlx.kv_room import ROOM_TOKENS_MIN, room_tokens


def fed(layer: Any, tokens: int, rows: int = 1) -> None:
    seen = mx.arange(tokens, dtype=mx.float32)[None, None, :, None]
    keys = mx.broadcast_to(seen + growth.length_of(layer), (rows, 2, tokens, 4))
    layer.update_and_fetch(keys, keys + 1)


def tokens_of(layer: Any) -> list[float]:
    keys = layer.keys_and_values()[0]
    return [float(token) for token in keys[0, 0, :, 0].tolist()]


@pytest.mark.parametrize("chunks", [[70], [30, 40], [1, 9, 60]])
def test_a_prompt_gets_its_room_at_once(chunks: list[int]) -> None:
    cache = [KVCache(), KVCache()]
    growth.reserve(cache, 70)
    for tokens in chunks:
        for layer in cache:
            fed(layer, tokens)
        assert [layer.keys.shape[2] for layer in cache] == [70, 70]
    assert tokens_of(cache[0]) == list(range(70)) and growth.is_full(cache)


@pytest.mark.parametrize("new", [KVCache, lambda: BatchKVCache([0, 0])], ids=["alone", "batch"])
def test_a_full_cache_grows_as_it_is_told(new: Any) -> None:
    cache = [new()]
    growth.reserve(cache, 60)
    rows = 2 if isinstance(cache[0], BatchKVCache) else 1
    fed(cache[0], 60, rows)
    for needed, size in [(1000, 60 + ROOM_TOKENS_MIN), (5, 60 + ROOM_TOKENS_MIN + 5)]:
        while not growth.is_full(cache):
            fed(cache[0], 1, rows)
        growth.make_room(cache, needed)
        fed(cache[0], 1, rows)
        assert cache[0].keys.shape[2] == size
    assert tokens_of(cache[0]) == list(range(growth.length_of(cache[0])))


def test_room_for_longer_rows_goes_with_them() -> None:
    cache = [BatchKVCache([0, 7_000])]
    growth.reserve(cache, 7_100)
    fed(cache[0], 7_001, 2)
    cache[0].filter([1])
    assert growth.length_of(cache[0]) == 1 and cache[0].keys.shape[2] == 100
    growth.cut_room(cache)
    assert cache[0].keys.shape[2] == cache[0].values.shape[2] == 1 + ROOM_TOKENS_MIN
    assert tokens_of(cache[0]) == [7_000]


@pytest.mark.parametrize("rows", [1, 2])
def test_quantized_caches_get_what_they_are_told_too(rows: int) -> None:
    quantization = KvQuantization(8, 64)
    single = QuantizedCache(quantization)
    cache = [single if rows == 1 else QuantizedCache.merge([single] * rows)]
    growth.reserve(cache, 60)

    def feed(tokens: int) -> None:
        keys = mx.random.normal((rows, 2, tokens, 64))
        cache[0].update_and_fetch(keys, keys)

    def rooms() -> set[int]:
        return {array.shape[2] for array in layer_arrays(cache[0])}

    feed(60)
    assert rooms() == {60} and growth.is_full(cache)
    for needed, size in [(1000, 60 + ROOM_TOKENS_MIN), (5, 60 + ROOM_TOKENS_MIN + 5)]:
        while not growth.is_full(cache):
            feed(1)
        growth.make_room(cache, needed)
        feed(1)
        assert rooms() == {size}
    if rows == 2:
        other = QuantizedCache.merge([QuantizedCache(quantization)])
        extend(cache, [other], room_tokens=7_000)
        assert rooms() == {cache[0].used + 7_000}
        growth.cut_room(cache)
        assert rooms() == {cache[0].used + room_tokens(cache[0].used)}


def test_other_kinds_and_empty_ones_are_left_alone() -> None:
    cache: list[Any] = [RotatingKVCache(max_size=8)]
    growth.reserve(cache, 3)
    growth.make_room(cache, 3)
    assert cache[0].step == RotatingKVCache.step and not growth.is_full(cache)
    assert growth.is_full([KVCache()])
