"""What the fake engine is told to say, as its tokens: words that it has, and bytes for the rest."""

from __future__ import annotations

import re
from typing import Final

from .text import END_TOKEN, PIECES, WORD_FIRST

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
