"""What the fake engine is told to say, as its tokens: words that it has, and bytes for the rest."""

from __future__ import annotations

import re
from typing import Final

from ..engine import Forcing
from .text import END_TOKEN, PIECES, REASONING_END, WORD_FIRST

_TOKENS: Final = {PIECES[id].decode(): id for id in range(WORD_FIRST, END_TOKEN)}
_LONGEST_FIRST: Final = sorted(_TOKENS, key=lambda word: (-len(word), word))
# A word that goes on is another one.
_PART: Final = re.compile(rf"(?:{'|'.join(map(re.escape, _LONGEST_FIRST))})(?![a-z])|.", re.S)


def script_tokens(say: str) -> list[int]:
    """The whole answer, with the token that ends it."""
    tokens: list[int] = []
    for part in _PART.findall(say):
        token = _TOKENS.get(part)
        tokens += part.encode() if token is None else [token]
    return [*tokens, END_TOKEN]


def within_limits(script: list[int], forcing: Forcing) -> list[int]:
    """What is said of a script where tokens are forced: the end of its reasoning, after which it
    goes on with what follows its own. `forcing`: of an answer that has not begun."""
    said: list[int] = []
    at = 0
    while at < len(script):
        if forcing.forced is None:
            said.append(script[at])
            forcing.take(len(said) - 1, script[at])
            at += 1
            continue
        while forcing.forced is not None:
            said.append(forcing.forced)
            forcing.take(len(said) - 1, forcing.forced)
        at = _after_reasoning(script, at)
    return said


def _after_reasoning(script: list[int], at: int) -> int:
    """Behind the mark that ends its reasoning; it may be in the middle of it. Its last token, if it
    never ends it."""
    length = len(REASONING_END)
    for begin in range(max(0, at - length + 1), len(script)):
        if tuple(script[begin : begin + length]) == REASONING_END:
            return begin + length
    return max(at, len(script) - 1)
