"""How the rows that decode pass through the model: together, or one after another.

Both hold the rows' caches and give one row of logits for each. `Together` is one forward pass over
caches that mlx-lm has merged (`merge`, `extend`, `filter`, `extract`); `Apart` is for models that
are not right in a batch: every row keeps the cache it was prefilled with, and has a forward pass of
its own in every step, so all of them go on at once and none waits for another's end. Knows nothing
of requests, and imports nothing of mlx-lm.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol

import mlx.core as mx

Cache = list[Any]
"""mlx-lm's cache objects of a model for one row, one a layer."""


class Rows(Protocol):
    """The caches of the rows of a batch, in its order."""

    @property
    def kv_bytes(self) -> int: ...

    def join(self, caches: Sequence[Cache]) -> None:
        """Takes in rows behind those that are there. The caches are theirs from now on."""
        ...

    def logits(self, tokens: mx.array) -> mx.array:
        """Feeds each row one token, of shape [rows]; gives what comes next, [rows, vocabulary]."""
        ...

    def extract(self, place: int) -> Cache:
        """A copy of one row's cache, as prefill makes them."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Lets go of all other rows."""
        ...


class Together:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache: Cache = []

    @property
    def kv_bytes(self) -> int:
        return sum(layer.nbytes for layer in self._cache)

    def join(self, caches: Sequence[Cache]) -> None:
        merged = [layers[0].merge(list(layers)) for layers in zip(*caches, strict=True)]
        if not self._cache:
            self._cache = merged
            return
        for mine, theirs in zip(self._cache, merged, strict=True):
            mine.extend(theirs)

    def logits(self, tokens: mx.array) -> mx.array:
        logits: mx.array = self._model(tokens[:, None], cache=self._cache)
        return logits[:, -1, :]

    def extract(self, place: int) -> Cache:
        return [layer.extract(place) for layer in self._cache]

    def keep(self, places: Sequence[int]) -> None:
        if not places:
            self._cache = []
        for layer in self._cache:
            layer.filter(list(places))


class Apart:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._caches: list[Cache] = []

    @property
    def kv_bytes(self) -> int:
        return sum(layer.nbytes for cache in self._caches for layer in cache)

    def join(self, caches: Sequence[Cache]) -> None:
        self._caches += caches

    def logits(self, tokens: mx.array) -> mx.array:
        return mx.concatenate(
            [
                self._model(tokens[i : i + 1, None], cache=cache)[:, -1, :]
                for i, cache in enumerate(self._caches)
            ]
        )

    def extract(self, place: int) -> Cache:
        return deepcopy(self._caches[place])

    def keep(self, places: Sequence[int]) -> None:
        self._caches = [self._caches[place] for place in places]
