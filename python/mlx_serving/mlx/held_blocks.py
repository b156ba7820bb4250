"""Which blocks of prompts a prompt cache holds, by the hashes that the orchestrator knows them by:
it is told what has come and what has gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .prompt_cache import BlockChanges


class HeldBlocks:
    """A block may be held more than once; it is gone when nothing holds it any more."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        # Those that came or went since they were told, and whether they were told as held.
        self._told: dict[str, bool] = {}

    def add(self, hashes: Iterable[str]) -> None:
        for one in hashes:
            self._told.setdefault(one, one in self._counts)
            self._counts[one] += 1

    def drop(self, hashes: Iterable[str]) -> None:
        for one in hashes:
            self._told.setdefault(one, True)
            self._counts[one] -= 1
            if not self._counts[one]:
                del self._counts[one]

    def changes(self) -> BlockChanges:
        """Since the last call."""
        told, self._told = self._told, {}
        kept = [one for one, was in told.items() if not was and one in self._counts]
        evicted = [one for one, was in told.items() if was and one not in self._counts]
        return BlockChanges(kept, evicted)
