"""What the fake engine says under a grammar: something short that is valid, so that clients get
what they asked for without a model.

As everywhere in this engine a token depends on the prompt, its place and, here, on what the grammar
allows there.
"""

from __future__ import annotations

from typing import Final

from .text import COMMA, END_TOKEN, STOP, WORD_FIRST, mixed

# Whatever comes to an end goes first, the whole before its parts.
CLOSING: Final[tuple[int, ...]] = (END_TOKEN, *b'}]",')
CLOSING_TEXT: Final[tuple[int, ...]] = (END_TOKEN, *b'"')
PLAIN: Final[tuple[int, ...]] = (
    *range(WORD_FIRST, COMMA),
    *b"abcdefghijklmnopqrstuvwxyz",
    *b"123456789",
)
REST: Final[tuple[int, ...]] = (*b":{[", *range(256), COMMA, STOP)


def constrained_token(mask: bytes, key: int, index: int) -> int:
    """The next token. `mask`: those that the grammar allows; `key`: the prompt's hash."""

    def is_allowed(token: int) -> bool:
        return bool(mask[token >> 3] >> (token & 7) & 1)

    # Where a bracket may stand beside a letter it closes nothing.
    in_text = is_allowed(ord("a")) and is_allowed(ord("}"))
    for token in CLOSING_TEXT if in_text else CLOSING:
        if is_allowed(token):
            return token
    plain = [token for token in PLAIN if is_allowed(token)]
    if plain:
        return plain[mixed(key, index) % len(plain)]
    return next((token for token in REST if is_allowed(token)), END_TOKEN)
