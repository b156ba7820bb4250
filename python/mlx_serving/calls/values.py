"""A value between marks, where strings stand without quotes: what it is by the tool's schema."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from .format import JSON_TYPES, JsonType

ALL: Final = frozenset(JSON_TYPES)
REFERENCES_MAX: Final = 32
_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\]')
PYTHON_NAMES: Final = {"true": True, "false": False, "null": None}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def escaped(text: str) -> str:
    """A piece of a JSON string."""
    if _ESCAPED.search(text) is None:
        return text
    return json.dumps(text, ensure_ascii=False)[1:-1]


def type_of(value: Any) -> JsonType:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list() | tuple():
            return "array"
    return "object"


def kinds_of(schema: Any, root: Mapping[str, Any], depth: int = REFERENCES_MAX) -> frozenset[Any]:
    """The JSON types that a schema lets through; all of them where it doesn't say."""
    if schema is False:
        return frozenset()
    if not isinstance(schema, Mapping) or depth == 0:
        return ALL
    kinds = _named_kinds(schema)
    if isinstance(schema.get("$ref"), str):
        kinds &= kinds_of(resolved(schema["$ref"], root), root, depth - 1)
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list):
            parts = [kinds_of(part, root, depth - 1) for part in schema[word]]
            kinds &= frozenset().union(*parts)
    for part in schema.get("allOf") or []:
        kinds &= kinds_of(part, root, depth - 1)
    return kinds


def _named_kinds(schema: Mapping[str, Any]) -> frozenset[Any]:
    kinds = ALL
    named = schema.get("type")
    if isinstance(named, str):
        named = [named]
    if isinstance(named, list):
        kinds = frozenset(kind for kind in named if kind in ALL)
        if "number" in kinds:
            kinds |= {"integer"}
    if "const" in schema:
        kinds &= frozenset({type_of(schema["const"])})
    if isinstance(schema.get("enum"), list):
        kinds &= frozenset(type_of(value) for value in schema["enum"])
    if schema.get("nullable") is True and named is not None:
        kinds |= {"null"}
    return kinds


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """What a reference inside the schema names; `True`, which lets all through, if nothing."""
    if not reference.startswith("#"):
        return True
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return True
        found = found[name]
    return found


def value_json(raw: str, kinds: frozenset[Any]) -> str:
    """JSON text of a value written without quotes: a string where it can be nothing else."""
    if kinds == {"string"}:
        return as_json(raw)
    text = raw.strip()
    found = parsed(text)
    if found is _NOTHING or ("string" in kinds and type_of(found) not in kinds - {"string"}):
        return as_json(raw)
    # As it is written: a number keeps its digits.
    return text if _is_json(text) else as_json(found)


class _Nothing:
    pass


_NOTHING: Final = _Nothing()


def parsed(text: str) -> Any:
    """A value in JSON or in Python's way of writing; `_NOTHING` if it is in neither."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        pass
    except RecursionError:
        return _NOTHING
    try:
        tree = _JsonNames().visit(ast.parse(text, mode="eval"))
        value = ast.literal_eval(tree)
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return _NOTHING
    return value


def is_value(found: Any) -> bool:
    return found is not _NOTHING


class _JsonNames(ast.NodeTransformer):
    """Containers are often written as JSON where the rest is Python."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in PYTHON_NAMES:
            return node
        return ast.copy_location(ast.Constant(PYTHON_NAMES[node.id]), node)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(name)
