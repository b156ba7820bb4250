"""The engine's steps. A step decodes all rows once, gives places to waiting requests, prefills as
much as the budget allows, and reads for those who want nothing but a reading. Each of the four is a
phase: it schedules a plan, runs it, and postprocesses what the run gave.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import mlx.core as mx

from ..engine import Capabilities, EngineFigures, Forcing, Host, StepOutput
from ..grammar.matcher import Matcher
from ..messages import Admission
from .admission import AdmissionPhase
from .announcer import Announcer
from .batch import Batch
from .caches import Caches
from .chunk_policy import ChunkPolicy
from .common_prefixes import CommonPrefixes
from .decode import BUFFER_SHARE, DecodePhase
from .grouping import Grouping
from .kv_room import KvRoom
from .prefill import PrefillPhase
from .prefill_budget import PREFILL_SHARE, PrefillBudget
from .prefill_order import PrefillOrder
from .prefix_disk import PrefixDisk
from .prefix_policy import PrefixPolicy
from .prompt_cache import PromptCache
from .reading import BESIDE_TOKENS_MIN, PASS_TOKENS, ReadingPhase, States
from .sampling import Sampler
from .shared_cache import can_share
from .short_prompts import ShortPrompts
from .stages import Stages

Plan = TypeVar("Plan")
Ran = TypeVar("Ran")


class Phase(Protocol[Plan, Ran]):
    def schedule(self) -> Iterator[Plan]:
        """What this step is to do. The next plan is asked for when the one before is done."""
        ...

    def run(self, plan: Plan) -> Ran:
        """Computes. Changes nothing but what is computed."""
        ...

    def postprocess(self, ran: Ran, output: StepOutput) -> None:
        """Moves requests on, and tells what has become of them."""
        ...


def play(phase: Phase[Plan, Ran], output: StepOutput) -> None:
    for plan in phase.schedule():
        ran = phase.run(plan)
        phase.postprocess(ran, output)


class MlxRunner:
    """Implements `Runner`."""

    def __init__(
        self,
        caches: Caches,
        *,
        limits: Capabilities,
        end_tokens: frozenset[int],
        vocabulary: int,
        max_batch: int,
        prefill_budget: PrefillBudget,
        chunk_policy: ChunkPolicy,
        prompt_cache: PromptCache,
        host: Host,
        on_gpu: bool,
        sampler: Sampler,
        grouping: Grouping,
        disk: PrefixDisk | None = None,
        shares_passes: bool = True,
        states: States | None = None,
    ) -> None:
        """`shares_passes`: short prompts may be computed together, if rows may decode together and
        the model's caches are of a kind for it. `states`: what vectors of texts are made of."""
        self._limits = limits
        batch = Batch(caches.model, sampler, grouping)
        self._stages = Stages(batch, max_batch, KvRoom(limits))
        self._prefixes = PrefixPolicy(
            prompt_cache,
            caches,
            chunk_policy,
            trickles=prefill_budget.queues_chunks,
            disk=disk,
        )
        announcer = Announcer(host, on_gpu)
        self._decode = DecodePhase(
            self._stages,
            prefill_budget,
            self._prefixes,
            announcer,
            end_tokens=end_tokens,
            on_gpu=on_gpu,
            buffer_bytes_max=BUFFER_SHARE * limits.kv_budget_bytes,
        )
        order, common = PrefillOrder(), CommonPrefixes(chunk_policy.reuse_unit_tokens)
        self._admission = AdmissionPhase(
            self._stages, chunk_policy, self._prefixes, order, common, limits, vocabulary
        )
        share = shares_passes and not grouping.alone and can_share(caches.new())
        short = ShortPrompts(
            chunk_policy, prefill_budget, self._prefixes, order, common, share=share
        )
        self._prefill = PrefillPhase(
            self._stages,
            caches,
            chunk_policy,
            prefill_budget,
            self._prefixes,
            order,
            common,
            short,
            announcer,
            host,
        )

        self._reading = ReadingPhase(
            model=caches.model,
            states=states,
            new_cache=caches.new,
            vocabulary=vocabulary,
            pass_tokens=lambda: self._read_tokens(prefill_budget),
        )

    def _read_tokens(self, budget: PrefillBudget) -> int:
        """Beside decoding rows as many as take no longer than two of their steps."""
        tokens = PASS_TOKENS
        if self._stages.batch.rows:
            while tokens > BESIDE_TOKENS_MIN and (
                budget.cost.seconds(tokens, 0) > PREFILL_SHARE * budget.step_seconds
            ):
                tokens //= 2
        return tokens

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        """Raises `Refused`."""
        if request.reading is not None:
            self._reading.insert(request)
            return
        self._admission.check(request)
        if matcher is not None:
            self._stages.matchers[request.id] = matcher
        if forcing is not None:
            self._stages.forcings[request.id] = forcing
        self._stages.waiting.append(request)

    def remove(self, id: int) -> None:
        self._reading.remove(id)
        self._prefixes.forget(id)
        for row in self._stages.batch.rows:
            if row.id == id:
                self._prefixes.keep_answer(row, self._stages.batch)
        for row in self._stages.remove(id):
            # It writes nothing more into its cache, so nobody waits for copies.
            self._prefixes.keep_so_far(row, waits=False)

    def delay_seconds(self) -> float | None:
        is_idle = self._stages.is_empty and self._reading.count == 0
        return self._prefixes.delay_seconds() if is_idle else 0.0

    def step(self) -> StepOutput:
        output = StepOutput()
        play(self._decode, output)
        self._prefixes.keep_up(self._stages.batch)
        # Rows that have ended have left places.
        play(self._admission, output)
        self._prefixes.lend(self._stages.borrowed_bytes)
        play(self._prefill, output)
        play(self._reading, output)
        changes = self._prefixes.changes()
        output.kept, output.evicted = changes.kept, changes.evicted
        return output

    def finish(self, seconds: float) -> None:
        self._prefixes.finish(seconds)

    def figures(self) -> EngineFigures:
        stages, prefixes = self._stages, self._prefixes.figures()
        return EngineFigures(
            running=len(stages.batch.rows) + len(stages.ready) + self._reading.count,
            waiting=len(stages.waiting) + len(stages.prefilling),
            prefix_cache_bytes=prefixes.size_bytes,
            kv_bytes=stages.kv_bytes,
            memory_bytes=mx.get_active_memory() + mx.get_cache_memory(),
            prefix_entries=prefixes.entries,
            prefix_counts=self._prefixes.counts() if prefixes.bytes_max else None,
            disk_counts=self._prefixes.disk_counts(),
        )

    def check(self) -> None:
        self._prefixes.check()
        held, kept = self._stages.kv_bytes, self._prefixes.figures().size_bytes
        budget = self._limits.kv_budget_bytes + self._stages.borrowed_bytes
        assert held <= budget, f"rows hold {held} bytes of KV, {budget} are allowed"
        both = self._limits.kv_alone_bytes
        assert held + kept <= both, f"rows and prefix cache hold {held + kept} of {both} bytes"
