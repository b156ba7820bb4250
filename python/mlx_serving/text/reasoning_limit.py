"""How much a model may reason: where the budget is spent, the end of its reasoning is what comes
next. A function of the tokens alone, so that it is the same after a resume. Knows no text.
"""

from __future__ import annotations

from collections.abc import Sequence


class ReasoningLimit:
    """Of one answer. `budget`: tokens that may be read inside of reasoning; `closing`: the tokens
    that end it, at least one. Those are not the model's, and take nothing of the budget."""

    def __init__(self, budget: int, closing: Sequence[int]) -> None:
        self._left = budget
        self._closing = tuple(closing)
        # Which of them comes next; none while the model goes on by itself.
        self._place: int | None = None

    @property
    def forced(self) -> int | None:
        """The token that comes next, whatever the model would say; None where it may go on."""
        return None if self._place is None else self._closing[self._place]

    @property
    def may_force(self) -> bool:
        """Whether a token may be forced after the next one that is taken, or is forced now."""
        return self._left <= 1

    def begin(self, in_reasoning: bool) -> None:
        """`in_reasoning`: where the answer begins."""
        self._check(in_reasoning, 0)

    def take(self, reasoned: bool, in_reasoning: bool, written: int) -> None:
        """A token. `reasoned`: it was read inside of reasoning; `in_reasoning`: what follows is;
        `written`: how many of the closing tokens are there already, said by the model itself."""
        if self._place is not None:
            self._place += 1
            if self._place < len(self._closing):
                return
            self._place = None
        elif reasoned:
            self._left -= 1
        self._check(in_reasoning, written)

    def _check(self, in_reasoning: bool, written: int) -> None:
        if in_reasoning and self._left <= 0:
            self._place = written
