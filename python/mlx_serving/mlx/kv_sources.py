"""Where the prompt cache takes from what rows have computed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import mlx.core as mx

from . import kv_blocks
from .caches import Cache, KvBlock


class RowSource:
    """Implements `Source`: a row's own cache. The row writes into it next, and a copy that isn't
    made by then would have it copy everything: so they are waited for, where the row was."""

    def __init__(self, cache: Cache, waits: bool) -> None:
        self._cache = cache
        self._waits = waits

    def blocks(self, borders: Sequence[int]) -> list[KvBlock]:
        blocks = kv_blocks.cut(self._cache, borders)
        evaluate = mx.eval if self._waits else mx.async_eval
        evaluate(kv_blocks.arrays(blocks))
        return blocks

    def whole(self) -> Cache:
        return deepcopy(self._cache)
