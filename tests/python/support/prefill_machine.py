"""A worker in virtual time that decodes while prompts come in, and what its passes cost."""

from __future__ import annotations

from collections.abc import Callable

from mlx_serving.mlx.chunk_policy import ChunkPolicy, FreeLengths
from mlx_serving.mlx.pass_cost import PassCost
from mlx_serving.mlx.prefill_budget import PrefillBudget

STEP_SECONDS = 0.012
FREE = FreeLengths()
Cost = Callable[[int, int], float]


class Machine:
    """A worker in virtual time: decodes every `step_seconds`, while one prompt comes in."""

    def __init__(
        self,
        cost: Cost,
        prior: PassCost,
        step_seconds: float = STEP_SECONDS,
        policy: ChunkPolicy = FREE,
    ) -> None:
        self._policy = policy
        self._cost = cost
        self._step_seconds = step_seconds
        self.budget = PrefillBudget(2048, prior, step_seconds)
        self.gaps: list[float] = []
        self.chunks: list[int] = []

    def prefill(self, tokens: int) -> float:
        """Seconds until the prompt is computed."""
        start, done = sum(self.gaps), 0
        while done < tokens:
            gap = self._step_seconds
            self.budget.stepped(gap, 8, alone=False)
            self.budget.begin(beside_rows=True)
            while chunk := self._policy.chunk_tokens(self.budget, done, tokens - done):
                seconds = self._cost(chunk, done)
                self.budget.prefilled(chunk, done, seconds)
                gap += seconds
                done += chunk
                self.chunks.append(chunk)
                if done == tokens:
                    break
            self.gaps.append(gap)
        return sum(self.gaps) - start


def gpu(tokens: int, depth: int) -> float:
    """An H100's passes over an 8B model: what they cost whatever their length is most of it."""
    return 0.0125 + 0.00004 * tokens + 0.0000001 * depth


def cpu(tokens: int, depth: int) -> float:
    return 0.004 + 0.0009 * tokens + 0.0000015 * tokens * depth


# Warm-up says little: a prior of a few tokens, or one that was disturbed.
PRIORS = {
    "from a few tokens": (0.008, 0.002),
    "all of it per token": (0.0, 0.005),
    "all of it fixed": (0.05, 0.0),
    "far too cheap": (0.0001, 0.00001),
}
