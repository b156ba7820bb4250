"""The rows that decode together: one forward pass for each group of them and one draw for all.

A step is queued before the tokens of the one before are read, so the device never waits for
Python. Works on mlx-lm's models and caches through their own methods (`merge`, `extend`, `filter`,
`extract`) and imports nothing of mlx-lm. Which rows form a group, `grouping.py` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

import mlx.core as mx

from ..engine import RowLogprobs
from ..messages import Admission
from .grouping import Grouping, Lengths
from .sampling import LazyLogprobs, RowSampling, Sampler, arrays, draw

Cache = list[Any]
"""mlx-lm's cache objects of a model, one a layer."""


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

    @property
    def length(self) -> int:
        """Tokens in the cache, once the prefill is done."""
        return len(self.request.prompt) + self.index


@dataclass(slots=True)
class Fed:
    """A token that a step has fed to the model: row, its place in the text, id."""

    row: Row
    index: int
    token: int
    logprobs: RowLogprobs | None


class Held(Protocol):
    """What has a cache to give: a row, or a trial's."""

    cache: Cache

    @property
    def length(self) -> int: ...


H = TypeVar("H", bound=Held)


class Group(Generic[H]):
    """Rows that share a cache: merged from theirs, or a single row's own."""

    def __init__(self, rows: Sequence[H]) -> None:
        self.rows = list(rows)
        self._is_merged = len(rows) > 1
        self.cache = _merged([row.cache for row in rows]) if self._is_merged else rows[0].cache
        _let_go(rows)

    @property
    def lengths(self) -> Lengths:
        return Lengths(max(row.length for row in self.rows), len(self.rows))

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.cache)

    def take(self, rows: Sequence[H]) -> None:
        caches = [row.cache for row in rows]
        if self._is_merged:
            for mine, theirs in zip(self.cache, _merged(caches), strict=True):
                mine.extend(theirs)
        else:
            self.cache = _merged([self.cache, *caches])
            self._is_merged = True
        self.rows += rows
        _let_go(rows)

    def extract(self, row: H) -> Cache:
        """A copy of one row's cache: prompt and generated tokens, all that were fed."""
        if self._is_merged:
            place = self.rows.index(row)
            cache = [layer.extract(place) for layer in self.cache]
        else:
            cache = deepcopy(self.cache)
        mx.async_eval([layer.state for layer in cache])  # type: ignore[no-untyped-call]
        return cache

    def keep(self, places: Sequence[int]) -> None:
        """Leaves only the rows at these places, at least one."""
        if len(places) < len(self.rows):
            self.rows = [self.rows[i] for i in places]
            for layer in self.cache:
                layer.filter(list(places))


def _merged(caches: Sequence[Cache]) -> Cache:
    return [layer[0].merge(list(layer)) for layer in zip(*caches, strict=True)]


def _let_go(rows: Iterable[Held]) -> None:
    for row in rows:
        row.cache = []


class Batch:
    def __init__(self, model: Any, sampler: Sampler, grouping: Grouping) -> None:
        self._model = model
        self._sampler = sampler
        self._grouping = grouping
        self._groups: list[Group[Row]] = []
        self._tokens = mx.array([], dtype=mx.uint32)
        self.rows: list[Row] = []

    @property
    def tokens(self) -> mx.array:
        """What the next step feeds, in the order of `rows`; perhaps not computed yet."""
        return self._tokens

    @property
    def kv_bytes(self) -> int:
        return sum(group.nbytes for group in self._groups)

    @property
    def passes(self) -> tuple[int, ...]:
        """Rows of each forward pass of a step."""
        return tuple(len(group.rows) for group in self._groups)

    def join(self, rows: Sequence[Row]) -> None:
        """Takes in rows whose prefill is done."""
        last = mx.array([row.last for row in rows], dtype=mx.uint32)
        tokens = mx.concatenate([self._tokens, last])
        places = {id(row): place for place, row in enumerate([*self.rows, *rows])}
        for group, joining in self._placed(rows):
            if group is None:
                self._groups.append(Group(joining))
            else:
                group.take(joining)
        self.rows = [row for group in self._groups for row in group.rows]
        self._tokens = tokens[mx.array([places[id(row)] for row in self.rows])]

    def _placed(self, rows: Sequence[Row]) -> list[tuple[Group[Row] | None, list[Row]]]:
        """Which rows go into which group; each None is a new one."""
        groups: list[tuple[Group[Row] | None, list[Row]]] = [(group, []) for group in self._groups]
        lengths = [group.lengths for group in self._groups]
        for row in rows:
            place = self._grouping.place(row.length, lengths)
            if place is None:
                groups.append((None, [row]))
                lengths.append(Lengths(row.length, 1))
            else:
                groups[place][1].append(row)
                before = lengths[place]
                lengths[place] = Lengths(max(before.tokens, row.length), before.rows + 1)
        return [(group, joining) for group, joining in groups if joining]

    def step(self) -> list[Fed]:
        """Queues the next step, then reads the tokens that it is fed with."""
        tokens, drawn = self._tokens, [row.drawn for row in self.rows]
        for i, row in enumerate(self.rows):
            if row.index >= row.observe_from:
                row.sampling.observe(tokens[i : i + 1])
        self._draw(self._logits(tokens))
        values = cast(list[int], tokens.tolist())
        fed: list[Fed] = []
        for row, token, lazy in zip(self.rows, values, drawn, strict=True):
            if row.index >= 0:
                row.generated.append(token)
            logprobs = lazy.read() if lazy is not None and row.index >= row.first else None
            fed.append(Fed(row, row.index, token, logprobs))
            row.index += 1
        return fed

    def _logits(self, tokens: mx.array) -> mx.array:
        """Of all rows, [rows, vocabulary]: one forward pass a group."""
        logits: list[mx.array] = []
        start = 0
        for group in self._groups:
            end = start + len(group.rows)
            fed = tokens[start:end, None]
            logits.append(self._model(fed, cache=group.cache)[:, -1, :])
            start = end
        return logits[0] if len(logits) == 1 else mx.concatenate(logits)

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
        return next(group for group in self._groups if row in group.rows).extract(row)

    def remove(self, gone: Iterable[Row]) -> None:
        leaving = set(map(id, gone))
        keep = [i for i, row in enumerate(self.rows) if id(row) not in leaving]
        if len(keep) == len(self.rows):
            return
        for group in self._groups:
            staying = [i for i, row in enumerate(group.rows) if id(row) not in leaving]
            if staying:
                group.keep(staying)
            else:
                group.rows = []
        self._groups = [group for group in self._groups if group.rows]
        self.rows = [self.rows[i] for i in keep]
        none = mx.array([], dtype=mx.uint32)
        self._tokens = self._tokens[mx.array(keep)] if keep else none
