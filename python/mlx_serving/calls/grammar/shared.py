"""Schemas that are dear to compile and stand at many places, written once: llguidance makes of each
reference to a definition the same rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

NUMBERS: Final = frozenset({"integer", "number"})
PREFIX: Final = "shared"


def with_shared_numbers(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema, in which numbers of one kind are one definition."""
    shared = _Shared()
    whole = {key: shared.inside(key, value) for key, value in schema.items()}
    if not shared.definitions:
        return whole
    return {**whole, "$defs": {**whole.get("$defs", {}), **shared.definitions}}


class _Shared:
    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def inside(self, keyword: str, value: Any) -> Any:
        """What stands below a keyword of a schema."""
        if keyword in ("properties", "patternProperties", "$defs", "definitions"):
            if isinstance(value, Mapping):
                return {name: self.schema(part) for name, part in value.items()}
        elif keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
            if isinstance(value, list):
                return [self.schema(part) for part in value]
        elif keyword in ("items", "additionalProperties"):
            return self.schema(value)
        return value

    def schema(self, schema: Any) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        if _is_bounded_number(schema):
            return {"$ref": f"#/$defs/{self._name(schema)}"}
        return {key: self.inside(key, value) for key, value in schema.items()}

    def _name(self, schema: Mapping[str, Any]) -> str:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._names:
            name = f"{PREFIX}{len(self._names)}"
            self._names[key] = name
            self.definitions[name] = schema
        return self._names[key]


def _is_bounded_number(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return isinstance(kind, str) and kind in NUMBERS and len(schema) > 1
