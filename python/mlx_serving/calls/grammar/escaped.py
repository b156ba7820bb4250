"""A Lark grammar whose texts are to stand in a JSON string: its literals and patterns are rewritten
so that they give the same texts, escaped.

Patterns are read by Python's own parser of regular expressions; what is written is in the terms
that every engine knows.
"""

from __future__ import annotations

import json
import re
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final

# A string, a pattern with its flags, a comment, or what is neither.
_PIECES: Final = re.compile(
    r'(?P<string>"(?:[^"\\\n]|\\.)*"i?)|(?P<regex>/(?![/*])(?:[^/\\\n]|\\.)+/[imslux]*)'
    r"|(?P<comment>//[^\n]*)|(?P<other>[^\"/]+|.)",
    re.S,
)
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
_LAST: Final = 0x10FFFF
_META: Final = frozenset(r"\.+*?()|[]{}^$/-")


class Unescapable(Exception):
    """The grammar has something that can't be rewritten; the message says what."""


def escaped_lark(lark: str) -> str:
    """Raises `Unescapable`."""
    out: list[str] = []
    for piece in _PIECES.finditer(lark):
        if piece["string"] is not None:
            out.append(_string(piece["string"]))
        elif piece["regex"] is not None:
            out.append(_regex(piece["regex"]))
        elif piece["comment"] is None:
            other = piece["other"]
            if "%json" in other or "%lark" in other or "<[" in other or "%regex" in other:
                raise Unescapable("a grammar with parts of another kind can't stand in JSON")
            out.append(other)
    return "".join(out)


def _string(token: str) -> str:
    flag = "i" if token.endswith("i") else ""
    try:
        text = json.loads(token.removesuffix("i"))
    except ValueError as error:
        raise Unescapable(f"a string of it can't be read: {token}") from error
    return json.dumps(json.dumps(text, ensure_ascii=False)[1:-1], ensure_ascii=False) + flag


def _regex(token: str) -> str:
    body, _, flags = token[1:].rpartition("/")
    if set(flags) - set("su"):
        raise Unescapable(f"a pattern with the flags {flags}")
    try:
        tree = sre_parser.parse(body.replace("\\/", "/"), re.S if "s" in flags else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unescapable(f"a pattern of it can't be read: {body}") from error
    return f"/{_sequence(tree, 's' in flags)}/"


def _sequence(nodes: Any, dot_all: bool) -> str:
    return "".join(_node(node, argument, dot_all) for node, argument in nodes)


def _node(node: Any, argument: Any, dot_all: bool) -> str:
    if node is sre.LITERAL:
        return _characters([(argument, argument)])
    if node is sre.NOT_LITERAL:
        return _characters(_complement([(argument, argument)]))
    if node is sre.ANY:
        return _characters([(0, _LAST)] if dot_all else _complement([(10, 10)]))
    if node is sre.IN:
        return _characters(_ranges(argument))
    if node is sre.BRANCH:
        return f"(?:{'|'.join(_sequence(part, dot_all) for part in argument[1])})"
    if node is sre.SUBPATTERN:
        _, add, remove, part = argument
        if add & ~re.S or remove:
            raise Unescapable("a group with flags")
        return f"(?:{_sequence(part, dot_all or bool(add & re.S))})"
    if node in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        least, most, part = argument
        upper = "" if most is sre.MAXREPEAT else str(int(most))
        return f"(?:{_sequence(part, dot_all)}){{{least},{upper}}}" + (
            "?" if node is sre.MIN_REPEAT else ""
        )
    raise Unescapable(f"a pattern with {str(node).lower()}")


# --- sets of characters, as sorted ranges ---

Ranges = list[tuple[int, int]]


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
            raise Unescapable("a class of characters of its own kind")
    return _complement(found) if negated else found


def _category(value: Any) -> Ranges:
    for category, text in _CLASSES.items():
        positive = _ranges(dict(sre_parser.parse(f"[{text}]"))[sre.IN])
        if value is category:
            return positive
        if str(value) == str(category).replace("CATEGORY_", "CATEGORY_NOT_"):
            return _complement(positive)
    raise Unescapable("a class of characters of its own kind")


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


def _characters(ranges: Ranges) -> str:
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
    return f"(?:{'|'.join(options)})" if options else "[^\\s\\S]"


def _plain(ranges: Ranges) -> Ranges:
    """Without what JSON writes by an escape."""
    keep = _complement([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0xD800, 0xDFFF)])
    return [
        (max(a, c), min(b, d)) for a, b in sorted(ranges) for c, d in keep if max(a, c) <= min(b, d)
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
