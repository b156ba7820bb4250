"""What a request says of tools and of reasoning. Shapes alone: link, texts and the formats of calls
share them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

CUSTOM_INPUT: Final = "input"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a request offers. `parameters`: the schema of its arguments; for a custom tool,
    whose one argument is the string `input`, `pattern` or `lark` may say how that is made. `kept`:
    the schema that its grammar keeps, as JSON; None: the same one. `loose`: where a format can't
    keep to all of it, it may keep to less."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = False
    pattern: str | None = None
    lark: str | None = None
    kept: str | None = None
    loose: bool = False

    @property
    def kept_schema(self) -> Mapping[str, Any]:
        """What the arguments that a grammar lets through are kept to."""
        if self.kept is None:
            return self.schema
        kept: Mapping[str, Any] = json.loads(self.kept)
        return kept

    @property
    def schema(self) -> Mapping[str, Any]:
        if not self.custom:
            return self.parameters or {"type": "object", "properties": {}}
        text: dict[str, Any] = {"type": "string"}
        if self.pattern is not None:
            text["pattern"] = f"^(?:{self.pattern})$"
        return {
            "type": "object",
            "properties": {CUSTOM_INPUT: text},
            "required": [CUSTOM_INPUT],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Named:
    """The one tool that must be called."""

    name: str


Choice = Literal["none", "auto", "required"] | Named


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """`parallel`: an answer may have several calls."""

    tools: tuple[Tool, ...]
    choice: Choice = "auto"
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ReasoningRequest:
    """`enabled`: None is the template's default. `max_tokens`: None is without a limit."""

    enabled: bool | None = None
    max_tokens: int | None = None


def callable_tools(offer: ToolOffer | None) -> tuple[Tool, ...]:
    """What may be called in the answer."""
    return () if offer is None or offer.choice == "none" else offer.tools
