"""Checks of what a request says of tools and of reasoning. How many and how large they may be is
bounded where clients are heard.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ..tools import Choice, Named, ReasoningRequest, Tool, ToolOffer
from .checks import Misfit, array, boolean, json_value, one_of, record, string, string_map, u32

OFFER_KEYS: Final = frozenset({"tools", "choice", "parallel"})
TOOL_OPTIONAL: Final = {"pattern": None, "lark": None, "kept": None, "loose": False}
TOOL_KEYS: Final = frozenset({"name", "description", "parameters", "custom", *TOOL_OPTIONAL})
REASONING_OPTIONAL: Final = {"enabled": None, "maxTokens": None}


def parse_offer(value: object, path: str) -> ToolOffer | None:
    """None where there is none."""
    if value is None:
        return None
    body = record(value, path, OFFER_KEYS)
    tools = array(body["tools"], path)
    return ToolOffer(
        tools=tuple(_tool(tool, f"{path}[{i}]") for i, tool in enumerate(tools)),
        choice=_choice(body["choice"], f"{path}.choice"),
        parallel=boolean(body["parallel"], f"{path}.parallel"),
    )


def parse_reasoning(value: object, path: str) -> ReasoningRequest | None:
    """None where nothing is said of it."""
    if value is None:
        return None
    given = {**REASONING_OPTIONAL, **string_map(value, path)}
    body = record(given, path, frozenset(REASONING_OPTIONAL))
    enabled, most = body["enabled"], body["maxTokens"]
    return ReasoningRequest(
        None if enabled is None else boolean(enabled, f"{path}.enabled"),
        None if most is None else u32(most, f"{path}.maxTokens"),
    )


def _tool(value: object, path: str) -> Tool:
    body = record({**TOOL_OPTIONAL, **string_map(value, path)}, path, TOOL_KEYS)
    parameters = string_map(body["parameters"], f"{path}.parameters")
    return Tool(
        name=string(body["name"], f"{path}.name"),
        description=string(body["description"], f"{path}.description"),
        parameters=json_value(parameters, f"{path}.parameters"),
        custom=boolean(body["custom"], f"{path}.custom"),
        pattern=_text_or_none(body["pattern"], f"{path}.pattern"),
        lark=_text_or_none(body["lark"], f"{path}.lark"),
        loose=boolean(body["loose"], f"{path}.loose"),
        kept=_schema_text(body["kept"], f"{path}.kept"),
    )


def _choice(value: object, path: str) -> Choice:
    if type(value) is dict:
        return Named(string(record(value, path, frozenset({"name"}))["name"], f"{path}.name"))
    choice: Any = one_of(value, path, ("none", "auto", "required"))
    return choice  # type: ignore[no-any-return]


def _schema_text(value: object, path: str) -> str | None:
    """The text of a JSON object."""
    if value is None:
        return None
    text = string(value, path)
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        schema = None
    if type(schema) is not dict:
        raise Misfit(path, "must be a JSON object, as text")
    return text


def _text_or_none(value: object, path: str) -> str | None:
    return None if value is None else string(value, path)
