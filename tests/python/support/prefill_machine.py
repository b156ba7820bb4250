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


class QueueingMachine:
    """The same where the device works on while Python goes on: Python needs its time for each pass
    too, and waits in each step for the tokens of the one before."""

    def __init__(
        self,
        cost: Cost,
        prior: PassCost,
        policy: ChunkPolicy,
        *,
        step_seconds: float,
        python_step_seconds: float,
        python_chunk_seconds: float,
    ) -> None:
        self._policy, self._cost = policy, cost
        self._step_seconds = step_seconds
        self._python_step, self._python_chunk = python_step_seconds, python_chunk_seconds
        self.budget = PrefillBudget(2048, prior, 0.001, queues_chunks=True)
        self._now = 0.0
        self._device_done = 0.0
        self._tokens_done = 0.0
        self._told = 0.0
        self.gaps: list[float] = []
        self.chunks: list[int] = []

    def _queue(self, python_seconds: float, device_seconds: float) -> float:
        begun = max(self._device_done, self._now)
        self._now += python_seconds
        self._device_done = max(begun + device_seconds, self._now)
        return self._device_done

    def _step(self, rows: int = 8) -> None:
        start = self._now
        tokens_done = self._queue(self._python_step, self._step_seconds)
        self._now = max(self._now, self._tokens_done)
        self._tokens_done = tokens_done
        alone = self.budget.is_undisturbed
        self.budget.stepped(self._now - start, rows, alone=alone, whole=alone)
        self.budget.settle(self._now - self._told)
        self.gaps.append(self._now - self._told)
        self._told = self._now

    def rest(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
            self.budget.idle()

    def prefill(self, tokens: int) -> float:
        """Seconds until the prompt is computed."""
        start, done = self._now, 0
        self.gaps.clear()
        while done < tokens:
            self._step()
            self.budget.begin(beside_rows=True)
            while chunk := self._policy.chunk_tokens(self.budget, done, tokens - done):
                computed = chunk + self._policy.padding_tokens(chunk)
                self._queue(self._python_chunk, self._cost(computed, done))
                self.budget.queued(computed, done)
                done += chunk
                self.chunks.append(chunk)
                if done == tokens:
                    break
        self._step()
        self._step()
        return self._now - start


def gpu(tokens: int, depth: int) -> float:
    """An H100's passes over an 8B model: what they cost whatever their length is most of it."""
    return 0.0125 + 0.00004 * tokens + 0.0000001 * depth


def cpu(tokens: int, depth: int) -> float:
    return 0.004 + 0.0009 * tokens + 0.0000015 * tokens * depth


def memory(tokens: int, depth: int) -> float:
    """Two fast cores: a pass reads all keys and values that were computed before, and that is most
    of what it costs deep in a prompt."""
    return 0.004 + 0.0006 * tokens + (0.000003 + 0.0000001 * tokens) * depth


# Warm-up says little: a prior of a few tokens, or one that was disturbed.
PRIORS = {
    "from a few tokens": (0.008, 0.002),
    "all of it per token": (0.0, 0.005),
    "all of it fixed": (0.05, 0.0),
    "far too cheap": (0.0001, 0.00001),
}
