"""A Lark grammar as one pattern, if no rule comes back to itself: so it may stand in a JSON string,
or before a mark that its text mustn't hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .patterns import Encode, Untranslatable, text_pattern, translated

PATTERN_CHARACTERS_MAX: Final = 100_000
START: Final = "start"
# Of Lark's library `common`.
COMMON: Final = {
    "LF": r"/\n/",
    "CR": r"/\r/",
    "NEWLINE": r"/(\r?\n)+/",
    "WS": r"/[ \t\f\r\n]+/",
    "WS_INLINE": r"/[ \t]+/",
    "DIGIT": "/[0-9]/",
    "HEXDIGIT": "/[0-9a-fA-F]/",
    "LETTER": "/[a-zA-Z]/",
    "UCASE_LETTER": "/[A-Z]/",
    "LCASE_LETTER": "/[a-z]/",
    "WORD": "/[a-zA-Z]+/",
    "CNAME": "/[_a-zA-Z][_a-zA-Z0-9]*/",
    "INT": "/[0-9]+/",
    "SIGNED_INT": r"/[+\-]?[0-9]+/",
    "DECIMAL": r"/[0-9]+\.[0-9]*|\.[0-9]+/",
    "FLOAT": r"/[0-9]+(?:\.[0-9]*)?[eE][+\-]?[0-9]+|[0-9]+\.[0-9]*|\.[0-9]+/",
    "NUMBER": r"/[0-9]+(?:\.[0-9]*)?(?:[eE][+\-]?[0-9]+)?|\.[0-9]+/",
    "SIGNED_NUMBER": r"/[+\-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+\-]?[0-9]+)?|\.[0-9]+)/",
    "ESCAPED_STRING": r'/"(?:[^"\\\n]|\\.)*"/',
}
_HEAD: Final = re.compile(r"^[?!]?(?P<name>_?[A-Za-z]\w*)(?:\.-?\d+)?[ \t]*:", re.M)
_IMPORT: Final = re.compile(
    r"^[ \t]*%import[ \t]+common(?:\.(?P<one>\w+)(?:[ \t]*->[ \t]*(?P<alias>\w+))?"
    r"|[ \t]*\((?P<listed>[^)]*)\))",
    re.M,
)
_TOKEN: Final = re.compile(
    r"""\s+|//[^\n]*|->[ \t]*\w+
    |(?P<text>"(?:[^"\\\n]|\\.)*"i?)
    |(?P<regex>/(?![/*])(?:[^/\\\n]|\\.)+/[a-z]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<times>~[ \t]*\d+(?:[ \t]*\.\.[ \t]*\d+)?|\{\d*,?\d*\}|[?*+])
    |(?P<sign>[|()\[\]])
    |(?P<bad>.)""",
    re.X,
)


class Token(NamedTuple):
    kind: str
    text: str


def pattern_of(lark: str, encode: Encode) -> str:
    """Raises `Untranslatable`."""
    return _Grammar(lark, encode).rule(START)


class _Grammar:
    def __init__(self, lark: str, encode: Encode) -> None:
        self._encode = encode
        self._bodies = dict(_definitions(lark))
        self._made: dict[str, str] = {}
        self._open: list[str] = []

    def rule(self, name: str) -> str:
        if name in self._made:
            return self._made[name]
        if name in self._open:
            raise Untranslatable(f"a rule that comes back to itself: {name}")
        if name not in self._bodies:
            raise Untranslatable(f"a rule that isn't there: {name}")
        self._open.append(name)
        tokens = list(_tokens(self._bodies[name]))
        pattern, at = self._options(tokens, 0)
        if at != len(tokens):
            raise Untranslatable(f"{tokens[at].text} in {name}")
        self._open.pop()
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise Untranslatable(f"more than {PATTERN_CHARACTERS_MAX} characters as one pattern")
        self._made[name] = pattern
        return pattern

    def _options(self, tokens: list[Token], at: int) -> tuple[str, int]:
        options: list[str] = []
        while True:
            option, at = self._sequence(tokens, at)
            options.append(option)
            if at == len(tokens) or tokens[at].text != "|":
                break
            at += 1
        return (f"(?:{'|'.join(options)})" if len(options) > 1 else options[0]), at

    def _sequence(self, tokens: list[Token], at: int) -> tuple[str, int]:
        parts: list[str] = []
        while at < len(tokens) and tokens[at].text not in ("|", ")", "]"):
            part, at = self._item(tokens, at)
            if at < len(tokens) and tokens[at].kind == "times":
                part = f"(?:{part}){_times(tokens[at].text)}"
                at += 1
            parts.append(part)
        return "".join(parts), at

    def _item(self, tokens: list[Token], at: int) -> tuple[str, int]:
        kind, text = tokens[at]
        if kind == "text":
            return text_pattern(_read(text), self._encode, text.endswith("i")), at + 1
        if kind == "regex":
            return self._regex(text), at + 1
        if kind == "name":
            return f"(?:{self.rule(text)})", at + 1
        if text not in ("(", "["):
            raise Untranslatable(f"{text} in a rule")
        inner, end = self._options(tokens, at + 1)
        if end == len(tokens) or tokens[end].text not in (")", "]"):
            raise Untranslatable("a bracket that isn't closed")
        return (f"(?:{inner})?" if text == "[" else f"(?:{inner})"), end + 1

    def _regex(self, token: str) -> str:
        body, _, flags = token[1:].rpartition("/")
        if set(flags) - set("su"):
            raise Untranslatable(f"a pattern with the flags {flags}")
        return f"(?:{translated(body, self._encode, 's' in flags)})"


def _definitions(lark: str) -> Iterator[tuple[str, str]]:
    for found in _IMPORT.finditer(lark):
        names = (found["listed"] or found["one"]).split(",")
        for name in map(str.strip, names):
            if name not in COMMON:
                raise Untranslatable(f"an imported terminal: {name}")
            yield found["alias"] or name, COMMON[name]
    rest = _IMPORT.sub("", lark)
    heads = list(_HEAD.finditer(rest))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        yield head["name"], rest[head.end() : following.start() if following else None]


def _tokens(body: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(body):
        kind = found.lastgroup
        if kind == "bad":
            raise Untranslatable(f"{found[0]} in a rule")
        if kind is not None:
            yield Token(kind, found[0])


def _times(text: str) -> str:
    if not text.startswith("~"):
        return text
    least, _, most = text[1:].replace(" ", "").partition("..")
    return f"{{{least},{most or least}}}"


def _read(token: str) -> str:
    try:
        return str(json.loads(token.removesuffix("i")))
    except ValueError as error:
        raise Untranslatable(f"a text that can't be read: {token}") from error
