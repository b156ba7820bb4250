"""The runner of an embedding model: it reads texts, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import mlx.core as mx

from ..engine import EngineFigures, Forcing, StepOutput
from ..grammar.matcher import Matcher
from ..messages import Admission
from .encoder import Encoder
from .reading import PASS_TOKENS, ReadingPhase

PASS_TOKENS_FIRST: Final = 128
"""Until a pass has told how fast the machine is: with the reference BLAS on a busy CPU a token
takes 10 ms and more."""
PASS_TOKENS_MIN: Final = 16
PASS_SECONDS: Final = 1.0
"""A worker that says nothing for ten of them is taken for dead."""
GROWTH_MAX: Final = 4


class PassLength:
    """How many tokens share the next pass, by how long the last one took."""

    def __init__(self) -> None:
        self.tokens = PASS_TOKENS_FIRST

    def learn(self, tokens: int, seconds: float) -> None:
        fitting = int(tokens * PASS_SECONDS / max(seconds, 1e-6))
        most = min(PASS_TOKENS, self.tokens * GROWTH_MAX)
        self.tokens = max(PASS_TOKENS_MIN, min(fitting, most))


class EncoderRunner:
    """Implements `Runner`."""

    def __init__(self, encoder: Encoder, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._length = PassLength()
        self._reading = ReadingPhase(
            model=None,
            states=encoder,
            new_cache=list,
            vocabulary=encoder.vocabulary,
            pass_tokens=lambda: self._length.tokens,
        )

    def insert(
        self, request: Admission, matcher: Matcher | None = None, forcing: Forcing | None = None
    ) -> None:
        """Raises `Refused`."""
        self._reading.insert(request)

    def remove(self, id: int) -> None:
        self._reading.remove(id)

    def step(self) -> StepOutput:
        output = StepOutput()
        for plan in self._reading.schedule():
            since = self._clock()
            outcome = self._reading.run(plan)
            self._length.learn(len(plan.parts) * plan.tokens, self._clock() - since)
            self._reading.postprocess(outcome, output)
        return output

    def delay_seconds(self) -> float | None:
        return 0.0 if self._reading.count else None

    def figures(self) -> EngineFigures:
        return EngineFigures(
            running=self._reading.count,
            waiting=0,
            prefix_cache_bytes=0,
            kv_bytes=0,
            memory_bytes=mx.get_active_memory() + mx.get_cache_memory(),
        )

    def check(self) -> None:
        """Nothing is kept between its steps."""

    def finish(self, seconds: float) -> None:
        """Nothing of it outlives the process."""
