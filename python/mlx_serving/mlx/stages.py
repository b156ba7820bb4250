"""All requests of the engine, each in one of four stages: waiting for a place, prefilling, ready to
decode, decoding. Owns who is where; what is done to a request, the phases of a step say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from ..engine import Forcing
from ..grammar.matcher import Matcher
from ..messages import Admission
from .batch import Batch
from .caches import size_bytes
from .kv_room import KvRoom
from .row import Row


class Stages:
    def __init__(self, batch: Batch, max_batch: int, room: KvRoom) -> None:
        self.waiting: deque[Admission] = deque()
        self.matchers: dict[int, Matcher] = {}
        """Of those that wait, by id: where their answers are in their grammars."""
        self.forcings: dict[int, Forcing] = {}
        """Likewise: which of their tokens must come."""
        self.prefilling: list[Row] = []
        """In the order in which they came; whose turn it is `prefill_order.py` says."""
        self.ready: list[Row] = []
        """Prefilled; they join the batch at its next step."""
        self.batch = batch
        self._max_batch = max_batch
        self._room = room

    def can_admit(self, request: Admission) -> bool:
        """Whether one that waits has a place, and the memory that it may come to need."""
        if not self.places_left:
            return False
        return self._room.fits(request, self._requests(), self.batch.padding_tokens)

    def spare_tokens(self, joining: Sequence[Row]) -> float:
        """Of padding there is memory for so much, beside what all rows may come to: those that join
        the batch are in no stage."""
        requests = [*self._requests(), *(row.request for row in joining)]
        return self._room.spare_tokens(requests, self.batch.padding_tokens)

    @property
    def borrowed_bytes(self) -> float:
        """Of memory that rows don't have: several come in only where they need none of it."""
        if self._places_taken != 1:
            return 0.0
        return self._room.borrowed_bytes(next(self._requests()))

    def _requests(self) -> Iterator[Admission]:
        for row in (*self.prefilling, *self.ready, *self.batch.rows):
            yield row.request

    @property
    def places_left(self) -> int:
        return max(0, self._max_batch - self._places_taken)

    @property
    def _places_taken(self) -> int:
        return len(self.batch.rows) + len(self.prefilling) + len(self.ready)

    @property
    def has_prompts(self) -> bool:
        """Whether this step has prompts to prefill."""
        return bool(self.prefilling) or (bool(self.waiting) and self.can_admit(self.waiting[0]))

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.prefilling or self.ready or self.batch.rows)

    @property
    def kv_bytes(self) -> int:
        rows = [*self.prefilling, *self.ready]
        return self.batch.kv_bytes + sum(size_bytes(row.cache) for row in rows)

    def remove(self, id: int) -> list[Row]:
        """Those of which the prompt isn't computed, or has just been. Unknown ids are fine."""
        self.matchers.pop(id, None)
        self.forcings.pop(id, None)
        self.waiting = deque(request for request in self.waiting if request.id != id)
        removed = [row for row in (*self.prefilling, *self.ready) if row.id == id]
        self.prefilling = [row for row in self.prefilling if row.id != id]
        self.ready = [row for row in self.ready if row.id != id]
        self.batch.remove([row for row in self.batch.rows if row.id == id])
        return removed
