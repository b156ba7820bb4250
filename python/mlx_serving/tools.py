"""What follows from the tools that a request offers: texts and the formats of calls share it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .messages import Tool, ToolOffer

CUSTOM_INPUT: Final = "input"
"""The one argument of a custom tool."""


def schema_of(tool: Tool) -> Mapping[str, Any]:
    """Of its arguments."""
    if not tool.custom:
        return tool.parameters or {"type": "object", "properties": {}}
    text: dict[str, Any] = {"type": "string"}
    if tool.pattern is not None:
        text["pattern"] = f"^(?:{tool.pattern})$"
    return {
        "type": "object",
        "properties": {CUSTOM_INPUT: text},
        "required": [CUSTOM_INPUT],
        "additionalProperties": False,
    }


def kept_schema_of(tool: Tool) -> Mapping[str, Any]:
    """What the arguments that a grammar lets through are kept to."""
    if tool.kept is None:
        return schema_of(tool)
    kept: Mapping[str, Any] = json.loads(tool.kept)
    return kept


def callable_tools(offer: ToolOffer | None) -> Sequence[Tool]:
    """What may be called in the answer."""
    return () if offer is None or offer.choice == "none" else offer.tools
