"""Rows out of one pass: each has what it has alone, and together they are what mlx-lm merges."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache, KVCache, QuantizedKVCache, RotatingKVCache
from mlx_serving.mlx.joining import extend, merged
from mlx_serving.mlx.shared_cache import SharedCache, can_share, stacked

HEADS, WIDTH, LAYERS = 2, 4, 2


def filled(rows: int, tokens: int, seed: int = 0) -> list[Any]:
    cache = [KVCache() for _ in range(LAYERS)]
    for i, layer in enumerate(cache):
        keys = mx.random.normal((rows, HEADS, tokens, WIDTH), key=mx.random.key(seed + i))
        layer.update_and_fetch(keys, keys + 1)
    return cache


def own(layer: Any, place: int, tokens: int) -> KVCache:
    """What mlx-lm's cache of one row has after the same."""
    cache = KVCache()
    cache.update_and_fetch(
        layer.keys[place : place + 1, :, :tokens], layer.values[place : place + 1, :, :tokens]
    )
    return cache


def rows_of(layer: Any) -> list[tuple[Any, Any, int]]:
    """Each row's own keys, values and position."""
    keys, values = layer.keys_and_values()
    return [
        (keys[i, :, padding:].tolist(), values[i, :, padding:].tolist(), offset)
        for i, (padding, offset) in enumerate(
            zip(layer.left_padding.tolist(), layer.offset.tolist(), strict=True)
        )
    ]


LENGTHS = [7, 3, 9, 1]


@pytest.mark.parametrize("tokens", [9, 255, 256, 300])
@pytest.mark.parametrize("places", [[0, 1, 2, 3], [1, 3], [2], [3, 0]])
def test_together_they_are_what_mlx_lm_merges(tokens: int, places: list[int]) -> None:
    lengths = [*LENGTHS[:2], tokens, LENGTHS[3]]
    cache = filled(len(lengths), tokens)
    parts = SharedCache(cache, lengths).parts()
    together = merged([parts[place] for place in places])
    for mine, layer in zip(together, cache, strict=True):
        theirs = BatchKVCache.merge([own(layer, place, lengths[place]) for place in places])
        assert type(mine) is BatchKVCache and mine._idx == theirs._idx
        assert rows_of(mine) == rows_of(theirs)
        one = mx.ones((len(places), HEADS, 1, WIDTH))
        mine.update_and_fetch(one, one)
        theirs.update_and_fetch(one, one)
        assert rows_of(mine) == rows_of(theirs)
        assert mx.array_equal(mine.make_mask(1), theirs.make_mask(1))


def test_they_join_others_in_the_given_order() -> None:
    shared, other = filled(4, 9), filled(2, 4, seed=50)
    parts, others = SharedCache(shared, LENGTHS).parts(), SharedCache(other, [4, 2]).parts()
    alone = filled(1, 5, seed=90)
    mixed = merged([alone, parts[2], parts[0], others[1], alone, parts[1]])
    for i, layer in enumerate(mixed):
        theirs = BatchKVCache.merge(
            [
                alone[i],
                own(shared[i], 2, 9),
                own(shared[i], 0, 7),
                own(other[i], 1, 2),
                alone[i],
                own(shared[i], 1, 3),
            ]
        )
        assert rows_of(layer) == rows_of(theirs)
    running = merged([alone, alone])
    extend(running, merged(parts[:2]))
    assert [row[2] for row in rows_of(running[0])] == [5, 5, 7, 3]


def test_a_part_is_the_rows_own_cache() -> None:
    cache = filled(4, 9)
    for place, part in enumerate(SharedCache(cache, LENGTHS).parts()):
        for layer, shared in zip(part, cache, strict=True):
            expected = own(shared, place, LENGTHS[place])
            assert layer.offset == expected.offset == LENGTHS[place]
            assert mx.array_equal(layer.keys, expected.keys[:, :, : LENGTHS[place]])
            one = mx.ones((1, HEADS, 1, WIDTH))
            ours, theirs = layer.update_and_fetch(one, one), expected.update_and_fetch(one, one)
            assert all(mx.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert mx.array_equal(cache[0].keys, filled(4, 9)[0].keys), "the others' is as it was"


def test_a_copy_of_a_part_is_no_part() -> None:
    part = SharedCache(filled(4, 9), LENGTHS).parts()[1]
    copy = deepcopy(part)
    assert type(copy) is list and copy[0] is not part[0]
    assert mx.array_equal(copy[0].state[0], part[0].state[0])


@pytest.mark.parametrize("tokens", [0, 3])
def test_stacked_rows_begin_at_the_same_place(tokens: int) -> None:
    caches = [filled(1, 3 + i, seed=i) for i in range(3)]
    one = stacked(caches, tokens)
    assert [layer.offset for layer in one] == [tokens] * LAYERS
    new = mx.zeros((3, HEADS, 2, WIDTH))
    keys, _ = one[1].update_and_fetch(new, new)
    assert keys.shape == (3, HEADS, tokens + 2, WIDTH)
    for i, cache in enumerate(caches):
        assert mx.array_equal(keys[i, :, :tokens], cache[1].keys[0, :, :tokens])
        assert cache[1].offset == 3 + i


def test_only_plain_caches_are_shared() -> None:
    assert can_share([KVCache(), KVCache()])
    assert not can_share([])
    assert not can_share([KVCache(), RotatingKVCache(max_size=8)])
    assert not can_share([QuantizedKVCache()])
