"""What prompts that are prefilled at the same time have in common: how far one can go on from what
another has computed.

Each prompt has a chain of hashes, one for each whole block of tokens and all before it: where two
chains are equal, so are the prompts so far, and their owners. What is said here is a belief: what a
row really gets, the prompt cache compares token by token. Knows no cache and no model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import lcm
from typing import Protocol, TypeVar

from ..text.block_hashes import BLOCK_TOKENS
from ..tokens import pack_tokens


class Prompt(Protocol):
    chain: Sequence[int]
    """Empty: it has nothing in common with others."""
    done: int
    """Tokens that are in its own cache."""
    available: int
    """Tokens that are there, or in a cache that it can go on from."""


P = TypeVar("P", bound=Prompt)


class CommonPrefixes:
    def __init__(self, unit_tokens: int) -> None:
        """`unit_tokens`: of what another has computed whole units are used."""
        self._block_tokens = lcm(BLOCK_TOKENS, unit_tokens)

    def chain(self, tokens: list[int], owner: str = "") -> list[int]:
        """Prompts of different owners have nothing in common."""
        packed, size = pack_tokens(tokens), 4 * self._block_tokens
        chain: list[int] = []
        before = hash(owner)
        for end in range(size, len(packed) + 1, size):
            before = hash((before, packed[end - size : end]))
            chain.append(before)
        return chain

    def usable_tokens(self, prompt: Prompt, source: Prompt) -> int:
        """How far a prompt can go on from what is in another's cache."""
        one, other = prompt.chain, source.chain
        most = min(len(one), len(other), source.done // self._block_tokens)
        # Chains that differ once differ from there on.
        common = bisect_left(range(most), True, key=lambda i: one[i] != other[i])
        return self._block_tokens * common

    def block_at(self, prompt: Prompt, tokens: int) -> int | None:
        """The hash of its first block that so many of its tokens don't fill, and of all before."""
        block = tokens // self._block_tokens
        return prompt.chain[block] if block < len(prompt.chain) else None

    def is_block_between(self, tokens: int, more: int) -> bool:
        """Whether more tokens fill a block that these don't."""
        return more // self._block_tokens > tokens // self._block_tokens

    def came(self, prompt: Prompt, others: Iterable[Prompt]) -> None:
        """What these have computed is available to it."""
        for other in others:
            prompt.available = max(prompt.available, self.usable_tokens(prompt, other))

    def computed(self, source: Prompt, others: Iterable[Prompt]) -> None:
        """It has gone on, and with it what is available to these, if they have that in common."""
        chain, size = source.chain, self._block_tokens
        blocks = min(len(chain), source.done // size)
        for prompt in others:
            block = prompt.available // size
            end = min(blocks, len(prompt.chain))
            while block < end and prompt.chain[block] == chain[block]:
                block += 1
            prompt.available = max(prompt.available, block * size)

    def best_source(self, prompt: Prompt, others: Sequence[P]) -> P | None:
        """The one from whose cache it can go on farthest; None: from none of them."""
        best = max(others, key=lambda other: self.usable_tokens(prompt, other), default=None)
        usable = 0 if best is None else self.usable_tokens(prompt, best)
        return best if usable > prompt.done else None
