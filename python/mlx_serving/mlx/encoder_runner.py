"""The runner of an embedding model: it reads texts, and nothing else."""

from __future__ import annotations

import mlx.core as mx

from ..engine import EngineFigures, Forcing, StepOutput
from ..grammar.matcher import Matcher
from ..messages import Admission
from .encoder import Encoder
from .reading import PASS_TOKENS, ReadingPhase
from .runner import play


class EncoderRunner:
    """Implements `Runner`."""

    def __init__(self, encoder: Encoder) -> None:
        self._reading = ReadingPhase(
            model=None,
            states=encoder,
            new_cache=list,
            vocabulary=encoder.vocabulary,
            pass_tokens=lambda: PASS_TOKENS,
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
        play(self._reading, output)
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
