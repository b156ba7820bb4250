"""Looks at one template: every check is a function that says what is wrong, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlx_serving.calls.format import FormatUnknown, Tool, ToolRefused
from mlx_serving.calls.grammar import AUTO, REQUIRED, Named, call_grammar
from mlx_serving.calls.history import prepare
from mlx_serving.calls.model_format import ModelFormat, derive_model_format
from mlx_serving.calls.reasoning import opens
from mlx_serving.calls.rendering import render_calls
from mlx_serving.calls.template import Template

from . import second_source
from .bytes_tokenizer import accepts, tokenizer_for
from .read import Read, read_pieces
from .real_template import real_template

WEATHER: Final = Tool(
    "get_weather",
    "The weather of a place.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "A city."},
            "days": {"type": "integer"},
            "ratio": {"type": "number"},
            "ok": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "options": {"type": "object", "properties": {"deep": {"type": "object"}}},
            "note": {"type": ["string", "null"]},
        },
        "required": ["city"],
    },
)
FLAG: Final = Tool(
    "set_flag",
    "Sets a flag.",
    {"type": "object", "properties": {"flag": {"type": "boolean"}}, "required": ["flag"]},
)
TOOLS: Final = (WEATHER, FLAG)
EVERYTHING: Final[dict[str, Any]] = {
    "city": 'São "Paulo" {x} [y] 東京\n\\line 2 < 3 & 4',
    "days": -3,
    "ratio": 2.5,
    "ok": True,
    "tags": ["a", "b c"],
    "options": {"deep": {"k": [1, None, False, "x"]}},
    "note": None,
}
# mlx-lm's parsers don't all read a quote, a null or what follows a space.
PLAIN: Final[dict[str, Any]] = {**EVERYTHING, "city": "Oslo"}
del PLAIN["note"]
ONE: Final = [("get_weather", EVERYTHING)]
TWO: Final = [("get_weather", EVERYTHING), ("set_flag", {"flag": False})]
SAME_TWICE: Final = [("get_weather", {"city": ""}), ("get_weather", {"city": "x"})]
BEFORE: Final = "I look it up. It is < 5."
THOUGHT: Final = 'Is it <b>?\nThen </thin and {"name": 1}.'
ANSWER: Final = "It is < 5."


@dataclass(frozen=True)
class Examined:
    """`wrong`: what each check has found, by its name. `mlx_lm`: the parser that mlx-lm picks."""

    name: str
    model: ModelFormat | None
    wrong: Mapping[str, str]
    mlx_lm: str | None

    @property
    def whole(self) -> bool:
        return self.model is not None and not self.wrong


def examine(name: str, source: str) -> Examined:
    template = real_template(source)
    try:
        model = derive_model_format(template)
    except FormatUnknown as why:
        return Examined(name, None, {"format": str(why)}, None)
    wrong = {}
    for check, look in CHECKS.items():
        found = look(name, template, model)
        if found is not None:
            wrong[check] = found
    return Examined(name, model, wrong, second_source.parser_of(source))


Check = Callable[[str, Template, ModelFormat], str | None]


def history(_: str, template: Template, model: ModelFormat) -> str | None:
    """A conversation with two calls at once and their results is rendered whole, in order."""
    asked = {"get_weather": {"city": "Oslo-q"}, "set_flag": {"flag": True}}
    calls = [
        {"id": f"call_of_{name}", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for name, arguments in asked.items()
    ]
    messages = [
        {"role": "user", "content": "Question-q"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_of_get_weather", "content": "Result-1-q"},
        {"role": "tool", "tool_call_id": "call_of_set_flag", "content": "Result-2-q"},
    ]
    made = prepare(messages, TOOLS, model.calls, model.needs, model.reasoning)
    text = template.render(made.messages, made.tools, made.arguments, True)
    at = text.find("Question-q")
    for wanted in ("Oslo-q", "Result-1-q", "Result-2-q"):
        at = text.find(wanted, at + 1)
        if at < 0:
            return f"{wanted} is not where it belongs"
    names = [tool.name for tool in TOOLS if tool.name not in text]
    return f"{names[0]} is not offered" if names else None


def parsing(_: str, __: Template, model: ModelFormat) -> str | None:
    """Calls come back as they were written, whatever the cuts, and content before them stays."""
    for calls in (ONE, TWO, SAME_TWICE):
        text = render_calls(model.calls, calls)
        for before in ("", BEFORE):
            if before and not model.calls.begin:
                continue
            for pieces in _cuts(_after_content(model, before, text)):
                read = read_pieces(pieces, model.calls, model.reasoning, False, TOOLS)
                if read != _wanted(read, before, "", calls):
                    return f"{len(calls)} calls after {before!r} are read as {read}"
    return None


def reasoning(_: str, template: Template, model: ModelFormat) -> str | None:
    """Reasoning is told from content and from calls, opened by the model or by the prompt."""
    if model.reasoning is None:
        return None
    prompt = template.try_render([{"role": "user", "content": "Question"}], None, {}, True)
    if prompt is not None and opens(prompt, model.reasoning) != model.reasoning.opened:
        return "the prompt opens it with tools only, or without them only"
    for opened in (False, True):
        for calls in ([], ONE):
            text = _thinking(model, opened, render_calls(model.calls, calls) if calls else "")
            for pieces in _cuts(text):
                read = read_pieces(pieces, model.calls, model.reasoning, opened, TOOLS)
                if read != _wanted(read, "" if calls else ANSWER, THOUGHT, calls):
                    return f"it is read as {read}"
    return None


def grammar(_: str, __: Template, model: ModelFormat) -> str | None:
    """What the grammar takes and what it refuses, with marks as tokens and as text."""
    format = model.calls
    one, two = render_calls(format, ONE), render_calls(format, TWO)
    flag = render_calls(format, TWO[1:])
    several = not format.single
    refused = {
        "an unknown tool": render_calls(format, [("get_nothing", {"city": "x"})]),
        "a wrong type": render_calls(format, [("set_flag", {"flag": "perhaps"})]),
        "a missing argument": render_calls(format, [("get_weather", {"days": 1})]),
    }
    for with_tokens in (False, True):
        tokenizer = tokenizer_for(model, with_tokens)
        try:
            for choice, parallel, text, right in (
                (REQUIRED, True, one, True),
                (REQUIRED, True, two, several),
                (REQUIRED, False, one, True),
                (REQUIRED, False, two, False),
                (Named("set_flag"), True, flag, True),
                (Named("set_flag"), True, one, False),
                (AUTO, True, one, True),
                (AUTO, True, two, several),
                *((REQUIRED, True, text, False) for text in refused.values()),
                *((AUTO, True, text, False) for text in refused.values()),
            ):
                made = call_grammar(
                    format, TOOLS, choice, parallel, model.reasoning, special=tokenizer.special
                )
                if accepts(tokenizer, made.lark, text) != right:
                    verb = "refuses" if right else "takes"
                    return f"{choice}, tokens {with_tokens}: {verb} {text}"
        except (ToolRefused, ValueError) as why:
            return str(why)
    return None


def mlx_lm(name: str, template: Template, model: ModelFormat) -> str | None:
    """What we write is read by mlx-lm's parser as we mean it."""
    parser = second_source.parser_of(template.source)
    if parser is None or name in second_source.DIFFERS:
        return None
    for calls in ([("get_weather", PLAIN)], [("get_weather", PLAIN), ("set_flag", {"flag": True})]):
        text = render_calls(model.calls, calls)
        try:
            found = second_source.parsed(parser, text, TOOLS)
        except Exception as error:
            return f"{parser} raises {error!r} for {text}"
        if found != calls:
            return f"{parser} reads {found}"
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "history": history,
    "parsing": parsing,
    "reasoning": reasoning,
    "grammar": grammar,
    "mlx-lm": mlx_lm,
}


def _cuts(text: str) -> Iterable[list[str]]:
    yield [text]
    yield list(text)
    yield [text[at : at + 3] for at in range(0, len(text), 3)]


def _wanted(read: Read, content: str, thought: str, calls: list[tuple[str, Any]]) -> Read:
    """Arguments are compared as values: their spaces are the model's."""
    same = read.calls == calls
    return Read(
        content,
        thought,
        [name for name, _ in calls],
        read.texts if same else [],
        [True] * len(calls),
    )


def _after_content(model: ModelFormat, content: str, calls: str) -> str:
    channels = model.calls.channels
    if not content:
        return calls
    if channels is None:
        return f"{content}\n{calls}"
    end = channels.ends[0] if channels.ends else ""
    return f"{channels.content_header}{channels.message}{content}{end}{channels.start}{calls}"


def _thinking(model: ModelFormat, opened: bool, calls: str) -> str:
    channels, format = model.calls.channels, model.reasoning
    assert format is not None
    begin = "" if opened else format.begin
    if channels is None:
        return f"{begin}\n{THOUGHT}\n{format.end}\n\n{calls or ANSWER}"
    answer = calls or f"{channels.content_header}{channels.message}{ANSWER}"
    return f"{begin}{THOUGHT}{format.end}{channels.start}{answer}"
