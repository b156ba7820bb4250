"""Says `busy` before a computation that may take longer than the orchestrator waits."""

from __future__ import annotations

from typing import Final

from ..engine import Host

COMPILE_ALLOWANCE_MS: Final = 180_000.0
# What is expected to take longer is announced, with room for a machine that has become slower.
ANNOUNCE_SECONDS: Final = 2.0
ALLOWANCE_FACTOR: Final = 3.0


class Announcer:
    def __init__(self, host: Host, on_gpu: bool) -> None:
        """`on_gpu`: each new shape is compiled on its first use, which may take a minute."""
        self._host = host
        self._on_gpu = on_gpu
        self._shapes: set[tuple[tuple[int, ...], int]] = set()

    def before(
        self, reason: str, passes: tuple[int, ...], tokens: int, expected_seconds: float
    ) -> None:
        """`passes`: the rows of each forward pass; `tokens`: of each row."""
        if self._on_gpu and (passes, tokens) not in self._shapes:
            self._shapes.add((passes, tokens))
            self._host.busy("compilation", COMPILE_ALLOWANCE_MS)
        elif allowance := allowance_ms(expected_seconds):
            self._host.busy(reason, allowance)


def allowance_ms(expected_seconds: float) -> float:
    """What to announce before a computation: 0 where it is expected to be short."""
    if expected_seconds < ANNOUNCE_SECONDS:
        return 0.0
    return expected_seconds * ALLOWANCE_FACTOR * 1000
