"""How a prompt is cut into chunks, and what follows from that for resumes and cached prefixes.

Where a model is computed decides: each policy is one way. `prefill_budget.py` says how much time a
chunk may take; no policy knows a clock, a model or a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from .pass_cost import PassCost
from .prefill_budget import PrefillBudget

# Fixed borders of the deterministic profile.
BORDER_TOKENS: Final = 128
# Every so many chunks beside decoding rows one is shorter by this factor: chunks of one length
# don't tell what a pass costs from what each token does.
PROBE_CHUNKS: Final = 6
PROBE_FACTOR: Final = 4
# A unit that brings its pass's fixed cost up by less is too short: two of them are the least.
UNIT_SHARE_MIN: Final = 0.5


class ChunkPolicy(Protocol):
    @property
    def replays(self) -> bool:
        """A resume feeds its tokens by decode steps; else they are prefilled with the prompt."""
        ...

    @property
    def keeps_answers(self) -> bool:
        """Prompt and answer are kept for the conversation's next turn."""
        ...

    @property
    def reuse_unit_tokens(self) -> int:
        """Of a cached prefix whole units are used."""
        ...

    def chunk_tokens(self, budget: PrefillBudget, done: int, left: int) -> int:
        """Length of the next chunk of a prompt with `done` tokens computed and `left` to go; 0: not
        in this step."""
        ...

    def padding_tokens(self, tokens: int) -> int:
        """What to add to a chunk, if it can be taken off the cache again."""
        ...

    def shared_tokens(self, tokens: int, done: int) -> int:
        """How long a chunk of so many tokens, with `done` before it, is where several prompts share
        a pass; 0: it doesn't share one."""
        ...

    def shared_rows(self, rows: int) -> int:
        """Of so many that could share a pass, how many do."""
        ...

    def keeps_prompt(self, done: int, left: int) -> bool:
        """Whether a prompt that is computed so far is kept for the next ones."""
        ...

    def planned_lengths(self, tokens_max: int) -> Sequence[int]:
        """Lengths of chunks that the device plans on their first use; a load goes through them."""
        ...


@dataclass(frozen=True, slots=True)
class FreeLengths:
    """A chunk is as long as its time allows, to the token."""

    replays: bool = False
    keeps_answers: bool = True
    reuse_unit_tokens: int = 1

    def chunk_tokens(self, budget: PrefillBudget, done: int, left: int) -> int:
        tokens = self._fitting(budget, done, left)
        is_probe = (
            budget.beside_rows and tokens >= PROBE_FACTOR and budget.chunks % PROBE_CHUNKS == 0
        )
        return tokens // PROBE_FACTOR if is_probe else tokens

    def _fitting(self, budget: PrefillBudget, done: int, left: int) -> int:
        least = min(left, budget.tokens_min(done))
        within = budget.cost.tokens_within(budget.seconds, done)
        fitting = min(left, within, budget.tokens_max)
        if fitting >= least:
            return fitting
        return least if budget.may_begin(least, done) else 0

    def padding_tokens(self, tokens: int) -> int:
        return 0

    def shared_tokens(self, tokens: int, done: int) -> int:
        return tokens

    def shared_rows(self, rows: int) -> int:
        return rows

    def keeps_prompt(self, done: int, left: int) -> bool:
        return left == 0

    def planned_lengths(self, tokens_max: int) -> Sequence[int]:
        return ()


@dataclass(frozen=True, slots=True)
class Units:
    """Where every new length of a chunk and of what is before it has to be planned first, as on
    CUDA: chunks are doublings of a unit and begin at multiples of their length, and the last one is
    padded to a unit."""

    unit_tokens: int
    replays: bool = False
    keeps_answers: bool = True

    @property
    def reuse_unit_tokens(self) -> int:
        return self.unit_tokens

    def chunk_tokens(self, budget: PrefillBudget, done: int, left: int) -> int:
        """The longest doubling of a unit that has its place here and its time. Where not even one
        that is worth its pass has it, that one comes once it is earned."""
        unit = self.unit_tokens
        tokens = min(left, unit - done % unit)
        # Queued, a pass of one takes as long: Python needs its time for either.
        is_short = budget.queues_chunks or self._is_short(budget.cost, done)
        longer = 2 * unit
        most = min(left, budget.tokens_max, max(longer, budget.cost.tokens_foreseeable))
        while longer <= most and done % longer == 0:
            is_least = is_short and tokens == unit
            if not is_least and budget.cost.seconds(longer, done) > budget.seconds:
                break
            tokens, longer = longer, 2 * longer
        computed = tokens + self.padding_tokens(tokens)
        if budget.cost.seconds_at_most(computed, done) <= budget.seconds:
            return tokens
        return tokens if budget.may_begin(computed, done) else 0

    def _is_short(self, cost: PassCost, depth: int) -> bool:
        """Whether one unit is too short for a pass; taken for it where nothing tells, since passes
        over two tell."""
        worth = UNIT_SHARE_MIN * cost.fixed_seconds(depth) / cost.token_seconds(depth)
        return worth > self.unit_tokens or not cost.tells_parts(2)

    def padding_tokens(self, tokens: int) -> int:
        return max(0, self.unit_tokens - tokens)

    def shared_tokens(self, tokens: int, done: int) -> int:
        """Lengths of chunks, which are planned."""
        shared = self.unit_tokens
        while shared < tokens:
            shared *= 2
        return 0 if done % shared else shared

    def shared_rows(self, rows: int) -> int:
        """Each number of rows is planned too: a power of two."""
        return 1 << (rows.bit_length() - 1) if rows else 0

    def keeps_prompt(self, done: int, left: int) -> bool:
        return left == 0

    def planned_lengths(self, tokens_max: int) -> Sequence[int]:
        lengths = []
        tokens = self.unit_tokens
        while tokens <= tokens_max:
            lengths.append(tokens)
            tokens *= 2
        return lengths


@dataclass(frozen=True, slots=True)
class FixedBorders:
    """The deterministic profile: the same prompt has the same chunks whatever runs beside it. A
    cached prefix ends on a border, since a hit must leave the same chunks to compute as there were
    without it. Answers are not kept: a decode step need not compute what a prefill chunk does, to
    the last bit."""

    border_tokens: int = BORDER_TOKENS
    is_planned: bool = False
    replays: bool = True
    keeps_answers: bool = False

    @property
    def reuse_unit_tokens(self) -> int:
        return self.border_tokens

    def chunk_tokens(self, budget: PrefillBudget, done: int, left: int) -> int:
        if budget.is_spent:
            return 0
        return min(left, self.border_tokens - done % self.border_tokens)

    def padding_tokens(self, tokens: int) -> int:
        return 0

    def shared_tokens(self, tokens: int, done: int) -> int:
        return 0

    def shared_rows(self, rows: int) -> int:
        return 0

    def keeps_prompt(self, done: int, left: int) -> bool:
        return done % self.border_tokens == 0 and left < self.border_tokens

    def planned_lengths(self, tokens_max: int) -> Sequence[int]:
        return (self.border_tokens,) if self.is_planned else ()


@dataclass(frozen=True, slots=True)
class WholePrompts:
    """For a model that computes something else when its prompt comes in pieces: one chunk, however
    long it takes, and tokens that are out already are fed one by one."""

    cut: ChunkPolicy
    """What else holds: that of a model whose prompts may be cut."""
    replays: bool = True

    @property
    def keeps_answers(self) -> bool:
        return self.cut.keeps_answers

    @property
    def reuse_unit_tokens(self) -> int:
        return self.cut.reuse_unit_tokens

    def chunk_tokens(self, budget: PrefillBudget, done: int, left: int) -> int:
        return left

    def padding_tokens(self, tokens: int) -> int:
        return self.cut.padding_tokens(tokens)

    def shared_tokens(self, tokens: int, done: int) -> int:
        return 0

    def shared_rows(self, rows: int) -> int:
        return 0

    def keeps_prompt(self, done: int, left: int) -> bool:
        return self.cut.keeps_prompt(done, left)

    def planned_lengths(self, tokens_max: int) -> Sequence[int]:
        return self.cut.planned_lengths(tokens_max)


def chunk_policy(*, deterministic: bool, in_pieces: bool, unit_tokens: int = 1) -> ChunkPolicy:
    """`in_pieces`: a prompt may be prefilled in pieces; `unit_tokens`: above 1 where lengths have
    to be planned."""
    policy: ChunkPolicy
    if deterministic:
        policy = FixedBorders(is_planned=unit_tokens > 1)
    elif unit_tokens > 1:
        policy = Units(unit_tokens)
    else:
        policy = FreeLengths()
    return policy if in_pieces else WholePrompts(policy)
