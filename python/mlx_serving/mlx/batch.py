"""The rows that decode together: one forward pass for each group of them and one draw for all.

A step is queued before the one before is read, so the device never waits for Python: between two
steps one is pending. Where a grammar must see the token before it says what may follow, the passes
are queued, then that token is read, and the draw is queued while they run. The batch works on
mlx-lm's models and caches through their own methods (`merge`, `extend`, `filter`, `extract`) and
imports nothing of mlx-lm. `grouping.py` says which rows form a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Protocol, TypeVar, cast

import mlx.core as mx

from ..engine import RowLogprobs
from . import growth, kv_blocks
from .caches import Cache, KvBlock, size_bytes
from .grouping import Grouping, Lengths, padding_tokens
from .joining import extend, merged
from .kv_room import room_tokens
from .row import Row
from .rows_group import RowsGroup, lies_apart
from .sampling import LazyLogprobs, Masks, Sampler, arrays, draw


@dataclass(slots=True)
class Fed:
    """A token that a step has fed to the model: row, its place in the text, id."""

    row: Row
    index: int
    token: int
    logprobs: RowLogprobs | None


@dataclass(frozen=True, slots=True)
class Pending:
    """The step that is queued and not read yet: the token of each row, perhaps not computed yet,
    and its log-probabilities. The next step is fed with it."""

    tokens: mx.array
    logprobs: list[LazyLogprobs | None]

    @classmethod
    def known(cls, tokens: list[int]) -> Pending:
        """Tokens that need no step: the last ones of prompts."""
        return cls(mx.array(tokens, dtype=mx.uint32), [None] * len(tokens))

    def __add__(self, other: Pending) -> Pending:
        tokens = mx.concatenate([self.tokens, other.tokens])
        return Pending(tokens, self.logprobs + other.logprobs)

    def at(self, places: list[int]) -> Pending:
        """Of the rows at these places, in this order."""
        if not places:
            return Pending.known([])
        tokens = self.tokens[mx.array(places)]
        # On its own: as a part of the next pass they could be read only after it.
        mx.async_eval(tokens)  # type: ignore[no-untyped-call]
        return Pending(tokens, [self.logprobs[i] for i in places])

    def read(self) -> list[int]:
        """The tokens. Waits for the device."""
        return cast(list[int], self.tokens.tolist())


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
        # A part of a shared cache would hold all of it.
        self.cache = merged([row.cache for row in rows]) if self._is_merged else [*rows[0].cache]
        _let_go(rows)

    @property
    def lengths(self) -> Lengths:
        return Lengths(max(row.length for row in self.rows), len(self.rows))

    @property
    def padding_tokens(self) -> int:
        """That it holds in vain."""
        return self.lengths.tokens * self.lengths.rows - sum(row.length for row in self.rows)

    @property
    def nbytes(self) -> int:
        return size_bytes(self.cache)

    def take(self, rows: Sequence[H], needed: float = inf) -> None:
        """`needed`: no row of them all gets more tokens than that."""
        caches = [row.cache for row in rows]
        if self._is_merged:
            length = max(self.lengths.tokens, *(row.length for row in rows))
            extend(self.cache, merged(caches), room_tokens(length, needed))
        else:
            self.cache = merged([self.cache, *caches])
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

    def blocks(self, row: H, borders: Sequence[int]) -> list[KvBlock]:
        """Of one row's tokens, not computed yet. Its cache is one that can be cut."""
        if not self._is_merged:
            return kv_blocks.cut(self.cache, borders)
        place = self.rows.index(row)
        padding = self.cache[0].left_padding.tolist()[place]
        return kv_blocks.cut(self.cache, borders, place, padding)

    def keep(self, places: Sequence[int]) -> None:
        """Leaves only the rows at these places, at least one."""
        if len(places) < len(self.rows):
            self.rows = [self.rows[i] for i in places]
            for layer in self.cache:
                layer.filter(list(places))
            growth.cut_room(self.cache)


@dataclass(frozen=True, slots=True)
class GroupSource:
    """Implements `Source`: a row's place in a group. The next step is under way, and nobody waits
    for the copies."""

    group: Group[Row] | RowsGroup[Row]
    row: Row

    def blocks(self, borders: Sequence[int]) -> list[KvBlock]:
        blocks = self.group.blocks(self.row, borders)
        mx.async_eval(kv_blocks.arrays(blocks))  # type: ignore[no-untyped-call]
        return blocks

    def whole(self) -> Cache:
        return self.group.extract(self.row)


def _needed(rows: Iterable[Row]) -> int:
    """The most tokens that one of these is fed yet."""
    return max(row.end - row.index for row in rows)


def _let_go(rows: Iterable[Held]) -> None:
    for row in rows:
        row.cache = []


class Batch:
    def __init__(self, model: Any, sampler: Sampler, grouping: Grouping) -> None:
        self._model = model
        self._sampler = sampler
        self._grouping = grouping
        self._groups: list[Group[Row] | RowsGroup[Row]] = []
        self.rows: list[Row] = []
        self.pending = Pending.known([])
        """In the order of `rows`."""

    @property
    def kv_bytes(self) -> int:
        return sum(group.nbytes for group in self._groups)

    @property
    def padding_tokens(self) -> int:
        """That its groups hold in vain."""
        return sum(group.padding_tokens for group in self._groups)

    @property
    def passes(self) -> tuple[int, ...]:
        """Rows of each forward pass of a step."""
        return tuple(len(group.rows) for group in self._groups)

    def join(self, rows: Sequence[Row], spare_tokens: float = inf) -> None:
        """Takes in rows whose prefill is done. `spare_tokens`: of padding there is room for so
        much."""
        pending = self.pending + Pending.known([row.last for row in rows])
        places = {id(row): place for place, row in enumerate([*self.rows, *rows])}
        apart = [row for row in rows if self._stays_apart(row)]
        sharing = [row for row in rows if not self._stays_apart(row)]
        self._join_apart(apart)
        for group, joining in self._placed(sharing, spare_tokens):
            if group is None:
                self._groups.append(Group(joining))
            else:
                group.take(joining, _needed([*group.rows, *joining]))
        self.rows = [row for group in self._groups for row in group.rows]
        self.pending = pending.at([places[id(row)] for row in self.rows])

    def _stays_apart(self, row: Row) -> bool:
        return row.length >= self._grouping.apart_tokens or lies_apart(row.cache)

    def _join_apart(self, rows: Sequence[Row]) -> None:
        """These rows keep their arrays, and have one pass, whatever their lengths."""
        if self._grouping.alone:
            self._groups += [RowsGroup([row]) for row in rows]
            return
        group = next((one for one in self._groups if isinstance(one, RowsGroup)), None)
        if group is not None:
            group.take(rows)
        elif rows:
            self._groups.append(RowsGroup(rows))

    def _placed(
        self, rows: Sequence[Row], spare_tokens: float
    ) -> list[tuple[Group[Row] | None, list[Row]]]:
        """Which rows go into which group; each None is a new one."""
        sharing = [group for group in self._groups if isinstance(group, Group)]
        groups: list[tuple[Group[Row] | None, list[Row]]] = [(group, []) for group in sharing]
        lengths = [group.lengths for group in sharing]
        padded = self.padding_tokens
        whole = sum(row.length for group in sharing for row in group.rows)
        for row in rows:
            place = self._grouping.place(
                row.length,
                lengths,
                padded_tokens=padded,
                whole_tokens=whole,
                spare_tokens=spare_tokens,
            )
            whole += row.length
            if place is None:
                groups.append((None, [row]))
                lengths.append(Lengths(row.length, 1))
            else:
                groups[place][1].append(row)
                before = lengths[place]
                more = padding_tokens(row.length, before)
                padded, spare_tokens = padded + more, spare_tokens - more
                lengths[place] = Lengths(max(before.tokens, row.length), before.rows + 1)
        return [(group, joining) for group, joining in groups if joining]

    def step(self) -> list[Fed]:
        """Queues the next step, then reads the one that it is fed with."""
        pending = self.pending
        for i, row in enumerate(self.rows):
            if row.index >= row.observe_from:
                row.sampling.observe(pending.tokens[i : i + 1])
        logits = self._logits(pending.tokens)
        forced = self._forced(logits, pending)
        self.pending = self._drawn(logits, self._masks(logits, pending), forced)
        fed: list[Fed] = []
        for row, token, lazy in zip(self.rows, pending.read(), pending.logprobs, strict=True):
            if row.index >= 0:
                row.generated.append(token)
            if row.forcing is not None:
                row.forcing.take(row.index, token)
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
            if growth.is_full(group.cache):
                growth.make_room(group.cache, _needed(group.rows))
            logits.append(self._model(fed, cache=group.cache)[:, -1, :])
            start = end
        return logits[0] if len(logits) == 1 else mx.concatenate(logits)

    def _masks(self, logits: mx.array, pending: Pending) -> Masks | None:
        """What may follow in the rows that have a grammar, which takes the pending tokens in."""
        if all(row.matcher is None for row in self.rows):
            return None
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        masks: Masks = [None] * len(self.rows)
        for place, (row, token) in enumerate(zip(self.rows, pending.read(), strict=True)):
            matcher = row.matcher
            if matcher is None or row.index + 1 < row.first:
                continue
            if row.index >= row.first:
                matcher.accept([token])
            # After its last token nothing is drawn that anybody sees.
            if not matcher.done and row.index + 1 < row.end:
                masks[place] = matcher.mask()
        return masks

    def _forced(self, logits: mx.array, pending: Pending) -> dict[int, int]:
        """Tokens that must come next, by place. The pending ones are read only where they decide
        about it: a row that is far from it costs nothing."""
        near = [
            (place, row, row.forcing)
            for place, row in enumerate(self.rows)
            if row.forcing is not None and row.forcing.may_force and row.index + 1 >= row.first
        ]
        if not near:
            return {}
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        tokens = pending.read()
        forced: dict[int, int] = {}
        for place, row, forcing in near:
            forcing.take(row.index, tokens[place])
            if forcing.forced is not None:
                forced[place] = forcing.forced
        return forced

    def _drawn(self, logits: mx.array, masks: Masks | None, forced: Mapping[int, int]) -> Pending:
        positions = [row.index + 1 for row in self.rows]
        samplings = [row.sampling for row in self.rows]
        tokens, logprobs = draw(logits, samplings, positions, self._sampler, masks)
        for i, (row, position) in enumerate(zip(self.rows, positions, strict=True)):
            if position < len(row.forced):
                tokens[i] = row.forced[position]
            elif i in forced:
                tokens[i] = forced[i]
        mx.async_eval(tokens, *arrays(logprobs))  # type: ignore[no-untyped-call]
        return Pending(tokens, logprobs)

    def source(self, row: Row) -> GroupSource:
        """Of prompt and generated tokens, all that were fed."""
        return GroupSource(next(group for group in self._groups if row in group.rows), row)

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
        self.pending = self.pending.at(keep)
