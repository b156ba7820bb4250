"""The port of the prompt cache: what is computed of prompts, for prompts that begin alike.

The engine knows this port alone. How an implementation finds and shares prefixes is its own affair.
A salt parts what may be shared from what may not: tokens that were computed under one are never
found under another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..engine import PrefixCounts
from .caches import Cache, KvBlock

# A cache that begins with fewer tokens isn't worth the joining.
MATCH_TOKENS_MIN: Final = 8


@dataclass(frozen=True, slots=True)
class Match:
    """The first `tokens` tokens of a prompt are computed in `cache`, which is the caller's own."""

    cache: Cache
    tokens: int


@dataclass(frozen=True, slots=True)
class PromptCacheFigures:
    entries: int
    size_bytes: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class BlockChanges:
    """Hashes of blocks of prompts that are held now, and of those that are held no more."""

    kept: list[str]
    evicted: list[str]


class Source(Protocol):
    """Where a row's tokens are computed: its own cache, or its place in one that it shares. What is
    taken of it are copies, and the row goes on."""

    def blocks(self, borders: Sequence[int]) -> list[KvBlock]:
        """Of the tokens between these places, the first of which are before the first block."""
        ...

    def whole(self) -> Cache: ...


class PromptCache(Protocol):
    @property
    def in_blocks(self) -> bool:
        """Whether a prompt is best inserted again and again while it grows, since only what is new
        is copied. Else each insertion is a record of its own."""
        ...

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        """How many tokens `match` would give now. Copies nothing, and counts as no use."""
        ...

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        """The longest beginning of these tokens that can be used, in whole units; None: there is
        none."""
        ...

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        """Keeps what is computed of exactly these tokens, as far as it has room. Takes from the
        source only what it doesn't have: a prompt may come again and again while it grows."""
        ...

    def evict(self, size_bytes: int) -> int:
        """Gives so many bytes back, or all there are; the least recently used ones first. How many
        bytes it were."""
        ...

    def lend(self, size_bytes: int) -> None:
        """Leaves so much of its room to others, until it is told another number."""
        ...

    def figures(self) -> PromptCacheFigures: ...

    def counts(self) -> PrefixCounts: ...

    def changes(self) -> BlockChanges:
        """Since the last call."""
        ...

    def check(self) -> None:
        """Raises `AssertionError` where the cache contradicts itself. For tests."""
        ...
