"""Arguments that are JSON: told as they are."""

from __future__ import annotations

import json
import re
from typing import Final

from ..literals import skip_spaces
from .reader import Read

_SIGNS: Final = re.compile(r'["\\{}\[\]]')
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_SCALAR_END: Final = re.compile(r"[\s,}\]<]")


class JsonScanner:
    """Finds the end of an object or a list, over any number of pieces."""

    __slots__ = ("_depth", "_escaped", "_string")

    def __init__(self) -> None:
        self._depth = 0
        self._string = False
        self._escaped = False

    def end(self, text: str, at: int) -> int:
        """Where the value ends that began in this or an earlier piece; -1: not in this one.
        Pieces follow each other without a gap."""
        if at >= len(text):
            return -1
        if self._escaped:
            # The piece before ended in a backslash.
            at += 1
            self._escaped = False
        search = _SIGNS.search
        while (found := search(text, at)) is not None:
            sign, at = text[found.start()], found.end()
            if self._string:
                if sign == '"':
                    self._string = False
                elif sign == "\\":
                    if at == len(text):
                        self._escaped = True
                        return -1
                    at += 1
            elif sign == '"':
                self._string = True
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    return at
        return -1


class JsonReader:
    __slots__ = ("_scanner",)

    def __init__(self) -> None:
        self._scanner: JsonScanner | None = None

    def read(self, text: str, at: int) -> Read:
        if self._scanner is None:
            at = skip_spaces(text, at)
            if at == len(text):
                return Read("", at, False)
            if text[at] != "{":
                return _other(text, at)
            self._scanner = JsonScanner()
        end = self._scanner.end(text, at)
        if end < 0:
            return Read(text[at:], len(text), False)
        return Read(text[at:end], end, True)


def _other(text: str, at: int) -> Read:
    """A string that holds the arguments' JSON, or a value that is none: told whole."""
    if text[at] == '"':
        found = _STRING.match(text, at)
        if found is None:
            return Read("", at, False)
        try:
            return Read(str(json.loads(found[0], strict=False)), found.end(), True)
        except ValueError:
            return Read(found[0], found.end(), True)
    end = _SCALAR_END.search(text, at)
    if end is None:
        return Read("", at, False)
    scalar = text[at : end.start()]
    return Read("{}" if scalar == "null" else scalar, end.start(), True)
