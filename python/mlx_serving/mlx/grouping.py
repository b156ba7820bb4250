"""Which rows share a cache, and so a forward pass. Pure arithmetic over their lengths.

A shared cache is as long for every row as for the longest, and that padding is memory which is
copied when a row joins, when one leaves and when the cache grows: every stream waits for it. A
group of its own costs one more forward pass a step instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# More passes a step than that cost more than any padding.
GROUPS_MAX: Final = 4
# Padding that a join may bring, by the time it takes to copy it at about 1 and 100 GB/s.
PADDING_BYTES_MAX_CPU: Final = 64 << 20
PADDING_BYTES_MAX_GPU: Final = 8 << 30


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of a group: tokens of its longest row, and how many rows it has."""

    tokens: int
    rows: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """`alone`: no two rows of this model may share a cache."""

    bytes_per_token: float = 0.0
    padding_bytes_max: float = PADDING_BYTES_MAX_CPU
    alone: bool = False

    def place(self, tokens: int, groups: Sequence[Lengths]) -> int | None:
        """The group for a row of so many tokens, or None: one of its own."""
        if self.alone or not groups:
            return None
        paddings = [padding_tokens(tokens, group) for group in groups]
        least = min(paddings)
        fits = least * self.bytes_per_token <= self.padding_bytes_max
        return paddings.index(least) if fits or len(groups) >= GROUPS_MAX else None


def padding_tokens(tokens: int, group: Lengths) -> int:
    """What a row of so many tokens would add to the group, in tokens of padding."""
    if tokens > group.tokens:
        return (tokens - group.tokens) * group.rows
    return group.tokens - tokens
