"""How many short prompts share one forward pass. Pure arithmetic over lengths and expected times.

A pass has a fixed cost however short a prompt is: on a GPU that is nearly all of it. Several
prompts that are computed at once pay it once. What they pay instead is padding, each is computed as
long as the longest, and beginnings that one of them could have taken over from another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .chunk_policy import ChunkPolicy
from .prefill_budget import PrefillBudget

# A longer prompt is worth a pass of its own on every device that was measured, and two of them
# fill the longest chunk that there is.
SHORT_TOKENS_MAX: Final = 256
ROWS_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class ShortPrompt:
    """`left`: tokens to be computed; `repeated`: those of them that it would not have to compute if
    it came after the others."""

    left: int
    repeated: int


@dataclass(frozen=True, slots=True)
class SharedLengths:
    """So many rows, each computed as if it were of so many tokens. `fits`: within the step's time;
    else it is the least that is worth a pass, and has to be earned."""

    rows: int
    tokens: int
    fits: bool

    @property
    def computed(self) -> int:
        return self.rows * self.tokens


def shared_lengths(
    policy: ChunkPolicy, budget: PrefillBudget, depth: int, prompts: Iterable[ShortPrompt]
) -> SharedLengths | None:
    """Of prompts in the order of their turns, as many as share a pass; each has `depth` tokens in
    its cache. None: the first is computed by itself."""
    cost = budget.cost
    within = cost.tokens_within(budget.seconds, depth)
    worth = max(budget.tokens_min(depth), ROWS_MIN * policy.reuse_unit_tokens)
    most = min(max(within, worth), budget.tokens_max)
    # What may be computed for nothing for each pass that is saved.
    spare = cost.fixed_seconds(depth) / cost.token_seconds(depth)
    best: SharedLengths | None = None
    longest = useful = 0
    for rows, prompt in enumerate(prompts, 1):
        longest = max(longest, prompt.left)
        tokens = policy.shared_tokens(longest, depth)
        # By itself it would be padded too.
        useful += policy.shared_tokens(prompt.left, depth) - prompt.repeated
        computed = rows * tokens
        if (
            not 0 < longest <= SHORT_TOKENS_MAX
            or not tokens
            or computed > most
            or computed - useful > (rows - 1) * spare
        ):
            break
        if rows >= ROWS_MIN and policy.shared_rows(rows) == rows:
            best = SharedLengths(rows, tokens, computed <= within)
    return best
