"""Values between marks as grammar: strings as they are, all else as JSON by its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..format import JSON_TYPES, JsonType, ToolRefused
from ..values import kinds_of, resolved, type_of
from .lark import ANY, Lark, regex
from .patterns import Untranslatable, as_text, translated

# What a reader takes for JSON, where a string is allowed too.
JSON_LOOK: Final = (
    r"\s*(?:true|false|null|True|False|None|[\-+.0-9][0-9a-zA-Z.+\-_]*|[\[{\"'](?s:.*))\s*"
)
_STRING_WORDS: Final = frozenset({"minLength", "maxLength", "pattern", "format", "enum", "const"})
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_ZONE: Final = r"(?:Z|[+\-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_DATE: Final = (
    r"[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
FORMATS: Final[Mapping[str, str]] = {
    "date": _DATE,
    "time": _TIME + _ZONE,
    "date-time": f"{_DATE}T{_TIME}{_ZONE}",
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": r"[A-Za-z0-9_+\-]{1,32}(?:\.[A-Za-z0-9_+\-]{1,32}){0,4}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9\-]{0,30}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]{0,30}[A-Za-z0-9])?){1,4}",
    "ipv4": rf"{_OCTET}(?:\.{_OCTET}){{3}}",
    "uri": r"[a-zA-Z][a-zA-Z0-9+.\-]{1,15}:\/\/[A-Za-z0-9._~\-]{1,253}(?::[0-9]{1,4})?"
    r"(?:\/[A-Za-z0-9._~!$&'()*+,;=:@\-]*)*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@\/\-]*)?(?:#[A-Za-z0-9._~\-]*)?",
}


class Values:
    """Those of one tool. Raises `ToolRefused` for what can't be enforced."""

    def __init__(self, lark: Lark, tool: str, root: Mapping[str, Any], compact: bool) -> None:
        self._lark = lark
        self.tool = tool
        self._root = root
        self._compact = compact
        self._shared = {
            word: root[word]
            for word in ("$defs", "definitions")
            if isinstance(root.get(word), Mapping)
        }

    def kinds(self, schema: Any) -> frozenset[Any]:
        return kinds_of(schema, self._root)

    def json(self, schema: Any, kinds: frozenset[Any], path: str) -> str:
        """A value of just these types, in JSON."""
        whole = {} if schema is True else schema
        if not isinstance(whole, Mapping):
            raise ToolRefused(self.tool, path, "nothing validates")
        if kinds != self.kinds(whole):
            whole = self._narrowed(whole, kinds, path)
        if not self._shared and "$ref" in str(whole):
            raise ToolRefused(self.tool, path, "$ref must point into $defs")
        return self._lark.json({**whole, **self._shared}, self._compact)

    def _narrowed(
        self, schema: Mapping[str, Any], kinds: frozenset[Any], path: str
    ) -> Mapping[str, Any]:
        """The part of a schema that lets these types through."""
        if isinstance(schema.get("enum"), list):
            return {**schema, "enum": [v for v in schema["enum"] if type_of(v) in kinds]}
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                parts = [part for part in schema[word] if self.kinds(part) & kinds]
                narrow = [
                    part
                    if self.kinds(part) <= kinds
                    else self._narrowed(part, self.kinds(part) & kinds, path)
                    for part in parts
                ]
                return {**{k: v for k, v in schema.items() if k != "type"}, word: narrow}
        if "$ref" in schema:
            found = resolved(schema["$ref"], self._root)
            if isinstance(found, Mapping):
                return self._narrowed(found, kinds, path)
        if "allOf" in schema:
            raise ToolRefused(self.tool, path, "allOf of strings and other types")
        return {**schema, "type": [kind for kind in JSON_TYPES if kind in kinds]}

    def mixed(self, schema: Any, kinds: frozenset[Any], close: str, path: str) -> str:
        """A string or another value, told apart by how it looks. A lexer doesn't come back from a
        string that turns out to be none, so that scalars are texts as well."""
        options = []
        never = [JSON_LOOK]
        scalars = _scalars(schema, kinds)
        if scalars:
            options.append(self._lark.until(close, ["|".join(scalars)]))
        numbers = kinds & {"integer", "number"}
        rest = kinds & {"array", "object"}
        if numbers and not _has_any_number(scalars):
            # Bounds of a number are JSON's to keep; then no string may begin like one.
            never.append(rf"[\s\-+.0-9]{ANY}")
            rest |= numbers
        options.append(self.string(schema, close, path, tuple(never)))
        if rest:
            options.append(f"{self.json(schema, rest, path)} {self._lark.literal(close)}")
        return self._lark.rule(" | ".join(options))

    def string(
        self,
        schema: Any,
        close: str,
        path: str,
        never: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
    ) -> str:
        """A string and the mark that closes it. `extra`: patterns that match it besides; `never`:
        such that don't."""
        patterns = [*extra]
        texts: list[str] | None = None
        for part in self._string_parts(schema, path):
            found = self._patterns(part, path)
            patterns += found
            if (listed := _texts(part)) is not None:
                texts = listed if texts is None else [text for text in texts if text in listed]
        if texts is not None:
            if not texts:
                raise ToolRefused(self.tool, path, "nothing validates")
            mark = close.strip()
            if any(mark in text for text in texts):
                raise ToolRefused(self.tool, path, f"a value holds {mark}, which ends it")
            # One of a list is one of a list, whatever else is said of it.
            options = " | ".join(self._lark.literal(text + close) for text in texts)
            return self._lark.rule(options)
        return self._lark.until(close, patterns, never)

    def _string_parts(self, schema: Any, path: str, depth: int = 8) -> list[Mapping[str, Any]]:
        """Schemas that a string must all meet."""
        if not isinstance(schema, Mapping):
            return []
        if depth == 0:
            raise ToolRefused(self.tool, path, "$ref without end")
        parts: list[Mapping[str, Any]] = [schema]
        if isinstance(schema.get("$ref"), str):
            parts += self._string_parts(resolved(schema["$ref"], self._root), path, depth - 1)
        for part in schema.get("allOf") or []:
            parts += self._string_parts(part, path, depth - 1)
        for word in ("anyOf", "oneOf"):
            options = [p for p in schema.get(word) or [] if "string" in self.kinds(p)]
            if len(options) == 1:
                parts += self._string_parts(options[0], path, depth - 1)
            elif options and any(_STRING_WORDS & set(p) for p in options if isinstance(p, Mapping)):
                listed = [_texts(p) for p in options if isinstance(p, Mapping)]
                if any(texts is None for texts in listed):
                    raise ToolRefused(self.tool, path, f"{word} of several kinds of string")
                parts.append({"enum": [text for texts in listed for text in texts or []]})
        for word in ("not", "if"):
            if word in schema:
                raise ToolRefused(self.tool, f"{path}/{word}", "can't be enforced")
        return parts

    def _patterns(self, schema: Mapping[str, Any], path: str) -> list[str]:
        patterns: list[str] = []
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if least or most is not None:
            patterns.append(f"(?s:.{{{least},{'' if most is None else most}}})")
        if isinstance(schema.get("pattern"), str):
            try:
                patterns.append(_searched(schema["pattern"]))
            except Untranslatable as error:
                raise ToolRefused(self.tool, f"{path}/pattern", str(error)) from None
        format = schema.get("format")
        if format is not None:
            if format not in FORMATS:
                raise ToolRefused(self.tool, f"{path}/format", f"unknown format {format}")
            patterns.append(FORMATS[format])
        return patterns


def mids_of(kinds: frozenset[Any], mids: Mapping[JsonType, str]) -> dict[str, frozenset[Any]]:
    """The types that each mark stands before."""
    found: dict[str, frozenset[Any]] = {}
    for kind in JSON_TYPES:
        if kind in kinds:
            found[mids[kind]] = found.get(mids[kind], frozenset()) | {kind}
    return found


_INTEGER: Final = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER: Final = rf"{_INTEGER}(?:\.[0-9]{{1,17}})?(?:[eE][+\-]?[0-9]{{1,2}})?"
_NUMBER_WORDS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "const"}
)


def _scalars(schema: Any, kinds: frozenset[Any]) -> list[str]:
    """Patterns of the scalars that need no more than their type."""
    found = []
    listed = _listed(schema)
    if listed is not None:
        others = [value for value in listed if not isinstance(value, str | list | dict)]
        return [regex(json.dumps(value)) for value in others]
    if "null" in kinds:
        found.append("null")
    if "boolean" in kinds:
        found.append("true|false")
    if kinds & {"integer", "number"} and not _NUMBER_WORDS & set(_words(schema)):
        found.append(_NUMBER if "number" in kinds else _INTEGER)
    return found


def _has_any_number(scalars: list[str]) -> bool:
    return any(scalar in (_NUMBER, _INTEGER) or scalar[:1].isdigit() for scalar in scalars)


def _listed(schema: Any) -> list[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    if "const" in schema:
        return [schema["const"]]
    return schema["enum"] if isinstance(schema.get("enum"), list) else None


def _words(schema: Any, depth: int = 8) -> Iterator[str]:
    """Keywords of a schema and of its alternatives; a reference may stand for any."""
    if not isinstance(schema, Mapping) or depth == 0:
        return
    yield from schema
    if "$ref" in schema:
        yield "minimum"
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word) or []:
            yield from _words(part, depth - 1)


def _texts(schema: Mapping[str, Any]) -> list[str] | None:
    if isinstance(schema.get("const"), str):
        return [schema["const"]]
    if isinstance(schema.get("enum"), list):
        return [value for value in schema["enum"] if isinstance(value, str)]
    return None


def _searched(pattern: str) -> str:
    """A pattern is looked for anywhere; as one of the whole text. Raises `Untranslatable`."""
    begin = "" if pattern.startswith("^") else ANY
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern.removeprefix("^")
    body = body[:-1] if ends else body
    return f"{begin}(?:{translated(body, as_text)}){'' if ends else ANY}"
