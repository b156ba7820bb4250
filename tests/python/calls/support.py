"""Formats and tools for tests of this part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlx_serving.calls import families
from mlx_serving.calls.format import (
    JSON_TYPES,
    CallFormat,
    JsonArguments,
    JsonObject,
    ReasoningFormat,
    Tagged,
    Tool,
)

THINK = ReasoningFormat("<think>", "</think>")
HERMES = families.GENERIC
BARE = CallFormat(
    family="JSON object",
    style=JsonObject("name", "parameters"),
    before='{"name": "',
    between='", "parameters": ',
    after="}",
    content_marks=("<|python_tag|>",),
    single=True,
)
LISTED = CallFormat(
    family="JSON object",
    style=JsonObject("name", "arguments"),
    open="<tool_calls>[",
    before='{"name": "',
    between='", "arguments": ',
    after="}",
    separator=", ",
    close="]</tool_calls>",
    begin="<tool_calls>",
)
CODER = CallFormat(
    family="tagged arguments",
    style=Tagged(
        "<parameter=",
        dict.fromkeys(JSON_TYPES, ">\n"),
        dict.fromkeys(JSON_TYPES, "\n</parameter>\n"),
    ),
    before="<tool_call>\n<function=",
    between=">\n",
    after="</function>\n</tool_call>",
    separator="\n",
    begin="<tool_call>",
    short_begin="<function=",
)
MISTRAL = CallFormat(
    family="name, then JSON",
    style=JsonArguments(),
    before="[TOOL_CALLS]",
    between="[ARGS]",
    after="",
    begin="[TOOL_CALLS]",
)
ALL: dict[str, CallFormat] = {
    "hermes": HERMES,
    "listed": LISTED,
    "coder": CODER,
    "mistral": MISTRAL,
    "lfm2": families.LFM2,
    "gemma4": families.GEMMA_4,
    "kimi2": families.KIMI_2,
    "minimax3": families.MINIMAX_3,
    "command-r+": families.COMMAND_R_PLUS,
}
WEATHER = Tool(
    "get_weather",
    "The weather.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "note": {"type": ["string", "null"]},
        },
        "required": ["city"],
    },
)
FLAG = Tool("set_flag", "", {"type": "object", "properties": {"flag": {"type": "boolean"}}})
TOOLS = (WEATHER, FLAG)
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": 'a "b" {c}\n\\d', "days": 2, "note": None}),
    ("set_flag", {"flag": True}),
]


def cuts(text: str) -> Iterable[list[str]]:
    yield [text]
    yield list(text)
