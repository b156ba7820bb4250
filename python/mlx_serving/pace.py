"""How much prefill shares a step with the decoding rows. Pure arithmetic over measured times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# While rows decode, prefill takes at most twice a decode step's time: the gap between two tokens
# is then at most three times the undisturbed one.
PREFILL_SHARE: Final = 2.0
SECONDS_MIN: Final = 0.02
SECONDS_MAX: Final = 1.0
CHUNK_TOKENS_MIN: Final = 8
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
    prefill_tokens_per_second: float
    step_seconds: float

    def prefill_seconds(self, decoding: bool) -> float:
        """Time that prefill may take in this step."""
        if not decoding:
            return SECONDS_MAX
        return min(SECONDS_MAX, max(SECONDS_MIN, PREFILL_SHARE * self.step_seconds))

    def chunk_tokens(self, done: int, left: int, seconds: float) -> int:
        """Length of the next chunk of a prompt with `done` tokens computed and `left` to go."""
        if self.deterministic:
            return min(left, BORDER_TOKENS - done % BORDER_TOKENS)
        fitting = max(CHUNK_TOKENS_MIN, int(self.prefill_tokens_per_second * seconds))
        return min(left, fitting, max(CHUNK_TOKENS_MIN, self.chunk_tokens_max))

    def prefilled(self, tokens: int, seconds: float) -> None:
        # A few tokens say little about a chunk's speed: the step's fixed cost is most of it.
        if tokens >= CHUNK_TOKENS_MIN:
            measured = tokens / max(seconds, 1e-6)
            self.prefill_tokens_per_second = _smoothed(self.prefill_tokens_per_second, measured)

    def stepped(self, seconds: float) -> None:
        self.step_seconds = _smoothed(self.step_seconds, seconds)


def allowance_ms(expected_seconds: float) -> float:
    """What to announce before a computation: 0 where it is expected to be short."""
    if expected_seconds < ANNOUNCE_SECONDS:
        return 0.0
    return expected_seconds * ALLOWANCE_FACTOR * 1000


def _smoothed(before: float, measured: float) -> float:
    return before + SMOOTHING * (measured - before)
