"""Which prompt is prefilled next. Pure arithmetic over lengths; time is counted in tokens.

One prompt at a time, the one with the fewest tokens to go: no order has a lower mean. A class of
priority goes before the next one. Two things temper it:
- Those that are hardly longer than the shortest are equal to it, and the first that came goes
  first: else each next turn of a conversation, a little shorter, would go before others' first.
- A prompt that others have been put before for long is overdue. Of the tokens that are computed
  while there are such, the one that came first gets a share, whatever its length and its class. So
  each is done after a bounded number of tokens, and a short one is never behind a whole long one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Final, Protocol, TypeVar

# What the prompts that are overdue get.
OVERDUE_SHARE: Final = 0.25
# A prompt is overdue once so many times the tokens that it needs were computed since it came, by
# its class, or so many tokens where it needs few.
PATIENCE: Final = (2, 4, 16)
PATIENCE_TOKENS_MIN: Final = 2048
# So many times as long as the shortest one, or so many tokens longer, is as good as equal to it.
EQUAL_FACTOR: Final = 1.5
EQUAL_TOKENS: Final = 128


class Prompt(Protocol):
    arrived_tokens: int
    """What the order's clock showed when it came."""
    needed_tokens: int
    """What it had to go then."""

    @property
    def rank(self) -> int:
        """Of its class of priority; 0 goes first."""
        ...

    @property
    def missing_tokens(self) -> int:
        """What is to be computed for it yet."""
        ...


P = TypeVar("P", bound=Prompt)


class PrefillOrder:
    """Prompts are always given in the order in which they came."""

    def __init__(self, overdue_share: float = OVERDUE_SHARE) -> None:
        self._owing = overdue_share / (1 - overdue_share)
        # Tokens computed so far.
        self._clock_tokens = 0
        # Tokens that the first of those that are overdue is to get before others go on.
        self._owed_tokens = 0.0

    def came(self, prompt: Prompt) -> None:
        prompt.arrived_tokens = self._clock_tokens
        prompt.needed_tokens = prompt.missing_tokens

    def next(self, prompts: Sequence[P]) -> P:
        """Whose turn it is; there is at least one."""
        overdue = self._overdue(prompts) if self._owed_tokens > 0 else None
        return overdue or _first_of_the_shortest(prompts)

    def turns(self, prompts: Sequence[P]) -> Iterator[P]:
        """Whose turns these will be, if nothing comes meanwhile and each is computed as a whole."""
        order, waiting = copy(self), list(prompts)
        while waiting:
            prompt = order.next(waiting)
            yield prompt
            order.computed(prompt, prompt.missing_tokens, waiting)
            waiting.remove(prompt)

    def computed(self, prompt: Prompt, tokens: int, prompts: Iterable[Prompt]) -> None:
        """So many tokens of one of these."""
        overdue = self._overdue(prompts)
        self._clock_tokens += tokens
        if overdue is None:
            self._owed_tokens = 0.0
        elif prompt is overdue:
            self._owed_tokens = max(self._owed_tokens, 0.0) - tokens
        else:
            self._owed_tokens += self._owing * tokens

    def _overdue(self, prompts: Iterable[P]) -> P | None:
        """The first that is."""
        return next((prompt for prompt in prompts if self._is_overdue(prompt)), None)

    def _is_overdue(self, prompt: Prompt) -> bool:
        patience = max(PATIENCE_TOKENS_MIN, PATIENCE[prompt.rank] * prompt.needed_tokens)
        return self._clock_tokens - prompt.arrived_tokens >= patience


def _first_of_the_shortest(prompts: Sequence[P]) -> P:
    """Of the best class."""
    rank, shortest = min((prompt.rank, prompt.missing_tokens) for prompt in prompts)
    longest = max(EQUAL_FACTOR * shortest, shortest + EQUAL_TOKENS)
    return next(
        prompt for prompt in prompts if prompt.rank == rank and prompt.missing_tokens <= longest
    )
