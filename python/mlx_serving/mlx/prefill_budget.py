"""How much prefill shares a step with the decoding rows. Pure arithmetic over measured times.

While rows decode, every decode step earns prefill some time. A chunk is as long as the time that
one step earns, so the gap between two tokens stays within a multiple of the undisturbed one. A
forward pass has a fixed cost however short its chunk is. Where not even an efficient chunk fits,
chunks come less often, since shorter ones would do nothing but cost.

Where the device works on while Python goes on, nobody waits for a chunk beside decoding rows: it is
queued, and counts as what it is expected to take until the gaps between tokens tell. The next gap
has Python's part of it, the one after the device's, and it has cost by what the longer of the two
is longer than an undisturbed one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .pass_cost import PassCost

# While rows decode, prefill takes twice a decode step's time: the gap between two tokens is then
# three times the undisturbed one.
PREFILL_SHARE: Final = 2.0
# Deep in a prompt a pass costs more before its first token, since it reads all that was computed
# before. There prefill takes so many times what that costs, and up to so many times a step: else
# most of its time would be that of short passes.
DEPTH_SHARE: Final = 8.0
PREFILL_SHARE_MAX: Final = 5.5
# Where several prompts wait, each brings as much, up to this time: crumbs of prompts cost a pass
# each, and while prompts wait few rows share a step. A stream still gets some five tokens a second.
CROWDED_SECONDS_MAX: Final = 0.2
# Where chunks are queued, less is enough, and a gap may be that much longer than expected.
PREFILL_SHARE_QUEUED: Final = 1.5
# Of the steps in which nothing decodes: what arrives is looked at after it.
SECONDS_MAX: Final = 1.0
CHUNK_TOKENS_MIN: Final = 4
# A chunk shorter than what brings its pass's fixed cost up by this share only wastes passes.
TOKENS_SHARE_MIN: Final = 0.25
SMOOTHING: Final = 0.5
# What a step queues is waited for in the second one after it.
STEPS_AHEAD: Final = 2
# Chunks have cost no less than this share of a gap, however long an undisturbed one is.
GAP_SHARE_MIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Queued:
    """A chunk that nobody waited for."""

    tokens: int
    depth: int
    expected_seconds: float


@dataclass(slots=True)
class PrefillBudget:
    """Measured speeds. `chunk_tokens_max`: what the orchestrator asked for; `queues_chunks`: beside
    decoding rows nobody waits for a chunk."""

    chunk_tokens_max: int
    cost: PassCost
    step_seconds: float
    queues_chunks: bool = False
    chunks: int = field(default=0, init=False)
    """Computed so far."""
    beside_rows: bool = field(default=False, init=False)
    """Rows decode in this step."""
    # What decode steps have earned and prefill has not spent; below zero after a chunk that took
    # longer than it had.
    _earnings: float = field(default=0.0, init=False)
    # What this step's prefill may still take.
    _left: float = field(default=0.0, init=False)
    _is_first: bool = field(default=True, init=False)
    # How deep in its prompt the next chunk will be, going by the latest one.
    _depth: int = field(default=0, init=False)
    # What a chunk needs that may be more than a step earns.
    _needed: float = field(default=0.0, init=False)
    # Prompts that wait, at least one.
    _prompts: int = field(default=1, init=False)
    # That decoded in the latest step.
    _rows: int = field(default=0, init=False)
    # What an undisturbed step takes, by how many rows decode, in powers of two.
    _known_seconds: dict[int, float] = field(default_factory=dict, init=False)
    # In this step, and in the one before, with what the gap after it showed that was its own.
    _queued: list[Queued] = field(default_factory=list, init=False)
    _earlier: list[Queued] = field(default_factory=list, init=False)
    _earlier_seconds: float = field(default=0.0, init=False)
    _steps_since_chunk: int = field(default=STEPS_AHEAD, init=False)

    def begin(self, beside_rows: bool, prompts: int = 1) -> None:
        """A step's prefill, of so many prompts. To be called after `stepped` where rows decode."""
        self.beside_rows = beside_rows
        self._prompts = max(1, prompts)
        self._steps_since_chunk += 1
        # Nothing for a moment, where it isn't known yet what a step of so many rows takes.
        has_time = not beside_rows or not self._rows or _size(self._rows) in self._known_seconds
        self._is_first = has_time
        self._left = (self._earned if beside_rows else SECONDS_MAX) if has_time else 0.0

    @property
    def is_undisturbed(self) -> bool:
        """Whether the latest steps had no chunks: where each is waited for in the next one, that
        one shows what it takes by itself."""
        return self._steps_since_chunk >= STEPS_AHEAD

    @property
    def seconds(self) -> float:
        """What the next chunk may take."""
        return min(self._left, self._earnings) if self.beside_rows else self._left

    @property
    def is_spent(self) -> bool:
        """Whether this step's prefill has had its time, whatever decode steps have earned."""
        return self._left <= 0

    def may_begin(self, tokens: int, done: int) -> bool:
        """Whether a step takes a chunk that is longer than its time: as its first, once it is
        earned."""
        if not self._is_first:
            return False
        self._needed = self.cost.seconds(tokens, done)
        return not self.beside_rows or self._needed <= self._earnings

    @property
    def _earned(self) -> float:
        if self.queues_chunks:
            return PREFILL_SHARE_QUEUED * self.step_seconds
        least, most = PREFILL_SHARE * self.step_seconds, PREFILL_SHARE_MAX * self.step_seconds
        earned = max(least, min(DEPTH_SHARE * self.cost.depth_seconds(self._depth), most))
        return max(earned, min(self._prompts * least, CROWDED_SECONDS_MAX))

    @property
    def is_chunk_queued(self) -> bool:
        """Whether the device has a chunk of the last step before it."""
        return self.queues_chunks and self._steps_since_chunk == 0

    @property
    def tokens_max(self) -> int:
        return max(CHUNK_TOKENS_MIN, self.chunk_tokens_max)

    def tokens_min(self, done: int) -> int:
        worth = self.cost.tokens_worth_a_pass(TOKENS_SHARE_MIN, done)
        return min(self.tokens_max, max(CHUNK_TOKENS_MIN, worth))

    def prefilled(self, tokens: int, depth: int, seconds: float) -> None:
        """A chunk with `depth` tokens before it is computed."""
        self.cost.learn(tokens, depth, seconds)
        self._depth = depth + tokens
        self._spend(seconds)

    def queued(self, tokens: int, depth: int) -> None:
        """A chunk with `depth` tokens before it will be computed while the next step is queued."""
        expected = self.cost.seconds(tokens, depth)
        self._queued.append(Queued(tokens, depth, expected))
        self._spend(expected)

    def settle(self, gap_seconds: float | None) -> None:
        """So long after the tokens before it a step's were there; None: other things were done
        meanwhile. To be called once a step, after `stepped`."""
        taken = 0.0
        if gap_seconds is not None:
            taken = max(gap_seconds - self.step_seconds, GAP_SHARE_MIN * gap_seconds)
            self._learn(self._earlier, max(taken, self._earlier_seconds))
        self._earlier_seconds = 0.0 if self._earlier else taken
        self._earlier, self._queued = self._queued, []

    def _learn(self, queued: list[Queued], seconds: float) -> None:
        expected = sum(chunk.expected_seconds for chunk in queued)
        for chunk in queued:
            share = chunk.expected_seconds / expected
            self.cost.learn(chunk.tokens, chunk.depth, share * seconds)
        if queued:
            self._earnings = max(self._earnings + expected - seconds, -self._earned)

    def _spend(self, seconds: float) -> None:
        self._left -= seconds
        self._is_first = False
        if self.beside_rows:
            self._steps_since_chunk = 0
        self._earnings = max(self._earnings - seconds, -self._earned)
        self.chunks += 1

    def stepped(self, seconds: float, rows: int, *, alone: bool, whole: bool = True) -> None:
        """So many rows have decoded. `alone`: no prompt shared the step, which makes it longer than
        it would be undisturbed; `whole`: nothing else was done in this time, and all of it was
        waited for."""
        is_known = _size(rows) in self._known_seconds
        if not whole:
            self.step_seconds = self._known_seconds.get(_size(rows), self.step_seconds)
        elif alone or rows != self._rows:
            smoothing = SMOOTHING if is_known and rows == self._rows else 1.0
            self.step_seconds += smoothing * (seconds - self.step_seconds)
        else:
            self.step_seconds = min(self.step_seconds, seconds)
        if whole:
            self._known_seconds[_size(rows)] = self.step_seconds
        self._rows = rows
        self._earnings = min(self._earnings + self._earned, self._earned + self._needed)

    def idle(self) -> None:
        """No prompt waits: time for it can't be saved up."""
        self._steps_since_chunk += 1
        self._needed = 0.0
        self._depth = 0
        self._earnings = min(self._earnings, self._earned)


def _size(rows: int) -> int:
    return rows.bit_length()
