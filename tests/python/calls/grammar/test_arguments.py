"""What can't be enforced is refused, with its path; what can is."""

from __future__ import annotations

from typing import Any

import pytest
from formats.bytes_tokenizer import BytesTokenizer, accepts
from mlx_serving.calls.families import GEMMA_4, LFM2
from mlx_serving.calls.format import CallFormat, Tool, ToolRefused
from mlx_serving.calls.grammar import REQUIRED, call_grammar
from mlx_serving.calls.rendering import render_calls

from ..support import CODER, HERMES

OBJECT = {"type": "object", "properties": {"k": {}}, "required": ["k"]}


def tool(properties: dict[str, Any], **more: Any) -> Tool:
    return Tool("f", "", {"type": "object", "properties": properties, **more})


@pytest.mark.parametrize(
    ("format", "made", "path"),
    [
        (CODER, tool({}, anyOf=[{}]), "/anyOf"),
        (CODER, tool({}, minProperties=1), "/minProperties"),
        (CODER, tool({}, patternProperties={}), "/patternProperties"),
        (CODER, tool({}, required=["a"]), "/required"),
        (CODER, tool({"a>b": {}}), "/properties/a>b"),
        (CODER, tool({" a": {}}), "/properties/ a"),
        (CODER, tool({"a": {"type": "string", "format": "regex"}}), "/properties/a/format"),
        (CODER, tool({"a": {"type": "string", "not": {}}}), "/properties/a/not"),
        (CODER, tool({"a": {"type": "string", "pattern": "(?=x)"}}), "/properties/a/pattern"),
        (CODER, tool({"a": {"enum": ["</parameter>"]}}), "/properties/a"),
        (CODER, tool({"a": {"type": "string", "enum": [1]}}), "/properties/a"),
        (CODER, tool({"a": {"$ref": "#/properties/b"}, "b": {"type": "object"}}), "/properties/a"),
        (LFM2, tool({"a-b": {}}), "/properties/a-b"),
        (GEMMA_4, tool({"a b": {}}), "/properties/a b"),
    ],
)
def test_what_is_refused(format: CallFormat, made: Tool, path: str) -> None:
    with pytest.raises(ToolRefused) as refused:
        call_grammar(format, [made], REQUIRED)
    assert refused.value.path == path and refused.value.reason


@pytest.mark.parametrize("key", ["anyOf", "minProperties", "patternProperties"])
def test_one_json_object_is_for_its_own_grammar_to_judge(key: str) -> None:
    assert key in call_grammar(HERMES, [tool({}, **{key: {}})], REQUIRED).lark


@pytest.mark.parametrize("format", [CODER, LFM2, GEMMA_4], ids=["tagged", "Pythonic", "braced"])
@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "a\nc"], ["a", "abcd"]),
        ({"type": "string", "pattern": "b+"}, ["b", "abbc"], ["a"]),
        ({"type": "string", "pattern": "^\\d+/x$"}, ["12/x"], ["١/x", "1/xx"]),
        ({"enum": ["a b", "c"]}, ["a b", "c"], ["a", "a bc"]),
        ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["x"]),
        (
            {"type": "string", "format": "date-time"},
            ["2024-02-28T23:59:59.5+01:00"],
            ["2024-02-30"],
        ),
        ({"type": "integer", "minimum": 3}, [3, 40], [2, 3.5, "x"]),
        ({"type": ["string", "null"]}, ["x", None, "nullx"], [1, True]),
        ({"type": ["string", "integer"]}, ["x", 12], [1.5, None]),
        ({"type": ["string", "integer"], "minimum": 5}, ["x", 12], [4]),
        (
            {"anyOf": [{"type": "string"}, OBJECT]},
            ["x", {"k": 1}],
            [{}],
        ),
        (
            {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
            [["a", "b"]],
            [[], ["c"]],
        ),
        ({"type": "boolean"}, [True, False], ["yes", 1]),
        ({"const": {"a": 1}}, [{"a": 1}], [{"a": 2}]),
        ({}, ["x", 1, None, [1], {"k": "v"}], []),
    ],
)
def test_what_is_kept(format: CallFormat, schema: Any, good: list[Any], bad: list[Any]) -> None:
    pytest.importorskip("llguidance")
    tokenizer = BytesTokenizer(())
    made = call_grammar(format, [tool({"a": schema}, required=["a"])], REQUIRED)
    for values, right in ((good, True), (bad, False)):
        for value in values:
            text = render_calls(format, [("f", {"a": value})])
            # What would be read as another value stands in JSON, or not at all.
            assert accepts(tokenizer, made.lark, text) == right, text


def test_arguments_come_in_the_schemas_order() -> None:
    pytest.importorskip("llguidance")
    made = tool({"a": {}, "b": {"type": "integer"}, "c": {}}, required=["b"])
    for format in (CODER, LFM2, GEMMA_4, HERMES):
        lark = call_grammar(format, [made], REQUIRED).lark
        for keys, right in (("b", True), ("ab", True), ("bc", True), ("abc", True), ("ba", False)):
            text = render_calls(format, [("f", dict.fromkeys(keys, 1))])
            assert accepts(BytesTokenizer(()), lark, text) == right or (
                format is HERMES and keys == "ba"
            ), text
        assert not accepts(BytesTokenizer(()), lark, render_calls(format, [("f", {"a": 1})]))
