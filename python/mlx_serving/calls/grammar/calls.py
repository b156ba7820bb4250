"""The grammar of a turn's calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..format import NAME, NAME_PATTERN, CallFormat, Channels, ReasoningFormat, Tool, ToolRefused
from .arguments import arguments_rule
from .lark import Lark

Answer = Callable[[Lark], str]
"""Writes the rule of an answer that is no call."""


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
    json_options: Mapping[str, Any] | None = None,
    answer: Answer | None = None,
) -> CallGrammar:
    """Calls of these tools in this format. `special`: control tokens that no text gives, by name:
    those that llguidance's tokenizer takes for special. `json_options`: how llguidance is to write
    JSON. `answer`: what an answer is kept to that is no call. Raises `ToolRefused`."""
    if isinstance(choice, Named):
        tools = [tool for tool in tools if tool.name == choice.name]
    if not tools:
        raise ToolRefused(choice.name if isinstance(choice, Named) else "", "", "is not offered")
    for tool in tools:
        if not NAME_PATTERN.fullmatch(tool.name):
            raise ToolRefused(tool.name, "", "this name can't be written in a call")
    lark = Lark(special or {}, json_options)
    parallel = parallel and not format.single
    channels = format.channels
    if channels is not None:
        content = None if choice != "auto" else answer or Lark.anything
        calls = _calls(lark, format, tools, parallel, format.before)
        return CallGrammar(_channels(lark, channels, [calls], content, thinking), None)
    head = format.open + format.before
    if choice == "auto" and answer is None and format.begin:
        return _waiting(lark, format, tools, parallel, head)
    thought = _thought(lark, reasoning, thinking)
    # An answer may begin with it too, and a lexer takes the longest text there is.
    brace = "{" if answer is not None and head.startswith("{") else ""
    turn = _calls(lark, format, tools, parallel, head.removeprefix(brace))
    turn = f"{lark.literal(brace)} {turn}".strip()
    if not thought:
        turn = f"{SPACES} {turn}"
    if choice == "auto":
        # A turn that begins like a call is one.
        text = answer(lark) if answer is not None else lark.rule(r"/\s*[^\s{](?s:.*)/")
        turn = f"({turn} | {text})"
    return CallGrammar(lark.text(f"{thought} {turn}".strip()), None)


def answer_grammar(
    answer: Answer,
    channels: Channels | None = None,
    reasoning: ReasoningFormat | None = None,
    thinking: Thinking = "no",
    special: Mapping[str, int] | None = None,
    json_options: Mapping[str, Any] | None = None,
) -> str:
    """An answer without calls, after reasoning where there is any."""
    lark = Lark(special or {}, json_options)
    if channels is not None:
        return _channels(lark, channels, [], answer, thinking)
    thought = _thought(lark, reasoning, thinking)
    return lark.text(f"{thought} {answer(lark)}".strip())


def _thought(lark: Lark, reasoning: ReasoningFormat | None, thinking: Thinking) -> str:
    """With the spaces that follow it: they are no text of the answer."""
    if reasoning is None or thinking == "no":
        return ""
    rest = lark.until(reasoning.end)
    if thinking == "open":
        return f"{rest} {SPACES}"
    return f"({SPACES} {lark.literal(reasoning.begin)} {rest} {SPACES})?"


def _waiting(
    lark: Lark, format: CallFormat, tools: Sequence[Tool], parallel: bool, head: str
) -> CallGrammar:
    ways = _after_mark(lark, format, tools, parallel, head, format.begin)
    if format.short_begin:
        ways += _after_mark(lark, format, tools, parallel, head, format.short_begin)
    return CallGrammar(lark.text(" | ".join(ways)), format.begin)


def _after_mark(
    lark: Lark, format: CallFormat, tools: Sequence[Tool], parallel: bool, head: str, mark: str
) -> list[str]:
    rest = head[head.index(mark) + len(mark) :]
    calls = _calls(lark, format, tools, parallel, rest)
    # Its token may begin with the end of the text before.
    spelled = f"{lark.until(mark, spelled=True)} {calls}"
    if lark.begins_with_token(mark):
        return [f"{lark.literal(mark)} {calls}", spelled]
    return [spelled]


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
    channels: Channels,
    turn: list[str],
    content: Answer | None,
    thinking: Thinking,
) -> str:
    """A whole turn: its messages have headers, and nothing stands outside of them. `turn`: what
    it may be beside content."""
    if content is not None:
        header = lark.literal(channels.content_header + channels.message)
        turn = [*turn, lark.rule(f"{header} {content(lark)}")]
    thought = ""
    if channels.reasoning_header is not None:
        end, head = channels.ends[0], channels.reasoning_header + channels.message
        again = lark.literal(channels.start)
        thought = f"({lark.literal(head)} {lark.until(end)} {again})*"
        if thinking == "open":
            thought = f"{lark.until(end)} {again} {thought}"
    return lark.text(f"{thought} ({' | '.join(turn)})".strip())
