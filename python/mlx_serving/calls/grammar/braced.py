"""Values with strings between marks and bare keys, at any depth, by their schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ..format import ToolRefused
from ..rendering import Unwritable, braced_text
from .lark import Lark
from .values import Values

# Of what these say of a list or an object, the rules below keep all; else it is written as JSON.
_OF_LISTS: Final = frozenset(
    {"type", "items", "minItems", "maxItems", "title", "description", "default"}
)
_OF_OBJECTS: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "title", "description", "default"}
)
_OF_LISTED: Final = frozenset({"type", "enum", "const", "title", "description", "default"})
_OF_CHOICES: Final = frozenset({"anyOf", "title", "description", "default"})
_OF_ANYTHING: Final = frozenset({"title", "description", "default"})
_BARE: Final = re.compile(r"[A-Za-z_][\w-]*")
SCHEMA_DEPTH_MAX: Final = 16


def braced_value(
    lark: Lark, values: Values, quote: str, schema: Any, path: str, depth: int = SCHEMA_DEPTH_MAX
) -> str:
    kinds = values.kinds(schema)
    if not kinds:
        raise ToolRefused(values.tool, path, "nothing validates")
    words = set(schema) if isinstance(schema, Mapping) else set()
    if words <= _OF_ANYTHING and depth:
        return anything(lark, quote)
    if depth and kinds == {"array"} and words <= _OF_LISTS:
        return _list(lark, values, quote, schema, path, depth - 1)
    if depth and kinds == {"object"} and words <= _OF_OBJECTS:
        return _object(lark, values, quote, schema, path, depth - 1)
    if depth and words <= _OF_LISTED and words & {"enum", "const"}:
        return _listed(lark, values.tool, quote, schema, path)
    if depth and words <= _OF_CHOICES and "anyOf" in words:
        parts = enumerate(schema["anyOf"])
        return lark.rule(
            " | ".join(
                braced_value(lark, values, quote, part, f"{path}/anyOf/{i}", depth - 1)
                for i, part in parts
            )
        )
    options = []
    if "string" in kinds:
        options.append(f"{lark.literal(quote)} {values.string(schema, quote, path)}")
    others = kinds - {"string"}
    if others:
        options.append(values.json(schema, others, path))
    return lark.rule(" | ".join(options))


def _listed(lark: Lark, tool: str, quote: str, schema: Mapping[str, Any], path: str) -> str:
    listed = [schema["const"]] if "const" in schema else schema["enum"]
    try:
        return lark.rule(" | ".join(lark.literal(braced_text(value, quote)) for value in listed))
    except Unwritable as error:
        raise ToolRefused(tool, path, str(error)) from None


def _list(
    lark: Lark, values: Values, quote: str, schema: Mapping[str, Any], path: str, depth: int
) -> str:
    item = braced_value(lark, values, quote, schema.get("items", True), f"{path}/items", depth)
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most == 0:
        return '"[" "]"'
    more = f'("," {item}){{{max(0, least - 1)},{"" if most is None else most - 1}}}'
    some = f"{item} {more}"
    return lark.rule(f'"[" {some} "]"' if least else f'"[" ({some})? "]"')


def _object(
    lark: Lark, values: Values, quote: str, schema: Mapping[str, Any], path: str, depth: int
) -> str:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    if not properties and not required and schema.get("additionalProperties", True) in (True, {}):
        return _any_object(lark, quote)
    if not all(_BARE.fullmatch(key) for key in properties) or set(required) - set(properties):
        return values.json(schema, frozenset({"object"}), path)
    pairs = [
        (
            lark.rule(
                f"{lark.literal(f'{key}:')} "
                + braced_value(lark, values, quote, value, f"{path}/properties/{key}", depth)
            ),
            key in required,
        )
        for key, value in properties.items()
    ]
    return lark.rule(f'"{{" {lark.chain(pairs, ",")} "}}"')


def anything(lark: Lark, quote: str) -> str:
    """Any value."""
    name = "anything"
    lark.define(
        name,
        f'{lark.literal(quote)} {lark.until(quote)} | "true" | "false" | "null"'
        r" | /-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?/"
        f' | "[" ({name} ("," {name})*)? "]" | anything_object',
    )
    lark.define("anything_object", '"{" (pair ("," pair)*)? "}"')
    lark.define("pair", f'/[A-Za-z_][A-Za-z0-9_\\-]*/ ":" {name}')
    return name


def _any_object(lark: Lark, quote: str) -> str:
    anything(lark, quote)
    return "anything_object"
