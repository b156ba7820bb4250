"""The phase of a step that gives waiting requests a place: each becomes a row.

Also says, when a request comes, whether its KV cache can ever fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Capabilities, End, StepOutput, failed
from ..failures import Refused
from ..messages import Admission
from .chunk_policy import ChunkPolicy
from .common_prefixes import CommonPrefixes
from .kv_room import KvRoom
from .prefill_order import PrefillOrder
from .prefix_policy import PrefixPolicy
from .row import Row
from .sampling import RowSampling
from .stages import Stages


class AdmissionPhase:
    def __init__(
        self,
        stages: Stages,
        chunks: ChunkPolicy,
        prefixes: PrefixPolicy,
        order: PrefillOrder,
        common: CommonPrefixes,
        limits: Capabilities,
        vocabulary: int,
    ) -> None:
        self._stages = stages
        self._chunks = chunks
        self._prefixes = prefixes
        self._order = order
        self._common = common
        self._limits = limits
        self._vocabulary = vocabulary

    def check(self, request: Admission) -> None:
        """Raises `Refused`."""
        needed, budget = KvRoom(self._limits).bytes_max(request), self._limits.kv_alone_bytes
        if needed > budget:
            message = f"it needs {needed:.0f} bytes of KV cache, {budget} are there"
            raise Refused("memory_budget_exceeded", "max_tokens", message)

    def schedule(self) -> Iterator[Admission]:
        """As many as have places and memory, first come, first served. One of whose prompt more is
        being read lets others go before it."""
        stages = self._stages
        for request in list(stages.waiting):
            if not stages.can_admit(request):
                return
            may_wait = not (stages.batch.rows or stages.prefilling or stages.ready)
            known = self._known(request)
            if not self._prefixes.awaits(request.id, known, request.salt, may_wait):
                stages.waiting.remove(request)
                yield request

    def run(self, request: Admission) -> Row | End:
        try:
            return self._new_row(request)
        except Exception as error:
            return failed(request.id, error)

    def postprocess(self, ran: Row | End, output: StepOutput) -> None:
        if isinstance(ran, End):
            output.ends.append(ran)
        else:
            self._common.came(ran, self._stages.prefilling)
            self._order.came(ran)
            self._stages.prefilling.append(ran)

    def _replays(self, request: Admission) -> bool:
        return bool(request.emitted) and self._chunks.replays

    def _known(self, request: Admission) -> list[int]:
        """The tokens that a prefill computes."""
        return request.prompt if self._replays(request) else request.prompt + request.emitted

    def _new_row(self, request: Admission) -> Row:
        """The row's first decode step feeds the prompt's last token. A resume's tokens are fed by
        decode steps too where it is replayed; else they are prefilled with the prompt. What is
        cached of them it takes over when its turn comes: a row that waits has no cache."""
        emitted, known = request.emitted, self._known(request)
        replays = self._replays(request)
        first, prefill = len(emitted), known[:-1]
        return Row(
            request=request,
            sampling=RowSampling(
                request.sampling, request.prompt, [] if replays else emitted, self._vocabulary
            ),
            prefill=prefill,
            last=known[-1],
            forced=emitted if replays else [],
            cache=[],
            done=0,
            reused=0,
            cached=0,
            first=first,
            index=-1 if replays else first - 1,
            end=min(request.max_tokens, self._limits.context_max - len(request.prompt)),
            observe_from=0 if replays else first,
            matcher=self._stages.matchers.pop(request.id, None),
            forcing=self._stages.forcings.pop(request.id, None),
            generated=[] if replays else emitted[:-1],
            chain=self._common.chain(prefill, request.salt),
            available=self._prefixes.peek(known, request.salt),
        )
