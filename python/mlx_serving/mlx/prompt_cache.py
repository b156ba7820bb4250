"""The port of the prompt cache: caches of computed prompts, for prompts that begin alike.

The engine knows this port alone. How an implementation finds and shares prefixes is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .caches import Cache


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


class PromptCache(Protocol):
    def peek(self, tokens: Sequence[int], unit_tokens: int) -> int:
        """How many tokens `match` would give. Nothing is copied, and nothing counts as used."""
        ...

    def match(self, tokens: Sequence[int], unit_tokens: int) -> Match | None:
        """The longest beginning of these tokens that can be used, in whole units; None: there is
        none."""
        ...

    def insert(self, tokens: Sequence[int], cache: Cache) -> None:
        """Keeps the cache of exactly these tokens, which is no longer the caller's; or drops it,
        where it is too big or one that is kept stands for it."""
        ...

    def evict(self, size_bytes: int) -> int:
        """Gives so many bytes back, or all there are; the least recently used ones first. How many
        bytes it were."""
        ...

    def figures(self) -> PromptCacheFigures: ...

    def check(self) -> None:
        """Raises `AssertionError` where the cache contradicts itself. For tests."""
        ...
