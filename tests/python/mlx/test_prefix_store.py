"""Which prompt cache a model has."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache
from mlx_serving.engine import Abilities
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.prefix_store import prefix_store


class Model:
    def __init__(self, *layers: Any) -> None:
        self._layers = layers

    def make_cache(self) -> list[Any]:
        return list(self._layers)


@pytest.mark.parametrize(
    ("layers", "prefix", "in_blocks"),
    [
        ([KVCache(), KVCache()], "part", True),
        ([KVCache(), KVCache()], "whole", False),
        ([KVCache(), RotatingKVCache(32)], "part", False),
        ([ArraysCache(2), KVCache()], "whole", False),
        ([CacheList(KVCache(), KVCache())], "part", False),
        ([], "part", False),
    ],
)
def test_blocks_are_for_keys_and_values_alone(
    layers: list[Any], prefix: Any, in_blocks: bool
) -> None:
    caches = CacheFactory(Model(*layers), Abilities(prefix=prefix))
    store = prefix_store(caches, 100)
    assert store.in_blocks is in_blocks and store.figures().bytes_max == 100
