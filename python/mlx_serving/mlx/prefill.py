"""The phase of a step that prefills: as much as the budget allows, chunk by chunk, of the prompt
whose turn it is. Before that one goes on, it takes over what others have computed of it. Short ones
that follow one another are computed together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import mlx.core as mx

from ..engine import End, Host, PrefillProgress, StepOutput, failed, is_out_of_memory
from ..log import log
from ..text.block_hashes import BLOCK_TOKENS
from . import growth
from .announcer import Announcer
from .caches import Cache, Caches
from .chunk_policy import ChunkPolicy
from .common_prefixes import CommonPrefixes
from .memory import window_tokens
from .prefill_budget import PrefillBudget
from .prefill_order import PrefillOrder
from .prefix_policy import PrefixPolicy
from .prompt_cache import MATCH_TOKENS_MIN
from .row import Row
from .shared_cache import SharedCache, stacked
from .short_prompts import SharedChunk, ShortPrompts
from .stages import Stages


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next tokens of a row's prompt; none, where all are cached. `padding`: tokens that are
    computed with them and taken off again."""

    row: Row
    tokens: int
    padding: int


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A row that gets its cache, or can go on from what is computed elsewhere: kept, or to be kept
    of a prompt that has not come to its end."""

    row: Row
    source: Row | None


@dataclass(frozen=True, slots=True)
class TakenOver:
    plan: TakeOver


@dataclass(frozen=True, slots=True)
class Computed:
    chunk: Chunk
    depth: int
    """Tokens that were in the cache before."""
    seconds: float | None
    """None: it is queued, and nobody has waited for it."""


@dataclass(frozen=True, slots=True)
class Failure:
    row: Row
    error: Exception


@dataclass(frozen=True, slots=True)
class SharedComputed:
    """`rows`: those that had as many tokens in their caches as was expected."""

    chunk: SharedChunk
    rows: list[Row]
    seconds: float | None

    @property
    def computed(self) -> int:
        return len(self.rows) * self.chunk.lengths.tokens


@dataclass(frozen=True, slots=True)
class SharedFailure:
    """Perhaps of one of the rows alone; none has got anything of it."""

    chunk: SharedChunk
    error: Exception


Plan = TakeOver | Chunk | SharedChunk
Ran = TakenOver | Computed | Failure | SharedComputed | SharedFailure


class PrefillPhase:
    def __init__(
        self,
        stages: Stages,
        caches: Caches,
        chunks: ChunkPolicy,
        budget: PrefillBudget,
        prefixes: PrefixPolicy,
        order: PrefillOrder,
        common: CommonPrefixes,
        short: ShortPrompts,
        announcer: Announcer,
        host: Host,
    ) -> None:
        self._stages = stages
        self._caches = caches
        self._chunks = chunks
        self._budget = budget
        self._prefixes = prefixes
        self._order = order
        self._common = common
        self._short = short
        self._announcer = announcer
        self._host = host
        # When the latest step had decoded, and how many rows.
        self._decoded: tuple[float, int] = (0.0, 0)

    def schedule(self) -> Iterator[Plan]:
        """One after another: what one has taken decides about the next."""
        if self._budget.queues_chunks:
            self._settle()
        stages = self._stages
        if not stages.prefilling:
            self._budget.idle()
            return
        prompts = len(stages.prefilling)
        self._budget.begin(beside_rows=bool(stages.batch.rows), prompts=prompts)
        while stages.prefilling:
            row = self._order.next(stages.prefilling)
            if row.available > row.done or not row.has_begun:
                yield TakeOver(row, self._common.best_source(row, self._others(row)))
                continue
            shared = self._short.plan(row, stages.prefilling)
            if shared is not None and shared.padding_tokens <= stages.spare_tokens([]):
                if not self._has_time(shared):
                    return
                yield shared
                continue
            tokens = self._chunks.chunk_tokens(self._budget, row.done, row.left) if row.left else 0
            if row.left and not tokens:
                return
            yield Chunk(row, tokens, self._padding(row, tokens))

    def _has_time(self, shared: SharedChunk) -> bool:
        lengths = shared.lengths
        return lengths.fits or self._budget.may_begin(lengths.computed, shared.depth)

    def run(self, plan: Plan) -> Ran:
        if isinstance(plan, SharedChunk):
            try:
                return self._compute_shared(plan)
            except Exception as error:
                return SharedFailure(plan, error)
        depth = plan.row.done
        try:
            if isinstance(plan, TakeOver):
                self._take_over(plan)
                return TakenOver(plan)
            return Computed(plan, depth, self._compute(plan))
        except Exception as error:
            return Failure(plan.row, error)

    def postprocess(self, ran: Ran, output: StepOutput) -> None:
        if isinstance(ran, TakenOver):
            return
        if isinstance(ran, SharedFailure):
            # What is wrong with one of them must not be the others' end.
            log(f"{len(ran.chunk.rows)} prompts are computed one by one: {ran.error}")
            for row in ran.chunk.rows:
                row.shares = False
            mx.clear_cache()
            return
        if isinstance(ran, SharedComputed):
            if ran.rows:
                self._spent(ran.computed, ran.chunk.depth, ran.seconds)
            for row in ran.rows:
                self._computed(row, len(row.prefill) - ran.chunk.depth)
                self._end(row, output)
            return
        if isinstance(ran, Failure):
            self._stages.prefilling.remove(ran.row)
            output.ends.append(self._failed(ran.row, ran.error))
            return
        row = ran.chunk.row
        if ran.chunk.tokens:
            self._spent(ran.chunk.tokens + ran.chunk.padding, ran.depth, ran.seconds)
            self._computed(row, ran.chunk.tokens)
        if not row.left:
            self._end(row, output)

    def _end(self, row: Row, output: StepOutput) -> None:
        """Its prompt is computed."""
        self._stages.prefilling.remove(row)
        if row.request.max_tokens == 0:
            # Nothing more is asked of it: what the next request can use is kept. Its last token is
            # left to that one, as always.
            output.prefills.append(PrefillProgress(row.id, row.total, row.total, row.cached))
            output.ends.append(End(row.id, "stop"))
        else:
            self._stages.ready.append(row)

    def _spent(self, computed: int, depth: int, seconds: float | None) -> None:
        """What a pass has cost."""
        if seconds is None:
            self._budget.queued(computed, depth)
        else:
            self._budget.prefilled(computed, depth, seconds)

    def _computed(self, row: Row, tokens: int) -> None:
        """What that means for the others."""
        self._order.computed(row, tokens, self._stages.prefilling)
        self._common.computed(row, self._others(row))
        self._host.prefilled(PrefillProgress(row.id, row.done, row.total, row.cached))

    def _others(self, row: Row) -> list[Row]:
        return [other for other in self._stages.prefilling if other is not row]

    def _take_over(self, plan: TakeOver) -> None:
        row, source = plan.row, plan.source
        expected = 0 if source is None else self._common.usable_tokens(row, source)
        if source is not None and self._caches.can_trim(source.cache):
            self._prefixes.keep_so_far(source, waits=not self._budget.queues_chunks)
        self._prefixes.take_over(row)
        if row.done < expected:
            # Too big to be kept, or of a kind that can't be cut: it computes all of it.
            row.chain = ()
        row.available = row.done

    def _settle(self) -> None:
        """Tells how long a step has taken. One in which rows come or go says nothing, since their
        caches are copied."""
        before, rows_before = self._decoded
        self._decoded = now, rows = time.monotonic(), len(self._stages.batch.rows)
        self._budget.settle(now - before if rows == rows_before else None)

    def _compute(self, chunk: Chunk) -> float | None:
        """How many seconds it took, where it was waited for."""
        row, tokens, depth = chunk.row, chunk.tokens, chunk.row.done
        if not tokens:
            return 0.0
        expected = self._budget.cost.seconds(tokens, depth)
        self._announcer.before("prefill", (1,), tokens, expected)
        start = time.monotonic()
        fed = row.prefill[depth : depth + tokens] + [row.last] * chunk.padding
        self._caches.model(mx.array([fed]), cache=row.cache)
        self._caches.trim(row.cache, chunk.padding)
        row.done += tokens
        seconds = self._wait(row.cache, start)
        self._prefixes.keep_prompt(row, seconds is not None, wanted=self._is_wanted(row))
        return seconds

    def _compute_shared(self, chunk: SharedChunk) -> SharedComputed:
        depth, tokens = chunk.depth, chunk.lengths.tokens
        for row in chunk.rows:
            if not row.has_begun:
                self._prefixes.begin_at(row, depth)
        rows = [row for row in chunk.rows if row.done == depth]
        if len(rows) < len(chunk.rows):
            # What was there is gone meanwhile: the others' turns come again.
            return SharedComputed(chunk, [], 0.0)
        expected = self._budget.cost.seconds(chunk.lengths.computed, depth)
        self._announcer.before("prefill", (len(rows),), tokens, expected)
        start = time.monotonic()
        cache = stacked([row.cache for row in rows], depth)
        growth.reserve(cache, tokens)
        own = [row.prefill[depth:] for row in rows]
        fed = [
            [*prompt, *[row.last] * (tokens - len(prompt))]
            for row, prompt in zip(rows, own, strict=True)
        ]
        self._caches.model(mx.array(fed), cache=cache)
        seconds = self._wait(cache, start)
        shared = SharedCache(cache, [len(row.prefill) for row in rows])
        for row, part in zip(rows, shared.parts(), strict=True):
            row.cache, row.done = part, len(row.prefill)
        for row in rows:
            self._prefixes.keep_prompt(row, seconds is not None, wanted=self._is_wanted(row))
        return SharedComputed(chunk, rows, seconds)

    def _is_wanted(self, row: Row) -> bool:
        """Whether its prompt is over, and must be kept before it goes on or away."""
        if row.left:
            return False
        others = self._others(row)
        return row.request.max_tokens == 0 or any(
            self._goes_on_from(row, other) for other in others
        )

    def _goes_on_from(self, row: Row, other: Row) -> bool:
        """Whether another has more in common with it: whole blocks, or a part of the last one."""
        if self._common.usable_tokens(other, row) > other.done:
            return True
        end = row.done - row.done % BLOCK_TOKENS + MATCH_TOKENS_MIN
        is_new = other.done < end <= row.done and other.request.salt == row.request.salt
        return is_new and other.prefill[:end] == row.prefill[:end]

    def _wait(self, cache: Cache, start: float) -> float | None:
        """For what is computed, unless the next step of decoding rows is to be queued meanwhile."""
        computed = [layer.state for layer in cache]
        if self._budget.queues_chunks and self._budget.beside_rows:
            mx.async_eval(computed)  # type: ignore[no-untyped-call]
            return None
        mx.eval(computed)
        return time.monotonic() - start

    def _padding(self, row: Row, tokens: int) -> int:
        """Tokens that can be taken off again: a window that they fill has lost what it pushed
        out."""
        padding = self._chunks.padding_tokens(tokens) if tokens else 0
        if not padding or not self._caches.can_trim(row.cache):
            return 0
        return padding if row.done + tokens + padding < window_tokens(row.cache) else 0

    def _failed(self, row: Row, error: Exception) -> End:
        """The row is to blame, unless memory ran out while others used it too."""
        stages = self._stages
        shared = stages.batch.rows or self._others(row) or stages.ready
        if is_out_of_memory(error) and shared:
            raise error
        mx.clear_cache()
        return failed(row.id, error)
