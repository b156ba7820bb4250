"""A call that is one JSON object, with name and arguments among its members in any order."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from .format import JsonObject
from .literals import MORE, NO, skip_spaces
from .readers.json_value import JsonScanner

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_SCALAR: Final = re.compile(r"[^\s,{}\[\]\"]+(?=[\s,}])")


@dataclass(frozen=True, slots=True)
class Head:
    """`at`: where the arguments begin, or the object has ended; then `arguments` is their text."""

    name: str
    at: int
    arguments: str | None = None


def read_head(style: JsonObject, text: str, at: int) -> Head | int:
    """Members up to the arguments; `MORE` or `NO`."""
    at = skip_spaces(text, at)
    if at == len(text):
        return MORE
    if text[at] != "{":
        return NO
    at = skip_spaces(text, at + 1)
    name: str | None = None
    arguments: str | None = None
    while at < len(text):
        if text[at] == "}":
            return NO if name is None else Head(name, at + 1, arguments or "{}")
        member = _key(text, at)
        if isinstance(member, int):
            return member
        key, at = member
        if key == style.arguments_key and name is not None:
            return Head(name, at)
        end = value_end(text, at)
        if end < 0:
            return end
        if key == style.name_key:
            name = _string(text[at:end])
            if not name:
                return NO
        elif key == style.arguments_key:
            arguments = text[at:end]
        at = skip_spaces(text, end)
        if at < len(text) and text[at] == ",":
            at = skip_spaces(text, at + 1)
        elif at < len(text) and text[at] != "}":
            return NO
    return MORE


def read_tail(text: str, at: int) -> int:
    """After the object whose members go on at `at`; `MORE` or `NO`."""
    at = skip_spaces(text, at)
    while at < len(text):
        if text[at] == "}":
            return at + 1
        if text[at] != ",":
            return NO
        member = _key(text, skip_spaces(text, at + 1))
        if isinstance(member, int):
            return member
        end = value_end(text, member[1])
        if end < 0:
            return end
        at = skip_spaces(text, end)
    return MORE


def value_end(text: str, at: int) -> int:
    if at == len(text):
        return MORE
    if text[at] in "{[":
        end = JsonScanner().end(text, at)
        return MORE if end < 0 else end
    if text[at] == '"':
        found = _STRING.match(text, at)
        return MORE if found is None else found.end()
    found = _SCALAR.match(text, at)
    if found is not None:
        return found.end()
    return MORE if re.fullmatch(r"[^\s,{}\[\]\"]+", text[at:]) else NO


def _key(text: str, at: int) -> tuple[str, int] | int:
    """A member's name and where its value begins."""
    if at == len(text):
        return MORE
    if text[at] != '"':
        return NO
    found = _STRING.match(text, at)
    if found is None:
        return MORE
    at = skip_spaces(text, found.end())
    if at == len(text):
        return MORE
    if text[at] != ":":
        return NO
    at = skip_spaces(text, at + 1)
    return MORE if at == len(text) else (_string(found[0]) or "", at)


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
