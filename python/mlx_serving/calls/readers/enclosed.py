"""Finds where a value ends in a list of arguments, over nested brackets and strings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

OPENING: Final = "([{"
CLOSING: Final = ")]}"


def value_end(text: str, at: int, quotes: Sequence[str]) -> int:
    """The comma or closing bracket after a value; -1: not there yet. Between `quotes` nothing
    counts; a backslash takes the sign after it along where the quote is one character."""
    signs = "|".join(re.escape(sign) for sign in (*quotes, *OPENING, *CLOSING, ","))
    pattern = re.compile(signs)
    depth = 0
    while (found := pattern.search(text, at)) is not None:
        sign, at = found[0], found.end()
        if sign in quotes:
            at = quoted_end(text, at, sign)
            if at < 0:
                return -1
        elif sign in OPENING:
            depth += 1
        elif depth == 0:
            return found.start()
        elif sign in CLOSING:
            depth -= 1
    return -1


def quoted_end(text: str, at: int, quote: str) -> int:
    """After the closing quote; -1: not there yet."""
    if len(quote) > 1:
        end = text.find(quote, at)
        return -1 if end < 0 else end + len(quote)
    while at < len(text):
        if text[at] == quote:
            return at + 1
        at += 2 if text[at] == "\\" else 1
    return -1
