"""The rows that decode together: one step and one draw for all of them.

A step is queued before the tokens of the one before are read, so the device never waits for
Python. How the rows pass through the model is `forward.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import mlx.core as mx

from .engine import RowLogprobs
from .forward import Cache, Rows
from .messages import Admission
from .sampling import LazyLogprobs, RowSampling, Sampler, arrays, draw


@dataclass(slots=True, eq=False)
class Row:
    """One request in the engine.

    `prefill` are the tokens to be computed before decoding, all but `last`; `done` of them are in
    `cache`, and `reused` of those came from the prefix cache, `cached` of them the prompt's.
    `index` is the place, in the generated text, of the token that the next step feeds: below
    `first` it is known already and only replayed.
    """

    request: Admission
    sampling: RowSampling
    prefill: list[int]
    last: int
    forced: list[int]
    cache: Cache
    done: int
    reused: int
    cached: int
    first: int
    index: int
    end: int
    observe_from: int
    generated: list[int] = field(default_factory=list)
    drawn: LazyLogprobs | None = None

    @property
    def id(self) -> int:
        return self.request.id

    @property
    def total(self) -> int:
        """Tokens that are known when the request comes."""
        return len(self.request.prompt) + len(self.request.emitted)


@dataclass(slots=True)
class Fed:
    """A token that a step has fed to the model: row, its place in the text, id."""

    row: Row
    index: int
    token: int
    logprobs: RowLogprobs | None


class Batch:
    def __init__(self, caches: Rows, sampler: Sampler) -> None:
        """`caches`: empty."""
        self._caches = caches
        self._sampler = sampler
        self.rows: list[Row] = []
        self._tokens = mx.array([], dtype=mx.uint32)

    @property
    def tokens(self) -> mx.array:
        """What the next step feeds; perhaps not computed yet."""
        return self._tokens

    @property
    def kv_bytes(self) -> int:
        return self._caches.kv_bytes

    def join(self, rows: Sequence[Row]) -> None:
        """Takes in rows whose prefill is done."""
        self._caches.join([row.cache for row in rows])
        tokens = mx.array([row.last for row in rows], dtype=mx.uint32)
        self._tokens = mx.concatenate([self._tokens, tokens])
        self.rows = [*self.rows, *rows]
        for row in rows:
            row.cache = []

    def step(self) -> list[Fed]:
        """Queues the next step, then reads the tokens that it is fed with."""
        tokens, drawn = self._tokens, [row.drawn for row in self.rows]
        for i, row in enumerate(self.rows):
            if row.index >= row.observe_from:
                row.sampling.observe(tokens[i : i + 1])
        self._draw(self._caches.logits(tokens))
        values = cast(list[int], tokens.tolist())
        fed: list[Fed] = []
        for row, token, lazy in zip(self.rows, values, drawn, strict=True):
            if row.index >= 0:
                row.generated.append(token)
            logprobs = lazy.read() if lazy is not None and row.index >= row.first else None
            fed.append(Fed(row, row.index, token, logprobs))
            row.index += 1
        return fed

    def _draw(self, logits: mx.array) -> None:
        positions = [row.index + 1 for row in self.rows]
        samplings = [row.sampling for row in self.rows]
        self._tokens, drawn = draw(logits, samplings, positions, self._sampler)
        for i, (row, position) in enumerate(zip(self.rows, positions, strict=True)):
            row.drawn = drawn[i]
            if position < len(row.forced):
                self._tokens[i] = row.forced[position]
        mx.async_eval(self._tokens, *arrays(drawn))  # type: ignore[no-untyped-call]

    def extract(self, row: Row) -> Cache:
        """A copy of one row's cache: prompt and generated tokens, all that were fed."""
        cache = self._caches.extract(self.rows.index(row))
        mx.async_eval([layer.state for layer in cache])  # type: ignore[no-untyped-call]
        return cache

    def remove(self, gone: Iterable[Row]) -> None:
        leaving = set(map(id, gone))
        keep = [i for i, row in enumerate(self.rows) if id(row) not in leaving]
        if len(keep) == len(self.rows):
            return
        self.rows = [self.rows[i] for i in keep]
        self._caches.keep(keep)
        self._tokens = self._tokens[mx.array(keep)] if keep else mx.array([], dtype=mx.uint32)
