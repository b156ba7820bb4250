"""Conversations with which a template is asked how it writes calls, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from .definitions import simple_definition
from .template import Message, Template

QUESTION: Final = "Question-q7x?"
SAID: Final = "Said-q7x."
THOUGHT: Final = "Thought-q7x."
RESULTS: Final = ("Result-one-q7x", "Result-two-q7x")
NAMES: Final = ("alpha_q7x", "beta_q7x")
# Nine letters and digits, as Mistral's templates want it.
IDS: Final = ("callq7x01", "callq7x02")
ARGUMENTS: Final[tuple[dict[str, Any], dict[str, Any]]] = (
    {
        "word_q7": "Oslo XY",
        "count_q7": 7351,
        "share_q7": 8.25,
        "flag_q7": True,
        "list_q7": ["aq", "bq"],
        "object_q7": {"kq": 41},
        "last_q7": "Bergen XY",
    },
    {"word_q7": "Narvik XY", "last_q7": "Bodo XY"},
)
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "word_q7": {"type": "string"},
    "count_q7": {"type": "integer"},
    "share_q7": {"type": "number"},
    "flag_q7": {"type": "boolean"},
    "list_q7": {"type": "array", "items": {"type": "string"}},
    "object_q7": {"type": "object", "properties": {"kq": {"type": "integer"}}},
    "last_q7": {"type": "string"},
}
USER: Final[Message] = {"role": "user", "content": QUESTION}


def tool(name: str) -> dict[str, Any]:
    properties = {key: {**value, "description": "One."} for key, value in _TYPES.items()}
    parameters = {"type": "object", "properties": properties, "required": ["word_q7", "last_q7"]}
    return {
        "type": "function",
        "function": {"name": name, "description": "Does it.", "parameters": parameters},
    }


TOOLS: Final = [tool(name) for name in NAMES]
# A type that is one of several, or no type, is more than some templates can show.
RICH_TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": NAMES[0],
            "description": "Does it.",
            "parameters": {
                "type": "object",
                "properties": {
                    "either_q7": {"type": ["string", "null"]},
                    "any_q7": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "object_q7": {"type": "object", "properties": {"kq": {"type": "string"}}},
                    "untyped_q7": {"enum": ["a", 1]},
                    "list_q7": {"type": "array"},
                },
            },
        },
    }
]


def call(index: int, as_text: bool, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    value = ARGUMENTS[index] if arguments is None else arguments
    return {
        "id": IDS[index],
        "type": "function",
        "function": {"name": NAMES[index], "arguments": json.dumps(value) if as_text else value},
    }


def calling(count: int, as_text: bool, content: str | None) -> Message:
    calls = [call(index, as_text) for index in range(count)]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(index: int) -> Message:
    return {
        "role": "tool",
        "tool_call_id": IDS[index],
        "name": NAMES[index],
        "content": RESULTS[index],
    }


def saying(**fields: Any) -> Message:
    return {"role": "assistant", "content": SAID, **fields}


def extra_arguments(template: Template) -> dict[str, Any]:
    """What some templates want besides, of tools: a text of them under another name."""
    wanted: dict[str, Any] = {}
    if "functions" in template.source and "system_prompt_suffix" in template.source:
        wanted = {"functions": json.dumps(TOOLS), "datetime": "2024-01-01"}
    return wanted


def rendered(
    template: Template,
    messages: list[Message],
    tools: list[dict[str, Any]] | None = None,
    generation_prompt: bool = False,
    **arguments: Any,
) -> str | None:
    """With tools as the template can show them, or none in a way that it takes."""
    ways: list[list[dict[str, Any]] | None] = [None, []]
    if tools:
        ways = [tools, [simple_definition(item) for item in tools]]
    given = {**extra_arguments(template), **arguments}
    for way in ways:
        text = template.try_render(messages, way, given, generation_prompt)
        if text is not None:
            return text
    return None


def turn(
    template: Template,
    *messages: Message,
    generation_prompt: bool = False,
    with_tools: bool = True,
    **arguments: Any,
) -> str | None:
    """What a template writes after the question; None where it takes them not."""
    tools = TOOLS if with_tools else None
    text = rendered(template, [USER, *messages], tools, generation_prompt, **arguments)
    if text is None or QUESTION not in text:
        return None
    return text[text.rindex(QUESTION) + len(QUESTION) :]
