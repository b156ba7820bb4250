"""The grammar of a turn's calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..format import NAME, NAME_PATTERN, CallFormat, Channels, ReasoningFormat, Tool, ToolRefused
from .arguments import arguments_rule
from .lark import Lark


@dataclass(frozen=True, slots=True)
class Named:
    """A call of just this tool is wanted."""

    name: str


Choice = Literal["auto", "required"] | Named
AUTO: Final[Choice] = "auto"
REQUIRED: Final[Choice] = "required"
Thinking = Literal["no", "may", "open"]
"""Whether reasoning comes before what the grammar describes: none, if the model likes, or it is
open already."""
SPACES: Final = r"/[ \n]{0,4}/"


@dataclass(frozen=True, slots=True)
class CallGrammar:
    """`lark`: for llguidance. `begin`: None: it holds from the first token on (after reasoning,
    where `thinking` is `no`). Else it waits until a call has begun, which the parser tells
    (`in_call`), and is fed from the token on that has the mark's first sign."""

    lark: str
    begin: str | None


def call_grammar(
    format: CallFormat,
    tools: Sequence[Tool],
    choice: Choice,
    parallel: bool = True,
    reasoning: ReasoningFormat | None = None,
    thinking: Thinking = "no",
    special: Mapping[str, int] | None = None,
) -> CallGrammar:
    """Calls of these tools in this format. `special`: control tokens that no text gives, by name:
    those that llguidance's tokenizer takes for special. Raises `ToolRefused`."""
    if isinstance(choice, Named):
        tools = [tool for tool in tools if tool.name == choice.name]
    if not tools:
        raise ToolRefused(choice.name if isinstance(choice, Named) else "", "", "is not offered")
    for tool in tools:
        if not NAME_PATTERN.fullmatch(tool.name):
            raise ToolRefused(tool.name, "", "this name can't be written in a call")
    lark = Lark(special or {})
    parallel = parallel and not format.single
    if format.channels is not None:
        return CallGrammar(_channels(lark, format, format.channels, tools, choice, parallel), None)
    if choice == "auto":
        return _auto(lark, format, tools, parallel)
    thought = _thought(lark, reasoning, thinking)
    calls = _calls(lark, format, tools, parallel, format.open + format.before)
    return CallGrammar(lark.text(f"{thought} {SPACES} {calls}".strip()), None)


def _thought(lark: Lark, reasoning: ReasoningFormat | None, thinking: Thinking) -> str:
    if reasoning is None or thinking == "no":
        return ""
    rest = lark.until(reasoning.end)
    if thinking == "open":
        return rest
    return f"({SPACES} {lark.literal(reasoning.begin)} {rest})?"


def _auto(lark: Lark, format: CallFormat, tools: Sequence[Tool], parallel: bool) -> CallGrammar:
    head = format.open + format.before
    if not format.begin:
        # A turn that begins like a call is one.
        calls = _calls(lark, format, tools, parallel, head)
        text = lark.rule(r"/\s*[^\s{](?s:.*)/")
        return CallGrammar(lark.text(f"{SPACES} {calls} | {text}"), None)
    ways = [_after_mark(lark, format, tools, parallel, head, format.begin)]
    if format.short_begin:
        ways.append(_after_mark(lark, format, tools, parallel, head, format.short_begin))
    return CallGrammar(lark.text(" | ".join(ways)), format.begin)


def _after_mark(
    lark: Lark, format: CallFormat, tools: Sequence[Tool], parallel: bool, head: str, mark: str
) -> str:
    rest = head[head.index(mark) + len(mark) :]
    calls = _calls(lark, format, tools, parallel, rest)
    if lark.begins_with_token(mark):
        return f"{lark.literal(mark)} {calls}"
    # Its token may begin with the end of the text before.
    return f"{lark.until(mark)} {calls}"


def _calls(lark: Lark, format: CallFormat, tools: Sequence[Tool], parallel: bool, head: str) -> str:
    """After `head`: the calls and what ends them."""
    parts = [_one(lark, format, tools, head)]
    if parallel:
        parts.append(f"{_one(lark, format, tools, format.separator + format.before)}*")
    parts.append(lark.literal(format.close))
    return lark.rule(" ".join(part for part in parts if part))


def _one(lark: Lark, format: CallFormat, tools: Sequence[Tool], head: str) -> str:
    """Each tool's name is one text with what stands before it: a lexer takes the longest text
    there is, and doesn't come back."""
    return lark.rule(" | ".join(_call(lark, format, tool, head) for tool in tools))


def _call(lark: Lark, format: CallFormat, tool: Tool, head: str) -> str:
    between = format.between.replace(NAME, tool.name)
    parts = [
        lark.literal(head + tool.name + between),
        arguments_rule(lark, format, tool),
        lark.literal(format.after),
    ]
    return lark.rule(" ".join(part for part in parts if part))


def _channels(
    lark: Lark,
    format: CallFormat,
    channels: Channels,
    tools: Sequence[Tool],
    choice: Choice,
    parallel: bool,
) -> str:
    """A whole turn: its messages have headers, and nothing stands outside of them."""
    calls = _calls(lark, format, tools, parallel, format.before)
    turn = [calls]
    if choice == "auto":
        content = lark.literal(channels.content_header + channels.message)
        turn.append(lark.rule(f"{content} {lark.anything()}"))
    thought = ""
    if channels.reasoning_header is not None:
        end, head = channels.ends[0], channels.reasoning_header + channels.message
        again = lark.literal(channels.start)
        thought = f"({lark.literal(head)} {lark.until(end)} {again})*"
    return lark.text(f"{thought} ({' | '.join(turn)})".strip())
