"""How much prefill shares a step with the decoding rows. Pure arithmetic over measured times.

While rows decode, every decode step earns prefill some time. A chunk is as long as the time that
one step earns, so the gap between two tokens stays within a multiple of the undisturbed one. A
forward pass has a fixed cost however short its chunk is. Where not even an efficient chunk fits,
chunks come less often, since shorter ones would do nothing but cost.
"""

from __future__ import annotations

from collections.abc import Iterator
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
# Every so many chunks beside decoding rows one is shorter by this factor: chunks of one length
# don't tell what a pass costs from what each token does.
PROBE_CHUNKS: Final = 6
PROBE_FACTOR: Final = 4
# Fixed borders of the deterministic profile.
BORDER_TOKENS: Final = 128
SMOOTHING: Final = 0.5
# What is expected to take longer is announced, with room for a machine that has become slower.
ANNOUNCE_SECONDS: Final = 2.0
ALLOWANCE_FACTOR: Final = 3.0


@dataclass(slots=True)
class PrefillBudget:
    """Measured speeds. `chunk_tokens_max`: what the orchestrator asked for. `unit_tokens`: above 1
    where every new length of a chunk and of what is before it has to be planned first: chunks are
    then doublings of a unit, and begin at multiples of their length."""

    chunk_tokens_max: int
    deterministic: bool
    cost: PassCost
    step_seconds: float
    unit_tokens: int = 1
    # What decode steps have earned and prefill has not spent; below zero after a chunk that took
    # longer than it had.
    _earnings: float = field(default=0.0, init=False)
    # What this step's prefill may still take.
    _left: float = field(default=0.0, init=False)
    _is_first: bool = field(default=True, init=False)
    # What a chunk needs that may be more than a step earns.
    _needed: float = field(default=0.0, init=False)
    _chunks: int = field(default=0, init=False)
    # That decoded in the latest step.
    _rows: int = field(default=0, init=False)

    def unit_lengths(self) -> Iterator[int]:
        """All lengths of whole chunks, where they are of units."""
        tokens = self.unit_tokens
        while 1 < tokens <= self._tokens_max:
            yield tokens
            tokens *= 2

    def begin(self, decoding: bool) -> None:
        """A step's prefill. To be called after `stepped` where rows decode."""
        self._is_first = True
        self._left = self._earned if decoding else SECONDS_MAX

    def chunk_tokens(self, done: int, left: int, decoding: bool) -> int:
        """Length of the next chunk of a prompt with `done` tokens computed and `left` to go; 0: not
        in this step."""
        if self.deterministic:
            return min(left, BORDER_TOKENS - done % BORDER_TOKENS) if self._left > 0 else 0
        if self.unit_tokens > 1:
            return self._units(done, left, decoding)
        tokens = self._fitting(done, left, decoding)
        is_probe = decoding and tokens >= PROBE_FACTOR and self._chunks % PROBE_CHUNKS == 0
        return tokens // PROBE_FACTOR if is_probe else tokens

    def _fitting(self, done: int, left: int, decoding: bool) -> int:
        seconds = min(self._left, self._earnings) if decoding else self._left
        least = min(left, self._tokens_min(done))
        fitting = min(left, self.cost.tokens_within(seconds, done), self._tokens_max)
        if fitting >= least:
            return fitting
        return least if self._may_begin(least, done, decoding) else 0

    def _units(self, done: int, left: int, decoding: bool) -> int:
        """The longest doubling of a unit that has its place here and its time."""
        unit = self.unit_tokens
        tokens = min(left, unit - done % unit)
        seconds = min(self._left, self._earnings) if decoding else self._left
        if self.cost.seconds(tokens, done) > seconds:
            return tokens if self._may_begin(tokens, done, decoding) else 0
        longer = 2 * unit
        while longer <= min(left, self._tokens_max) and done % longer == 0:
            if self.cost.seconds(longer, done) > seconds:
                break
            tokens, longer = longer, 2 * longer
        return tokens

    def _may_begin(self, tokens: int, done: int, decoding: bool) -> bool:
        """Whether a step takes a chunk that is longer than its time: as its first, once it is
        earned."""
        if not self._is_first:
            return False
        self._needed = self.cost.seconds(tokens, done)
        return not decoding or self._needed <= self._earnings

    @property
    def _earned(self) -> float:
        return PREFILL_SHARE * self.step_seconds

    @property
    def _tokens_max(self) -> int:
        return max(CHUNK_TOKENS_MIN, self.chunk_tokens_max)

    def _tokens_min(self, done: int) -> int:
        worth = self.cost.tokens_worth_a_pass(TOKENS_SHARE_MIN, done)
        return min(self._tokens_max, max(CHUNK_TOKENS_MIN, worth))

    def prefilled(self, tokens: int, depth: int, seconds: float) -> None:
        """A chunk with `depth` tokens before it is computed."""
        self.cost.learn(tokens, depth, seconds)
        self._left -= seconds
        self._is_first = False
        self._earnings = max(self._earnings - seconds, -self._earned)
        self._chunks += 1

    def stepped(self, seconds: float, rows: int, *, alone: bool, whole: bool = True) -> None:
        """So many rows have decoded. `alone`: no prompt shared the step, which makes it longer than
        it would be undisturbed; `whole`: all of it was waited for."""
        if alone or (whole and rows != self._rows):
            smoothing = SMOOTHING if rows == self._rows else 1.0
            self.step_seconds += smoothing * (seconds - self.step_seconds)
        else:
            self.step_seconds = (min if whole else max)(self.step_seconds, seconds)
        self._rows = rows
        self._earnings = min(self._earnings + self._earned, self._earned + self._needed)

    def idle(self) -> None:
        """No prompt waits: time for it can't be saved up."""
        self._needed = 0.0
        self._earnings = min(self._earnings, self._earned)


def allowance_ms(expected_seconds: float) -> float:
    """What to announce before a computation: 0 where it is expected to be short."""
    if expected_seconds < ANNOUNCE_SECONDS:
        return 0.0
    return expected_seconds * ALLOWANCE_FACTOR * 1000
