"""How much prefill shares a step with the decoding rows. Pure arithmetic over measured times.

While rows decode, every decode step earns prefill some time. A chunk is as long as fits into what
one step earns, so that the gap between two tokens stays within a multiple of the undisturbed one.
Where not even an efficient chunk fits, since a forward pass costs what it costs however short the
chunk, chunks come less often instead of being so short that they do nothing but cost.
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
class Pace:
    """Measured speeds. `chunk_tokens_max`: what the orchestrator asked for."""

    chunk_tokens_max: int
    deterministic: bool
    cost: PassCost
    step_seconds: float
    # Time that prefill may take now; below zero where the last chunk took longer than it had.
    _seconds: float = field(default=0.0, init=False)
    # What the next chunk needs, if it is more than a step earns.
    _needed: float = field(default=0.0, init=False)
    _chunks: int = field(default=0, init=False)

    def begin(self, decoding: bool) -> None:
        """A step's prefill. To be called after `stepped` where rows decode."""
        if not decoding:
            self._seconds = SECONDS_MAX

    def chunk_tokens(self, done: int, left: int, decoding: bool) -> int:
        """Length of the next chunk of a prompt with `done` tokens computed and `left` to go; 0: not
        in this step."""
        if self._seconds <= 0:
            return 0
        if self.deterministic:
            return min(left, BORDER_TOKENS - done % BORDER_TOKENS)
        least = min(left, self._tokens_min(done))
        if decoding:
            tokens = self._beside_decoding(done, left, least)
            is_probe = tokens >= PROBE_FACTOR and self._chunks % PROBE_CHUNKS == 0
            return tokens // PROBE_FACTOR if is_probe else tokens
        fitting = min(left, self.cost.tokens_within(self._seconds, done), self._tokens_max)
        if fitting >= least:
            return fitting
        return least if self._seconds == SECONDS_MAX else 0

    def _beside_decoding(self, done: int, left: int, least: int) -> int:
        seconds = min(self._seconds, self._earned)
        fitting = min(left, self.cost.tokens_within(seconds, done), self._tokens_max)
        if fitting >= least:
            return fitting
        self._needed = self.cost.seconds(least, done)
        return least if self._seconds >= self._needed else 0

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
        self._seconds = max(self._seconds - seconds, -self._earned)
        self._needed = 0.0
        self._chunks += 1

    def stepped(self, seconds: float) -> None:
        """The rows have decoded."""
        self.step_seconds += SMOOTHING * (seconds - self.step_seconds)
        self._seconds = min(self._seconds + self._earned, max(self._earned, self._needed))


def allowance_ms(expected_seconds: float) -> float:
    """What to announce before a computation: 0 where it is expected to be short."""
    if expected_seconds < ANNOUNCE_SECONDS:
        return 0.0
    return expected_seconds * ALLOWANCE_FACTOR * 1000
