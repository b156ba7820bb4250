"""Values without quotes, by their schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlx_serving.calls.values import ALL, escaped, kinds_of, value_json

ROOT = {"$defs": {"T": {"type": "string"}, "L": {"$ref": "#/$defs/L"}}}


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        (True, ALL),
        ({}, ALL),
        (False, set()),
        ({"type": "string"}, {"string"}),
        ({"type": "number"}, {"number", "integer"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"enum": ["a", 1, None]}, {"string", "integer", "null"}),
        ({"const": [1]}, {"array"}),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, {"string", "object"}),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, {"string"}),
        ({"$ref": "#/$defs/T"}, {"string"}),
        ({"$ref": "#/$defs/L"}, ALL),
        ({"$ref": "#/nowhere"}, ALL),
        ({"$ref": "https://x.y/z"}, ALL),
    ],
)
def test_kinds(schema: Any, kinds: set[str]) -> None:
    assert kinds_of(schema, ROOT) == kinds


@pytest.mark.parametrize(
    ("raw", "kinds", "value"),
    [
        ("7", {"string"}, "7"),
        (" a ", {"string"}, " a "),
        ("7", {"integer"}, 7),
        ("7.50", {"number"}, 7.5),
        ("True", {"boolean"}, True),
        ("None", {"null"}, None),
        ("7", {"string", "integer"}, 7),
        ("7.5", {"string", "integer"}, "7.5"),
        ("true", {"string", "integer"}, "true"),
        ("null", {"string", "null"}, None),
        ("{'a': true}", ALL, {"a": True}),
        ("words", ALL, "words"),
        ("words", {"integer"}, "words"),
        ("[" * 50_000, ALL, "[" * 50_000),
        ("NaN", {"number"}, "NaN"),
        ("", ALL, ""),
        ("__import__('os')", ALL, "__import__('os')"),
    ],
)
def test_values(raw: str, kinds: set[str], value: Any) -> None:
    assert json.loads(value_json(raw, frozenset(kinds))) == value


def test_a_number_keeps_its_digits() -> None:
    assert value_json("12345678901234567890.10", frozenset({"number"})) == "12345678901234567890.10"


@pytest.mark.parametrize("text", ["plain é 😀", 'a"b\\c', "\n\t\x00"])
def test_escaped(text: str) -> None:
    assert json.loads(f'"{escaped(text)}"') == text
