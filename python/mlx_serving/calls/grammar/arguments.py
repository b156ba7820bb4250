"""A tool's arguments as grammar, in the style of the format: what is parsed from them validates."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Final

from ...tools import kept_schema_of
from ..format import (
    CUSTOM_INPUT,
    JSON_TYPES,
    Braced,
    CallFormat,
    Pythonic,
    Tagged,
    Tool,
    ToolRefused,
)
from ..literals import first_word
from ..readers.tagged import CDATA_BEGIN, CDATA_END
from .braced import braced_value
from .custom import json_input, raw_input
from .lark import Lark
from .values import Values, mids_of

# Of the arguments as a whole, where they are written one by one.
KEYWORDS: Final = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "unevaluatedProperties",
        "title",
        "description",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "default",
        "examples",
        "strict",
    }
)
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")
_BARE_KEY: Final = re.compile(r"[^\s:{}\[\],\"<]+")


def arguments_rule(lark: Lark, format: CallFormat, tool: Tool) -> str:
    """Raises `ToolRefused`."""
    compact = format.spacing == "compact"
    match format.style:
        case Tagged() as style:
            return _one_by_one(
                lark, tool, compact, style.separator, _TaggedItems(lark, style, tool)
            )
        case Pythonic():
            return _one_by_one(lark, tool, compact, ", ", _PythonicItems(lark, tool))
        case Braced() as style:
            return _one_by_one(lark, tool, compact, ",", _BracedItems(lark, style, tool))
    if tool.custom and tool.lark is not None:
        return json_input(lark, tool)
    schema = kept_schema_of(tool)
    whole = schema if "type" in schema else {"type": "object", **schema}
    return lark.rule(lark.json(whole, compact))


class _Items(ABC):
    def __init__(self, lark: Lark, tool: Tool) -> None:
        self.lark = lark
        self.tool = tool

    @abstractmethod
    def item(self, values: Values, key: str, schema: Any, path: str) -> str: ...


def _one_by_one(lark: Lark, tool: Tool, compact: bool, separator: str, items: _Items) -> str:
    schema = kept_schema_of(tool)
    unknown = sorted(set(schema) - KEYWORDS)
    if unknown and not tool.loose:
        raise ToolRefused(
            tool.name, f"/{unknown[0]}", "can't be enforced where arguments stand alone"
        )
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    missing = [key for key in required if key not in properties]
    if missing and not tool.loose:
        raise ToolRefused(tool.name, "/required", f"{missing[0]} is not among the properties")
    values = Values(lark, tool.name, schema, compact)
    chained = [
        (item, key in required)
        for key, value in properties.items()
        if value is not False and (item := _item(items, values, key, value, tool.loose))
    ]
    return lark.chain(chained, separator)


def _item(items: _Items, values: Values, key: str, schema: Any, loose: bool) -> str:
    """Empty: left out. Where all of a loose tool's schema can't be kept, its types are."""
    path = f"/properties/{key}"
    try:
        return items.item(values, key, schema, path)
    except ToolRefused:
        if not loose:
            raise
    kinds = [kind for kind in JSON_TYPES if kind in values.kinds(schema)]
    try:
        return items.item(values, key, {"type": kinds}, path)
    except ToolRefused:
        # Its very name can't be written.
        return ""


class _TaggedItems(_Items):
    def __init__(self, lark: Lark, style: Tagged, tool: Tool) -> None:
        super().__init__(lark, tool)
        self.style = style

    def item(self, values: Values, key: str, schema: Any, path: str) -> str:
        style, lark = self.style, self.lark
        kinds = values.kinds(schema)
        if not kinds:
            raise ToolRefused(self.tool.name, path, "nothing validates")
        marks = {first_word(mid.strip()) for mid in style.mids.values()}
        if not key or key != key.strip() or any(mark in key for mark in marks if mark):
            raise ToolRefused(
                self.tool.name, path, "the name can't be told from the marks around it"
            )
        by_mid = mids_of(kinds, style.mids)
        options = []
        for mid, some in by_mid.items():
            close = style.close(next(iter(some)), key)
            head = lark.literal(f"{style.open}{key}{mid}")
            options.append(f"{head} {self._value(values, key, schema, some, close, path)}")
        return lark.rule(" | ".join(options))

    def _value(
        self, values: Values, key: str, schema: Any, kinds: frozenset[Any], close: str, path: str
    ) -> str:
        lark = self.lark
        if "string" not in kinds:
            return f"{values.json(schema, kinds, path)} {lark.literal(close)}"
        if key == CUSTOM_INPUT and self.tool.custom and self.tool.lark is not None:
            begin, end = (CDATA_BEGIN, CDATA_END) if self.style.cdata else ("", "")
            return f"{lark.literal(begin)} {raw_input(lark, self.tool, end + close)}"
        if kinds != {"string"}:
            return values.mixed(schema, kinds, close, path)
        if not self.style.cdata:
            return values.string(schema, close, path)
        plain = values.string(schema, close, path, extra=(r"[^<&\n]*",))
        block = values.string(schema, CDATA_END, path)
        begin, end = lark.literal(CDATA_BEGIN), lark.literal(close)
        return lark.rule(f"{plain} | {begin} {block} {end}")


class _PythonicItems(_Items):
    def item(self, values: Values, key: str, schema: Any, path: str) -> str:
        if not _IDENTIFIER.fullmatch(key):
            raise ToolRefused(self.tool.name, path, "the name is no keyword of a Pythonic call")
        if self.tool.custom and self.tool.lark is not None:
            return f'"{key}=" {json_input(self.lark, self.tool, bare=True)}'
        value = values.json(schema, values.kinds(schema), path)
        return self.lark.rule(f"{self.lark.literal(f'{key}=')} {value}")


class _BracedItems(_Items):
    def __init__(self, lark: Lark, style: Braced, tool: Tool) -> None:
        super().__init__(lark, tool)
        self.quote = style.quote

    def item(self, values: Values, key: str, schema: Any, path: str) -> str:
        if not _BARE_KEY.fullmatch(key):
            raise ToolRefused(self.tool.name, path, "the name can't stand without quotes")
        if self.tool.custom and self.tool.lark is not None:
            text = raw_input(self.lark, self.tool, self.quote)
            value = f"{self.lark.literal(self.quote)} {text}"
        else:
            value = braced_value(self.lark, values, self.quote, schema, path)
        return self.lark.rule(f"{self.lark.literal(f'{key}:')} {value}")


__all__ = ["arguments_rule"]
