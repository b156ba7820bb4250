"""Which short prompts are computed in one pass: those that would have the next turns in a row, and
have the same number of tokens in their caches, mostly none.

One that begins as another of them does, with a whole block or more, stays out: it takes those over
once the other is computed. Fewer tokens are computed twice where that is cheaper than a pass.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .chunk_policy import ChunkPolicy
from .common_prefixes import CommonPrefixes
from .pass_sharing import SHORT_TOKENS_MAX, SharedLengths, ShortPrompt, shared_lengths
from .prefill_budget import PrefillBudget
from .prefill_order import PrefillOrder
from .prefix_policy import PrefixPolicy
from .row import Row

# What is in their caches is copied into the shared one: little beside what is computed.
DEPTH_TOKENS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class SharedChunk:
    """All that these rows have to compute of their prompts, after their first `depth` tokens. All
    but the first may have to take those over yet."""

    rows: list[Row]
    depth: int
    lengths: SharedLengths

    @property
    def padding_tokens(self) -> int:
        """That its cache holds for nothing."""
        held = len(self.rows) * (self.depth + self.lengths.tokens)
        return held - sum(len(row.prefill) for row in self.rows)


class ShortPrompts:
    def __init__(
        self,
        chunks: ChunkPolicy,
        budget: PrefillBudget,
        prefixes: PrefixPolicy,
        order: PrefillOrder,
        common: CommonPrefixes,
        *,
        share: bool,
    ) -> None:
        """`share`: the model is right about several prompts in a pass."""
        self._chunks = chunks
        self._budget = budget
        self._prefixes = prefixes
        self._order = order
        self._common = common
        self._share = share

    def plan(self, first: Row, prompts: Sequence[Row]) -> SharedChunk | None:
        """None: the first, whose turn it is and which has its cache, is computed by itself."""
        depth = first.done
        if not self._share or len(prompts) < 2 or depth > DEPTH_TOKENS_MAX:
            return None
        rows: list[Row] = []
        short = self._short(depth, prompts, rows)
        lengths = shared_lengths(self._chunks, self._budget, depth, short)
        return None if lengths is None else SharedChunk(rows[: lengths.rows], depth, lengths)

    def _short(self, depth: int, prompts: Sequence[Row], rows: list[Row]) -> Iterator[ShortPrompt]:
        """In the order of their turns. Puts into `rows` which ones they are."""
        blocks: set[int] = set()
        for row in self._order.turns(prompts):
            if not row.prefill:
                # A single token: its turn takes no time.
                continue
            left = len(row.prefill) - depth
            if not row.shares or not 0 < left <= SHORT_TOKENS_MAX:
                return
            found = self._found(row)
            if found < depth or (row.has_begun and row.done != depth):
                return
            block = self._common.block_at(row, depth)
            if self._prefixes.keeps and block in blocks:
                return
            if self._common.is_block_between(depth, found):
                return
            if block is not None:
                blocks.add(block)
            repeated = found - depth
            if rows:
                repeated = max(repeated, self._common_tokens(row, rows[0]) - depth)
            rows.append(row)
            yield ShortPrompt(left, repeated)

    def _found(self, row: Row) -> int:
        """Tokens that it has, or would have after its turn had begun."""
        if row.has_begun:
            return max(row.done, row.available)
        return max(row.available, self._prefixes.peek([*row.prefill, row.last], row.request.salt))

    def _common_tokens(self, row: Row, first: Row) -> int:
        """What it could take over from the first, if that were computed before."""
        if row.request.salt != first.request.salt or not self._prefixes.keeps:
            return 0
        return self._prefixes.found_at_once(common_tokens(row.prefill, first.prefill))


def common_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    most = min(len(one), len(other))
    return bisect_left(range(most), True, key=lambda i: one[: i + 1] != other[: i + 1])
