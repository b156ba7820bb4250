"""A grammar that waits: an answer is free until what the grammar describes has begun in it.

What sees that is a watch. While the last tokens may be a beginning, only such may follow as begin
nothing or go on as the grammar has it, so that no token holds the end of the beginning and
something that may not follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .matcher import Matcher


class Watch(Protocol):
    """A function of the tokens alone."""

    @property
    def has_begun(self) -> bool: ...

    @property
    def held(self) -> Sequence[int]:
        """The last tokens, from the one on with which a beginning has begun, or may have."""
        ...

    def push(self, token: int) -> None: ...


class LazyMatcher(Matcher):
    __slots__ = ("_beside", "_has_begun", "_watch")

    def __init__(self, kept: Matcher, watch: Watch, beside: bytes) -> None:
        """`beside`: the mask of tokens that begin nothing, whatever the text before: those without
        text."""
        super().__init__(kept.fork(), kept.vocabulary, None, kept)
        self._watch = watch
        self._beside = beside
        self._has_begun = False

    def accept(self, tokens: Sequence[int]) -> None:
        if self._has_begun:
            super().accept(tokens)
            return
        for at, token in enumerate(tokens):
            self._watch.push(token)
            if self._watch.has_begun:
                self._has_begun = True
                super().accept([*self._watch.held, *tokens[at + 1 :]])
                break

    def mask(self) -> bytes | None:
        """None where anything may follow, too."""
        if self._has_begun:
            return super().mask()
        held = self._watch.held
        return self._mask_after(held) if held else None

    def _mask_after(self, held: Sequence[int]) -> bytes | None:
        """None: it can be no beginning."""
        ahead = Matcher(self.fork(), self.vocabulary)
        ahead.accept(held)
        mask = ahead.mask()
        self.masks += ahead.masks
        self.mask_seconds += ahead.mask_seconds
        if mask is None:
            return None
        size = len(mask)
        both = int.from_bytes(mask, "little") | int.from_bytes(self._beside[:size], "little")
        return both.to_bytes(size, "little")
