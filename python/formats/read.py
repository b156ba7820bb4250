"""What a parser made of a text, gathered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlx_serving.calls.events import (
    CallArguments,
    CallBegin,
    CallEnd,
    Content,
    Event,
    Reasoning,
)
from mlx_serving.calls.format import CallFormat, ReasoningFormat, Tool
from mlx_serving.calls.parser import output_parser


@dataclass
class Read:
    content: str = ""
    reasoning: str = ""
    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Those that are whole."""
        pairs = zip(self.names, self.texts, self.ended, strict=False)
        return [(name, json.loads(text)) for name, text, complete in pairs if complete]


def gathered(events: Iterable[Event]) -> Read:
    """Raises `AssertionError` where events come in an order that none should."""
    read = Read()
    for event in events:
        match event:
            case Content(text):
                assert text and len(read.ended) == len(read.names)
                read.content += text
            case Reasoning(text):
                assert text and len(read.ended) == len(read.names)
                read.reasoning += text
            case CallBegin(index, name):
                assert index == len(read.names) == len(read.ended)
                read.names.append(name)
                read.texts.append("")
            case CallArguments(index, text):
                assert text and index == len(read.names) - 1 == len(read.ended)
                read.texts[index] += text
            case CallEnd(index, complete):
                assert index == len(read.names) - 1 == len(read.ended)
                read.ended.append(complete)
    assert len(read.ended) == len(read.names)
    return read


def read_pieces(
    pieces: Iterable[str],
    format: CallFormat | None,
    reasoning: ReasoningFormat | None = None,
    starts_in_reasoning: bool = False,
    tools: Sequence[Tool] = (),
) -> Read:
    parser = output_parser(format, reasoning, starts_in_reasoning, tools)
    events = [event for piece in pieces for event in parser.push(piece)]
    return gathered([*events, *parser.finish()])
