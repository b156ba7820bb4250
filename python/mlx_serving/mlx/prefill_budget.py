"""How much prefill shares a step with the decoding rows. Pure arithmetic over measured times.

While rows decode, every decode step earns prefill some time. A chunk is as long as the time that
one step earns, so the gap between two tokens stays within a multiple of the undisturbed one. A
forward pass has a fixed cost however short its chunk is. Where not even an efficient chunk fits,
chunks come less often, since shorter ones would do nothing but cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .pass_cost import PassCost

# While rows decode, prefill takes at most twice a decode step's time: the gap between two tokens
# is then at most three times the undisturbed one.
PREFILL_SHARE: Final = 2.0
# Of the steps in which nothing decodes: what arrives is looked at after it.
SECONDS_MAX: Final = 1.0
CHUNK_TOKENS_MIN: Final = 4
# A chunk shorter than what brings its pass's fixed cost up by this share only wastes passes.
TOKENS_SHARE_MIN: Final = 0.25
SMOOTHING: Final = 0.5


@dataclass(slots=True)
class PrefillBudget:
    """Measured speeds. `chunk_tokens_max`: what the orchestrator asked for."""

    chunk_tokens_max: int
    cost: PassCost
    step_seconds: float
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
    # What a chunk needs that may be more than a step earns.
    _needed: float = field(default=0.0, init=False)
    # That decoded in the latest step.
    _rows: int = field(default=0, init=False)
    # That decoded in the latest step whose whole time is known.
    _rows_measured: int = field(default=0, init=False)
    # The least that a step of these rows has taken, of steps that were not measured whole.
    _least_seconds: float = field(default=float("inf"), init=False)

    def begin(self, beside_rows: bool) -> None:
        """A step's prefill. To be called after `stepped` where rows decode."""
        self.beside_rows = beside_rows
        self._is_first = True
        self._left = self._earned if beside_rows else SECONDS_MAX

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
        return PREFILL_SHARE * self.step_seconds

    @property
    def tokens_max(self) -> int:
        return max(CHUNK_TOKENS_MIN, self.chunk_tokens_max)

    def tokens_min(self, done: int) -> int:
        worth = self.cost.tokens_worth_a_pass(TOKENS_SHARE_MIN, done)
        return min(self.tokens_max, max(CHUNK_TOKENS_MIN, worth))

    def prefilled(self, tokens: int, depth: int, seconds: float) -> None:
        """A chunk with `depth` tokens before it is computed."""
        self.cost.learn(tokens, depth, seconds)
        self._left -= seconds
        self._is_first = False
        self._earnings = max(self._earnings - seconds, -self._earned)
        self.chunks += 1

    def stepped(self, seconds: float, rows: int, *, alone: bool, whole: bool = True) -> None:
        """So many rows have decoded. `alone`: no prompt shared the step, which makes it longer than
        it would be undisturbed; `whole`: all of it was waited for."""
        if not whole:
            self._stepped_in_part(seconds, rows)
        elif alone or rows != self._rows:
            smoothing = SMOOTHING if rows == self._rows else 1.0
            self.step_seconds += smoothing * (seconds - self.step_seconds)
        else:
            self.step_seconds = min(self.step_seconds, seconds)
        if whole:
            self._rows_measured = rows
        self._rows = rows
        self._earnings = min(self._earnings + self._earned, self._earned + self._needed)

    def _stepped_in_part(self, seconds: float, rows: int) -> None:
        """All that is known is that a step of so many rows takes no less than the shortest of them.
        The one in which they joined says nothing: it waits for their caches."""
        if rows != self._rows:
            self._least_seconds = float("inf")
        elif rows != self._rows_measured:
            self._least_seconds = min(self._least_seconds, seconds)
            self.step_seconds = max(self.step_seconds, self._least_seconds)

    def idle(self) -> None:
        """No prompt waits: time for it can't be saved up."""
        self._needed = 0.0
        self._earnings = min(self._earnings, self._earned)
