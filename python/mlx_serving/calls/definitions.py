"""Tools as templates show them: programs that read fields without asking whether they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..tools import schema_of
from .format import Tool

SIMPLE_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object"})


def tool_definition(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **schema_of(tool)}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def simple_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """With one type for each argument and nothing that depends on another. It is what the model is
    shown; what it may write is the schema's."""
    function = definition["function"]
    parameters = function["parameters"]
    properties = {
        key: _simple(value if isinstance(value, Mapping) else {})
        for key, value in parameters.get("properties", {}).items()
    }
    return {
        **definition,
        "function": {**function, "parameters": {**parameters, "properties": properties}},
    }


def _simple(schema: Mapping[str, Any]) -> dict[str, Any]:
    kind = _kind(schema)
    made = {
        **{word: schema[word] for word in ("enum", "default") if word in schema},
        "type": kind,
        "description": str(schema.get("description") or ""),
    }
    if kind == "array":
        items = schema.get("items")
        made["items"] = _simple(items if isinstance(items, Mapping) else {})
    elif kind == "object":
        made["additionalProperties"] = {"type": "string"}
    return made


def _kind(schema: Mapping[str, Any]) -> str:
    """The first type that is not null; a string where none is named."""
    return _named_kind(schema) or ("object" if "properties" in schema else "string")


def _named_kind(schema: Mapping[str, Any]) -> str | None:
    named = schema.get("type")
    for kind in named if isinstance(named, list) else [named]:
        if kind in SIMPLE_TYPES:
            return str(kind)
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word) or []:
            found = _named_kind(part) if isinstance(part, Mapping) else None
            if found is not None:
                return found
    return None
