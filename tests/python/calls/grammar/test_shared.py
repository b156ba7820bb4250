"""Numbers of one kind are one definition, and mean what they meant."""

from __future__ import annotations

from typing import Any

from mlx_serving.calls.grammar.shared import with_shared_numbers

COUNT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 9}


def test_each_place_refers_to_one_definition() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": COUNT,
            "b": {"type": "array", "items": COUNT},
            "c": {"anyOf": [COUNT, {"type": "number", "maximum": 1}, {"type": "integer"}]},
            "type": {"$ref": "#/$defs/d0"},
        },
        "$defs": {"d0": {"type": "object", "properties": {"x": COUNT}}},
    }
    first, second = {"$ref": "#/$defs/shared0"}, {"$ref": "#/$defs/shared1"}
    assert with_shared_numbers(schema) == {
        "type": "object",
        "properties": {
            "a": first,
            "b": {"type": "array", "items": first},
            "c": {"anyOf": [first, second, {"type": "integer"}]},
            "type": {"$ref": "#/$defs/d0"},
        },
        "$defs": {
            "d0": {"type": "object", "properties": {"x": first}},
            "shared0": COUNT,
            "shared1": {"type": "number", "maximum": 1},
        },
    }


def test_values_are_no_schemas() -> None:
    for schema in ({"const": {"items": COUNT}}, {"enum": [COUNT]}, {"type": "string"}, COUNT, {}):
        assert with_shared_numbers(schema) == schema
