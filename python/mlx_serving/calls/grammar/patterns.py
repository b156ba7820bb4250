"""Regular expressions, read by Python's own parser and written for llguidance: in terms that every
engine knows, with classes of ASCII as JSON Schema has them, as text or escaped as in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final

Ranges = list[tuple[int, int]]
"""A set of characters."""
Encode = Callable[[Ranges], str]
"""How one character of a set is written, as a pattern."""

_NAMED_ESCAPES: Final = {
    "\n": "n",
    "\r": "r",
    "\t": "t",
    "\b": "b",
    "\f": "f",
    '"': '"',
    "\\": "\\",
}
_CLASSES: Final = {
    sre.CATEGORY_DIGIT: "0-9",
    sre.CATEGORY_WORD: "0-9A-Za-z_",
    sre.CATEGORY_SPACE: " \t\n\r\f",
}
_BY_NUMBER: Final = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}")
NOTHING: Final = r"[^\s\S]"
_LAST: Final = 0x10FFFF
_META: Final = frozenset(r"\.+*?()|[]{}^$/-")


class Untranslatable(Exception):
    """A pattern or grammar that can't be rewritten; the message says why."""


def translated(pattern: str, encode: Encode, dot_all: bool = False) -> str:
    """A pattern without anchors. Raises `Untranslatable`."""
    try:
        tree = sre_parser.parse(_of_python(pattern), re.S if dot_all else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise Untranslatable(f"the pattern can't be read: {pattern[:100]}") from error
    return _sequence(tree, encode, dot_all)


def _of_python(pattern: str) -> str:
    """`\\u{2d}`, as other engines have a character by its number, in Python's way."""
    return _BY_NUMBER.sub(lambda hit: f"\\U{int(hit[1], 16):08x}", pattern.replace("\\/", "/"))


def text_pattern(text: str, encode: Encode, any_case: bool = False) -> str:
    """A pattern of just this text."""
    return "".join(encode(_of_case(ord(c), any_case)) for c in text)


def _of_case(code: int, any_case: bool) -> Ranges:
    character = chr(code)
    forms = {character, character.lower(), character.upper()} if any_case else {character}
    return sorted((ord(form), ord(form)) for form in forms if len(form) == 1)


def _sequence(nodes: Any, encode: Encode, dot_all: bool) -> str:
    return "".join(_node(node, argument, encode, dot_all) for node, argument in nodes)


def _node(node: Any, argument: Any, encode: Encode, dot_all: bool) -> str:
    if node is sre.LITERAL:
        return encode([(argument, argument)])
    if node is sre.NOT_LITERAL:
        return encode(_complement([(argument, argument)]))
    if node is sre.ANY:
        return encode([(0, _LAST)] if dot_all else _complement([(10, 10)]))
    if node is sre.IN:
        return encode(_ranges(argument))
    if node is sre.BRANCH:
        return f"(?:{'|'.join(_sequence(part, encode, dot_all) for part in argument[1])})"
    if node is sre.SUBPATTERN:
        _, add, remove, part = argument
        if add & ~re.S or remove:
            raise Untranslatable("a group with flags")
        return f"(?:{_sequence(part, encode, dot_all or bool(add & re.S))})"
    if node in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, most, part = argument
        upper = "" if most is sre.MAXREPEAT else str(int(most))
        return f"(?:{_sequence(part, encode, dot_all)}){{{least},{upper}}}" + (
            "?" if node is sre.MIN_REPEAT else ""
        )
    raise Untranslatable(f"a pattern with {str(node).lower()}")


# --- sets of characters, as sorted ranges ---


def _ranges(items: Any) -> Ranges:
    found: Ranges = []
    negated = False
    for kind, value in items:
        if kind is sre.NEGATE:
            negated = True
        elif kind is sre.LITERAL:
            found.append((value, value))
        elif kind is sre.RANGE:
            found.append((value[0], value[1]))
        elif kind is sre.CATEGORY:
            found += _category(value)
        else:
            raise Untranslatable("a class of characters of its own kind")
    return _complement(found) if negated else found


def _category(value: Any) -> Ranges:
    for category, text in _CLASSES.items():
        positive = _ranges(dict(sre_parser.parse(f"[{text}]"))[sre.IN])
        if value is category:
            return positive
        if str(value) == str(category).replace("CATEGORY_", "CATEGORY_NOT_"):
            return _complement(positive)
    raise Untranslatable("a class of characters of its own kind")


def _complement(ranges: Ranges) -> Ranges:
    out: Ranges = []
    at = 0
    for first, last in sorted(ranges):
        if first > at:
            out.append((at, first - 1))
        at = max(at, last + 1)
    if at <= _LAST:
        out.append((at, _LAST))
    return out


def as_text(ranges: Ranges) -> str:
    """One of these."""
    keep = _meet(ranges, _complement([(0xD800, 0xDFFF)]))
    return f"[{''.join(_range(a, b) for a, b in keep)}]" if keep else NOTHING


def in_json(ranges: Ranges) -> str:
    """One of these, as JSON has it: as it is, or by an escape."""
    plain = _plain(ranges)
    options: list[str] = []
    if plain:
        options.append(f"[{''.join(_range(a, b) for a, b in plain)}]")
    for character, letter in _NAMED_ESCAPES.items():
        if _holds(ranges, ord(character)):
            options.append(f"\\\\{_quoted(letter)}")
    if len(options) == 1:
        return options[0]
    return f"(?:{'|'.join(options)})" if options else NOTHING


def _plain(ranges: Ranges) -> Ranges:
    """Without what JSON writes by an escape."""
    return _meet(ranges, _complement([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0xD800, 0xDFFF)]))


def _meet(ranges: Ranges, others: Ranges) -> Ranges:
    return [
        (max(a, c), min(b, d))
        for a, b in sorted(ranges)
        for c, d in others
        if max(a, c) <= min(b, d)
    ]


def _holds(ranges: Ranges, code: int) -> bool:
    return any(first <= code <= last for first, last in ranges)


def _range(first: int, last: int) -> str:
    return _code(first) if first == last else f"{_code(first)}-{_code(last)}"


def _code(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isprintable():
        return _quoted(character)
    return f"\\x{{{code:x}}}"


def _quoted(character: str) -> str:
    return f"\\{character}" if character in _META else character
