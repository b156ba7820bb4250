"""Which rows share a cache, and so a forward pass. Pure arithmetic over their lengths.

A shared cache is as long for every row as for the longest, and that padding is memory which is
copied when a row joins, when one leaves and when the cache grows: every stream waits for it. A
group of its own costs one more forward pass a step instead. Where memory has no room for padding,
rows have groups of their own, however many that makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

# More passes a step than that cost more than any padding.
GROUPS_MAX: Final = 4
# Padding that a join may bring, by the time it takes to copy it at about 1 and 100 GB/s.
PADDING_BYTES_MAX_CPU: Final = 64 << 20
PADDING_BYTES_MAX_GPU: Final = 8 << 30
# All padding together, of the memory that rows have; or of the tokens that are there. On a GPU one
# more pass costs as much as the step, so there padding may take all that is left.
PADDING_OF_MEMORY_CPU: Final = 1 / 16
PADDING_OF_MEMORY_GPU: Final = 1.0
PADDING_OF_TOKENS: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of a group: tokens of its longest row, and how many rows it has."""

    tokens: int
    rows: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """`alone`: no two rows of this model may share a cache; `apart_tokens`: a row of so many tokens
    keeps arrays of its own, which are read where they lie."""

    bytes_per_token: float = 0.0
    padding_bytes_max: float = PADDING_BYTES_MAX_CPU
    alone: bool = False
    all_padding_bytes_max: float = inf
    apart_tokens: float = inf

    def place(
        self,
        tokens: int,
        groups: Sequence[Lengths],
        *,
        padded_tokens: int = 0,
        whole_tokens: int = 0,
        spare_tokens: float = inf,
    ) -> int | None:
        """The group for a row of so many tokens, or None: one of its own. All rows together have
        `whole_tokens`, and are padded by `padded_tokens`; there is room for `spare_tokens` more."""
        if self.alone or not groups:
            return None
        paddings = [padding_tokens(tokens, group) for group in groups]
        least = min(paddings)
        if least > spare_tokens:
            return None
        allowed = max(
            self.all_padding_bytes_max,
            PADDING_OF_TOKENS * (whole_tokens + tokens) * self.bytes_per_token,
        )
        fits = (
            least * self.bytes_per_token <= self.padding_bytes_max
            and (padded_tokens + least) * self.bytes_per_token <= allowed
        )
        return paddings.index(least) if fits or len(groups) >= GROUPS_MAX else None


def padding_tokens(tokens: int, group: Lengths) -> int:
    """What a row of so many tokens would add to the group, in tokens of padding."""
    if tokens > group.tokens:
        return (tokens - group.tokens) * group.rows
    return group.tokens - tokens
