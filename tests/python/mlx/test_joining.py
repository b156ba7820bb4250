"""Rows that join a shared cache: the same rows as mlx-lm's own `extend` gives."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache, KVCache, RotatingKVCache
from mlx_serving.mlx.joining import WRITTEN_ONCE, extend, is_written_once, merged

HEADS, WIDTH = 2, 4


def row(tokens: int, new: Any = KVCache) -> Any:
    cache = new()
    mx.random.seed(tokens)
    keys = mx.random.normal((1, HEADS, tokens, WIDTH))
    cache.update_and_fetch(keys, keys + 1)
    return cache


def seen(layer: Any) -> tuple[Any, ...]:
    """All that a model sees of a cache."""
    keys, values = layer.keys_and_values()
    mask = layer.make_mask(1, return_array=True)
    return keys.tolist(), values.tolist(), layer.offset.tolist(), mask.tolist()


def hide_padding(layer: Any) -> None:
    """What is before a row's first token is never read."""
    keep = mx.arange(layer.keys.shape[2])[None] >= layer.left_padding[:, None]
    for name in ("keys", "values"):
        setattr(layer, name, mx.where(keep[:, None, :, None], getattr(layer, name), 0))


@pytest.mark.parametrize(
    ("mine", "joining"),
    [
        ([3, 5], [4]),
        ([3, 5], [9, 2]),
        ([1], [300]),
        ([300, 7], [1]),
        ([255, 2], [256]),
        ([256, 256], [256, 1]),
        ([511], [512, 513]),
    ],
)
@pytest.mark.parametrize("steps_before", [0, 1, 2])
def test_the_same_rows_as_mlx_lm_gives(
    mine: list[int], joining: list[int], steps_before: int
) -> None:
    def both() -> tuple[Any, Any]:
        cache, other = merged([[row(n)] for n in mine]), merged([[row(n)] for n in joining])
        for _ in range(steps_before):
            one = mx.ones((len(mine), HEADS, 1, WIDTH))
            cache[0].update_and_fetch(one, one)
        return cache, other

    expected, other = both()
    expected[0].extend(other[0])
    ours, other = both()
    extend(ours, other)
    for _ in range(3):
        for layer in (expected[0], ours[0]):
            hide_padding(layer)
        assert seen(ours[0]) == seen(expected[0])
        one = mx.full((len(mine) + len(joining), HEADS, 1, WIDTH), 7.0)
        for layer in (expected[0], ours[0]):
            layer.update_and_fetch(one, one)


def test_the_next_token_finds_room() -> None:
    cache = merged([[row(3)], [row(5)]])
    extend(cache, merged([[row(256)]]))
    assert cache[0].keys.shape[2] > cache[0]._idx


def test_the_pinned_mlx_lm_has_the_kind_that_is_written_once() -> None:
    assert BatchKVCache.__name__ == WRITTEN_ONCE
    assert is_written_once(merged([[row(3)]])[0])


def test_other_kinds_and_empty_ones_go_their_own_way() -> None:
    def rotating() -> Any:
        return RotatingKVCache(max_size=8)

    for pair in ([rotating, rotating], [KVCache, KVCache]):
        filled = [row(3, new) if new is rotating else new() for new in pair]
        cache, other = merged([[filled[0]]]), merged([[filled[1]]])
        assert not is_written_once(cache[0])
        extend(cache, other)
        assert cache[0].offset.shape[0] == 2
