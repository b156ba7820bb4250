"""Keyword arguments as in Python, `city="Oslo", days=7`, as one JSON object."""

from __future__ import annotations

import re
from typing import Final

from ..literals import skip_spaces
from ..values import ALL, as_json, escaped, value_json
from .enclosed import value_end
from .reader import Read

_KEY: Final = re.compile(r"\s*([^\s=,()]+)\s*=\s*")
_PLAIN: Final = re.compile(r"[^\\\"']+")
_ESCAPE: Final = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|[^xuU0-7]|[0-7]{1,3}(?=[^0-7]))",
    re.S,
)
_SAME_IN_JSON: Final = frozenset("nrtbf\\/")
_PYTHON_ALONE: Final = {"a": "\\u0007", "v": "\\u000b", "\n": "", "'": "'", '"': '\\"'}


class PythonicReader:
    def __init__(self) -> None:
        self._begun = self._any = False
        self._quote = ""
        self._in_value = False

    def read(self, text: str, at: int) -> Read:
        out: list[str] = []
        if not self._begun:
            self._begun = True
            out.append("{")
        while True:
            if self._quote:
                json, at, ended = self._string(text, at)
                out.append(json)
                if not ended:
                    return Read("".join(out), at, False)
                continue
            if self._in_value:
                step = self._value(text, at)
            else:
                at = _past_commas(text, at)
                if at < len(text) and text[at] == ")":
                    return Read("".join(out) + "}", at, True)
                step = self._key(text, at)
            if step is None:
                return Read("".join(out), at, False)
            json, at = step
            out.append(json)

    def _key(self, text: str, at: int) -> tuple[str, int] | None:
        found = _KEY.match(text, at)
        if found is None or found.end() == len(text):
            return None
        comma = ", " if self._any else ""
        self._any = self._in_value = True
        return f"{comma}{as_json(found[1])}: ", found.end()

    def _value(self, text: str, at: int) -> tuple[str, int] | None:
        if text[at] in "'\"":
            self._quote = text[at]
            return '"', at + 1
        end = value_end(text, at, ("'", '"'))
        if end < 0:
            return None
        self._in_value = False
        return value_json(text[at:end].strip(), ALL), end

    def _string(self, text: str, at: int) -> tuple[str, int, bool]:
        """A string as it is made: JSON's escapes are Python's, but for a few."""
        out: list[str] = []
        while at < len(text):
            plain = _PLAIN.match(text, at)
            if plain is not None:
                out.append(escaped(plain[0]))
                at = plain.end()
            elif text[at] == self._quote:
                self._quote = ""
                self._in_value = False
                out.append('"')
                return "".join(out), at + 1, True
            elif text[at] != "\\":
                out.append(escaped(text[at]))
                at += 1
            else:
                found = _ESCAPE.match(text, at)
                if found is None:
                    break
                out.append(_json_escape(found[0][1:]))
                at = found.end()
        return "".join(out), at, False


def _json_escape(escape: str) -> str:
    sign = escape[0]
    if sign in _SAME_IN_JSON:
        return f"\\{sign}"
    if sign in _PYTHON_ALONE:
        return _PYTHON_ALONE[sign]
    if sign == "u" and len(escape) > 1:
        return f"\\{escape}"
    if sign in "xU" and len(escape) > 1:
        code = int(escape[1:], 16)
        return escaped(chr(code)) if code <= 0x10FFFF else "\ufffd"
    if sign in "01234567":
        return escaped(chr(int(escape, 8)))
    # No escape of Python's: the backslash stands for itself.
    return f"\\\\{escaped(sign)}"


def _past_commas(text: str, at: int) -> int:
    at = skip_spaces(text, at)
    while at < len(text) and text[at] == ",":
        at = skip_spaces(text, at + 1)
    return at
