"""One answer on its way through a grammar: which tokens may come next, and what has come.

A matcher is a function of the tokens that it took, so an answer that goes on elsewhere is at the
same place there. It never raises: what goes wrong is its `error`, and it allows nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llguidance import LLMatcher

ERROR_CHARACTERS_MAX: Final = 300
WORD_BYTES: Final = 4
WORD_BITS: Final = 32


class Matcher:
    __slots__ = (
        "_first",
        "_kept",
        "_matcher",
        "_size",
        "done",
        "error",
        "is_worn",
        "mask_seconds",
        "masks",
    )

    def __init__(
        self,
        matcher: LLMatcher,
        vocabulary: int,
        first: bytes | None = None,
        kept: Matcher | None = None,
    ) -> None:
        """`vocabulary`: width of the logits. `first`: the mask before the first token. `kept`: the
        one that it is a copy of."""
        self._kept = kept
        self._matcher = matcher
        self._size = (vocabulary + WORD_BITS - 1) // WORD_BITS * WORD_BYTES
        self._first = first
        self.error: str | None = None
        self.is_worn = False
        """A copy has failed: what copies share has reached a limit."""
        self.done = False
        """All is said: only an end could follow."""
        self.masks = 0
        self.mask_seconds = 0.0

    def accept(self, tokens: Sequence[int]) -> None:
        """Tokens that have come; they go on from those before."""
        if self.error is not None or not tokens:
            return
        self._first = None
        if not self._matcher.consume_tokens(list(tokens)):
            self._fail()
        elif self._matcher.is_stopped():
            self._stopped()

    def mask(self) -> bytes | None:
        """A bit for every token that may come next, in words of 32, lowest first. None after an
        error."""
        if self.error is not None:
            return None
        if self._first is None:
            start = perf_counter()
            self._first = self._computed()
            self.mask_seconds += perf_counter() - start
        self.masks += 1
        return self._first

    @property
    def vocabulary(self) -> int:
        """Width of the logits, up to a whole word."""
        return self._size // WORD_BYTES * WORD_BITS

    def copy(self) -> Matcher:
        """Where this one is; the grammar is shared, and what was found out about its texts."""
        return Matcher(self.fork(), self.vocabulary, self._first, self)

    def fork(self) -> LLMatcher:
        return self._matcher.deep_copy()

    def _computed(self) -> bytes | None:
        mask = self._matcher.compute_bitmask()[: self._size]
        if self._matcher.is_error():
            self._fail()
        elif not any(mask):
            self.error = "nothing may follow in the grammar"
        return None if self.error is not None else mask

    def _stopped(self) -> None:
        if self._matcher.is_error():
            self._fail()
        elif self._matcher.is_accepting():
            self.done = True
        else:
            self.error = f"the grammar has stopped: {self._matcher.stop_reason()}"

    def _fail(self) -> None:
        if self._kept is not None:
            self._kept.is_worn = True
        said = self._matcher.get_error().partition("\n")[0].strip()
        self.error = said[:ERROR_CHARACTERS_MAX] or "the grammar does not go on"
