"""How long grammars took to compile: how many up to each of a few bounds."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_MS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
_MS_PER_SECOND: Final = 1000.0


class CompileTimes:
    def __init__(self) -> None:
        self._counts = [0] * len(BOUNDS_MS)

    def add(self, seconds: float) -> None:
        """What took longer than the last bound is in no count."""
        place = bisect_left(BOUNDS_MS, seconds * _MS_PER_SECOND)
        if place < len(self._counts):
            self._counts[place] += 1

    def counts(self) -> list[tuple[float, int]]:
        """Each bound in ms, with how many took at most so long and longer than the one before."""
        return list(zip(BOUNDS_MS, self._counts, strict=True))
