"""The format in which a model calls tools, as data: parser, grammar and rendering read it.

A turn with calls is `open`, the calls with `separator` between them, and `close`. A call is
`before`, its name, `between`, its arguments and `after`; some of these have slots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..messages import Tool as Tool
from ..tools import CUSTOM_INPUT as CUSTOM_INPUT

# Slots in the parts of a format: characters of the private plane, which no template writes.
KEY: Final = "\ue000"
ID: Final = "\ue001"
INDEX_FROM_0: Final = "\ue002"
INDEX_FROM_1: Final = "\ue003"
SLOTS: Final = (KEY, ID, INDEX_FROM_0, INDEX_FROM_1)

# Names of tools hold none of these, so that one ends where a format goes on.
NAME_PATTERN: Final = re.compile(r"[^\s<>\"'{}()\[\]|:,=\\\uff5c\ue000-\ue004]+")

JsonType = Literal["string", "integer", "number", "boolean", "null", "array", "object"]
JSON_TYPES: Final[tuple[JsonType, ...]] = (
    "string",
    "integer",
    "number",
    "boolean",
    "null",
    "array",
    "object",
)
Spacing = Literal["spaced", "compact", "any"]
"""How JSON is spaced in the model's own calls: `", "` and `": "`, nothing, or neither for sure."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Name and arguments are members of one JSON object: `{"name": …, "arguments": {…}}`."""

    name_key: str
    arguments_key: str


@dataclass(frozen=True, slots=True)
class JsonArguments:
    """The name stands before the arguments, which are one JSON object."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """Every argument between marks: `open`, its name, `mids` of its type, its value, `closes` of
    its type. Strings are written as they are, all else as JSON. `cdata`: a string with `<`, `&` or
    a line's end stands in a CDATA block. A string can't hold the mark that closes it."""

    open: str
    mids: Mapping[JsonType, str]
    closes: Mapping[JsonType, str]
    separator: str = ""
    cdata: bool = False

    def mid(self, kind: JsonType) -> str:
        return self.mids[kind]

    def close(self, kind: JsonType, key: str) -> str:
        return self.closes[kind].replace(KEY, key)


@dataclass(frozen=True, slots=True)
class Pythonic:
    """Keyword arguments: `city="Oslo", days=7`."""


@dataclass(frozen=True, slots=True)
class Braced:
    """Bare keys, and strings between marks: `city:<|"|>Oslo<|"|>,days:7`."""

    quote: str


Style = JsonObject | JsonArguments | Tagged | Pythonic | Braced


NAME: Final = "\ue004"
"""Slot of the tool's name where a format writes it twice."""


@dataclass(frozen=True, slots=True)
class Channels:
    """A turn of messages, each with a header that says what it is: `start`, header, `message`, the
    body, one of `ends`. The prompt has the first `start`.

    `content_header`, `reasoning_header`: as the model writes them (a header may be empty; None: it
    has no reasoning). `call_pattern`, `reasoning_pattern`: by which a header is told, for calls
    with a group for the name. What is neither is content.
    """

    start: str
    message: str
    ends: tuple[str, ...]
    content_header: str
    reasoning_header: str | None
    call_pattern: str
    reasoning_pattern: str | None


@dataclass(frozen=True, slots=True)
class CallFormat:
    """`begin`: the mark by which a call is told from content; empty where calls have none, and a
    turn that begins like a call is one. `content_marks`: what the model writes around content, and
    no client should see. `single`: the template knows one call a turn. `short_begin`: what models
    begin a call with when they leave out `begin`; a tool's name must follow."""

    family: str
    style: Style
    before: str
    between: str
    after: str
    open: str = ""
    separator: str = ""
    close: str = ""
    begin: str = ""
    short_begin: str = ""
    spacing: Spacing = "spaced"
    content_marks: tuple[str, ...] = ()
    channels: Channels | None = None
    source: Literal["derived", "table", "generic"] = "table"
    single: bool = False

    @property
    def marks(self) -> tuple[str, ...]:
        """Every text of the format that may be a token: a parser must be fed their names."""
        style = self.style
        parts = [self.open, self.before, self.between, self.after, self.separator, self.close]
        if isinstance(style, Tagged):
            parts += [style.open, *style.mids.values(), *style.closes.values(), style.separator]
        elif isinstance(style, Braced):
            parts.append(style.quote)
        if self.channels is not None:
            channels = self.channels
            parts += [channels.start, channels.message, *channels.ends]
            parts += [channels.content_header, channels.reasoning_header or ""]
        parts += [self.begin, *self.content_marks]
        return tuple(dict.fromkeys(part for part in parts if part))


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """How a model sets its reasoning apart. `on`, `off`: template arguments that switch it; None
    where it can't be switched. `opened`: the prompt opens it by default, so that the answer begins
    in it. `field`: the message's field in which the template takes reasoning back."""

    begin: str
    end: str
    opened: bool = False
    on: Mapping[str, Any] | None = None
    off: Mapping[str, Any] | None = None
    field: str | None = None


class FormatUnknown(Exception):
    """No format could be derived; the message says why."""


class ToolRefused(Exception):
    """A tool that the grammar of this format can't enforce. `path`: where in its schema."""

    def __init__(self, tool: str, path: str, reason: str) -> None:
        super().__init__(f"{tool}{path and ' ' + path}: {reason}")
        self.tool = tool
        self.path = path
        self.reason = reason
