"""Objects that are calls."""

from __future__ import annotations

import pytest
from mlx_serving.calls.format import JsonObject
from mlx_serving.calls.json_calls import Head, read_head, read_tail
from mlx_serving.calls.literals import MORE, NO

STYLE = JsonObject("name", "arguments")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"name": "f", "arguments": {', Head("f", 27)),
        (' {\n"id" : 7 , "name":"f","arguments":[', Head("f", 37)),
        ('{"arguments": {"a": "}"}, "name": "f"}', Head("f", 38, '{"a": "}"}')),
        ('{"name": "f"}', Head("f", 13, "{}")),
        ('{"name": "\\u0066", "arguments": 1', Head("f", 32)),
        ("", MORE),
        ("{", MORE),
        ('{"name', MORE),
        ('{"name": "f', MORE),
        ('{"name": "f", "arguments":', MORE),
        ('{"x": tru', MORE),
        ("[", NO),
        ("{}", NO),
        ("{7", NO),
        ('{"name": 7,', NO),
        ('{"name": "", "arguments": {', NO),
        ('{"name" "f"', NO),
        ('{"name": "f" "arguments"', NO),
        ('{"arguments": {}}', NO),
    ],
)
def test_heads(text: str, found: Head | int) -> None:
    assert read_head(STYLE, text, 0) == found


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("}x", 1),
        (' , "id": "a}" }x', 15),
        (', "x": {"y": [1]}}', 18),
        (", ", MORE),
        ("", MORE),
        ("x", NO),
    ],
)
def test_tails(text: str, end: int) -> None:
    assert read_tail(text, 0) == end
