"""Fixed texts of a format in what a model has written: spaces and line ends don't count, since
models leave them out or add some.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .format import ID, INDEX_FROM_0, INDEX_FROM_1

MORE: Final = -1
"""The text ends before it can be told."""
NO: Final = -2

_ID_END: Final = re.compile(r"[^\w-]")
_INDEX_END: Final = re.compile(r"[^0-9]")
_SLOT_ENDS: Final = {ID: _ID_END, INDEX_FROM_0: _INDEX_END, INDEX_FROM_1: _INDEX_END}


def match(literal: str, text: str, at: int) -> int:
    """Where `literal` ends in `text` if it begins at `at`, else `MORE` or `NO`. What follows the
    last character that counts is left."""
    end = len(text)
    for expected in literal:
        if expected.isspace():
            continue
        while at < end and text[at].isspace():
            at += 1
        if at == end:
            return MORE
        slot = _SLOT_ENDS.get(expected)
        if slot is not None:
            found = slot.search(text, at)
            if found is None:
                return MORE
            if found.start() == at:
                return NO
            at = found.start()
        elif text[at] != expected:
            return NO
        else:
            at += 1
    return at


def skip_spaces(text: str, at: int) -> int:
    end = len(text)
    while at < end and text[at].isspace():
        at += 1
    return at


def held(text: str, mark: str, at: int = 0) -> int:
    """Where the longest end of `text` begins that may be the beginning of `mark`."""
    begin = text.find(mark[0], max(at, len(text) - len(mark) + 1))
    while begin >= 0:
        if mark.startswith(text[begin:]):
            return begin
        begin = text.find(mark[0], begin + 1)
    return len(text)


def shared_start(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)
    for index, character in enumerate(first):
        if character != last[index]:
            return first[:index]
    return first


def shared_end(one: str, other: str) -> str:
    return shared_start([one[::-1], other[::-1]])[::-1]


def first_word(literal: str) -> str:
    """Up to the first space or slot: what a search may look for."""
    for index, character in enumerate(literal):
        if character.isspace() or character in _SLOT_ENDS:
            return literal[:index]
    return literal
