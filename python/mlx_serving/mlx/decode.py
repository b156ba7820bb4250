"""The phase of a step that decodes: one token for every row of the batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import mlx.core as mx

from ..engine import End, PrefillProgress, StepOutput
from ..engine import Row as OutputRow
from .announcer import Announcer
from .batch import Fed
from .prefill_budget import PrefillBudget
from .prefix_policy import PrefixPolicy
from .row import Row
from .stages import Stages

# MLX keeps freed buffers for the next ones. Giving them back takes as long as a chunk, so it is
# done only where they are many, after rows have joined or so many steps, and in a step that is
# short: no row joins and no prompt shares it. Where they are this many times too many, a step in
# which rows join does it.
BOUND_STEPS: Final = 256
BUFFER_SHARE: Final = 0.1
URGENT: Final = 2.0


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """One step of the batch. `beside_prompts`: prompts are prefilled after it."""

    joining: list[Row]
    beside_prompts: bool


@dataclass(frozen=True, slots=True)
class Decoded:
    """`alone`: no prompt shares its time; `whole`: all of its time is in `seconds`, and nothing
    else; `beside_prompts`: prompts are prefilled after it; `joined`: rows joined in it."""

    fed: list[Fed]
    seconds: float
    alone: bool
    whole: bool
    beside_prompts: bool
    joined: bool


class DecodePhase:
    def __init__(
        self,
        stages: Stages,
        budget: PrefillBudget,
        prefixes: PrefixPolicy,
        announcer: Announcer,
        *,
        end_tokens: frozenset[int],
        on_gpu: bool,
        buffer_bytes_max: float,
    ) -> None:
        self._stages = stages
        self._batch = stages.batch
        self._budget = budget
        self._prefixes = prefixes
        self._announcer = announcer
        self._end_tokens = end_tokens
        self._on_gpu = on_gpu
        self._buffer_bytes_max = buffer_bytes_max
        # Until freed buffers are looked at again.
        self._steps_to_bound = BOUND_STEPS

    def schedule(self) -> Iterator[DecodePlan]:
        """One step, if there is a row for it."""
        stages = self._stages
        # Asked for while the rows that join still have their places.
        beside_prompts = stages.has_prompts
        joining: list[Row] = []
        # To join and to queue a chunk is too much for one step, where they can be told apart.
        if beside_prompts or not (self._batch.rows and self._budget.is_chunk_queued):
            joining, stages.ready = stages.ready, []
        if joining or self._batch.rows:
            yield DecodePlan(joining, beside_prompts)

    def run(self, plan: DecodePlan) -> Decoded:
        if plan.joining:
            self._batch.join(plan.joining, self._stages.spare_tokens(plan.joining))
            self._steps_to_bound = 0
            self._bound_buffers(URGENT * self._buffer_bytes_max)
        self._announcer.before("decode", self._batch.passes, 1, self._budget.step_seconds)
        start = time.monotonic()
        fed = self._batch.step()
        joined = bool(plan.joining)
        if self._on_gpu:
            # The chunks before it are computed meanwhile, and the caches of rows that join.
            alone = self._budget.is_undisturbed
            whole = alone and not joined
        else:
            alone, whole = not plan.beside_prompts, True
            if plan.beside_prompts:
                # Where Python and MLX share the processor, nothing is lost by waiting, and the
                # chunk is measured alone.
                mx.eval(self._batch.pending.tokens)
        return Decoded(
            fed,
            time.monotonic() - start,
            alone=alone,
            whole=whole,
            beside_prompts=plan.beside_prompts,
            joined=joined,
        )

    def postprocess(self, ran: Decoded, output: StepOutput) -> None:
        self._budget.stepped(ran.seconds, len(ran.fed), alone=ran.alone, whole=ran.whole)
        self._steps_to_bound -= 1
        if self._steps_to_bound < 0 and not ran.beside_prompts and not ran.joined:
            self._steps_to_bound = BOUND_STEPS
            self._bound_buffers(self._buffer_bytes_max)
        rows: list[OutputRow] = []
        finished: list[Row] = []
        for token in ran.fed:
            self._take(token, rows, finished, output)
        output.rows = rows
        for row in finished:
            self._prefixes.keep_answer(row, self._batch)
        self._batch.remove(finished)
        if not ran.beside_prompts and not ran.joined:
            self._prefixes.keep_some(self._batch)

    def _take(
        self, fed: Fed, rows: list[OutputRow], finished: list[Row], output: StepOutput
    ) -> None:
        row, index = fed.row, fed.index
        matcher = row.matcher
        if index >= row.first:
            rows.append((row.id, index, fed.token, fed.logprobs))
        if matcher is not None and matcher.error is not None:
            output.ends.append(End(row.id, "failed", "generation_error", matcher.error))
        elif index < row.first:
            done = row.total - (row.first - 1 - index)
            output.prefills.append(PrefillProgress(row.id, done, row.total, row.cached))
            return
        elif fed.token in self._end_tokens or (matcher is not None and matcher.done):
            output.ends.append(End(row.id, "stop"))
        elif index + 1 >= row.end:
            output.ends.append(End(row.id, "length"))
        else:
            return
        finished.append(row)

    def _bound_buffers(self, bytes_max: float) -> None:
        if mx.get_cache_memory() > bytes_max:
            self._steps_to_bound = BOUND_STEPS
            mx.clear_cache()
