"""Families whose format their template doesn't show, or not in a way that can be compared, told by
something that stands in the template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from .format import (
    JSON_TYPES,
    KEY,
    NAME,
    Braced,
    CallFormat,
    Channels,
    JsonArguments,
    JsonObject,
    JsonType,
    Pythonic,
    Tagged,
)

GENERIC: Final = CallFormat(
    family="generic",
    style=JsonObject("name", "arguments"),
    before='<tool_call>\n{"name": "',
    between='", "arguments": ',
    after="}\n</tool_call>",
    separator="\n",
    begin="<tool_call>",
    source="generic",
)


def _same(text: str) -> dict[JsonType, str]:
    return dict.fromkeys(JSON_TYPES, text)


HARMONY: Final = CallFormat(
    family="harmony",
    style=JsonArguments(),
    before="<|channel|>commentary to=functions.",
    between=" <|constrain|>json<|message|>",
    after="",
    separator="<|call|><|start|>assistant",
    begin="<|start|>",
    channels=Channels(
        start="<|start|>assistant",
        message="<|message|>",
        ends=("<|end|>", "<|call|>", "<|return|>"),
        content_header="<|channel|>final",
        reasoning_header="<|channel|>analysis",
        call_pattern=r"to=functions\.([^\s<]+)",
        reasoning_pattern=r"<\|channel\|>\s*analysis",
    ),
    single=True,
)
FUNCTIONARY_3_2: Final = CallFormat(
    family="functionary",
    style=JsonArguments(),
    before="",
    between="\n",
    after="",
    separator=">>>",
    begin=">>>",
    channels=Channels(
        start=">>>",
        message="\n",
        ends=(),
        content_header="all",
        reasoning_header=None,
        call_pattern=r"^\s*(?!all\s*$)(\S+)\s*$",
        reasoning_pattern=None,
    ),
)
MUSE: Final = CallFormat(
    family="muse",
    style=Tagged('<atem:parameter name="', _same('">'), _same("</atem:parameter>\n")),
    before=" to=",
    between=f'<|message|><atem:function_calls>\n<atem:invoke name="{NAME}">\n',
    after="</atem:invoke>\n</atem:function_calls>",
    separator="<|eom|><|start|>assistant",
    begin="<|start|>",
    channels=Channels(
        start="<|start|>assistant",
        message="<|message|>",
        ends=("<|eom|>", "<|eot|>"),
        content_header=" to=user",
        reasoning_header=" to=self",
        call_pattern=r"to=(?!(?:user|self)\b)([^\s<]+)",
        reasoning_pattern=r"to=self\b",
    ),
)
LFM2: Final = CallFormat(
    family="Pythonic",
    style=Pythonic(),
    open="<|tool_call_start|>[",
    before="",
    between="(",
    after=")",
    separator=", ",
    close="]<|tool_call_end|>",
    begin="<|tool_call_start|>",
)
GEMMA_4: Final = CallFormat(
    family="Gemma 4",
    style=Braced('<|"|>'),
    before="<|tool_call>call:",
    between="{",
    after="}<tool_call|>",
    begin="<|tool_call>",
    spacing="compact",
)
FUNCTION_GEMMA: Final = replace(
    GEMMA_4,
    family="FunctionGemma",
    style=Braced("<escape>"),
    before="<start_function_call>call:",
    after="}<end_function_call>",
    begin="<start_function_call>",
)
_MINIMAX_3: Final = "]<]minimax[>["
MINIMAX_3: Final = CallFormat(
    family="MiniMax M3",
    style=Tagged(f"{_MINIMAX_3}<", _same(">"), _same(f"{_MINIMAX_3}</{KEY}>")),
    open=f"{_MINIMAX_3}<tool_call>\n",
    before=f'{_MINIMAX_3}<invoke name="',
    between='">',
    after=f"{_MINIMAX_3}</invoke>\n",
    close=f"{_MINIMAX_3}</tool_call>",
    begin=f"{_MINIMAX_3}<tool_call>",
)
GRANITE_3: Final = CallFormat(
    family="Granite 3",
    style=JsonObject("name", "arguments"),
    open="<|tool_call|>[",
    before='{"name": "',
    between='", "arguments": ',
    after="}",
    separator=", ",
    close="]",
    begin="<|tool_call|>",
)
COMMAND_R_PLUS: Final = CallFormat(
    family="Command R+",
    style=JsonObject("tool_name", "parameters"),
    open="Action:\n```json\n[\n",
    before='    {\n        "tool_name": "',
    between='",\n        "parameters": ',
    after="\n    }",
    separator=",\n",
    close="\n]```",
    begin="Action:",
    spacing="any",
)
DEEPSEEK_R1: Final = CallFormat(
    family="DeepSeek R1",
    style=JsonArguments(),
    open="<｜tool▁calls▁begin｜>",
    before="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    between="\n```json\n",
    after="\n```<｜tool▁call▁end｜>",
    separator="\n",
    close="<｜tool▁calls▁end｜>",
    begin="<｜tool▁calls▁begin｜>",
)
KIMI_2: Final = CallFormat(
    family="Kimi K2",
    style=JsonArguments(),
    open="<|tool_calls_section_begin|>",
    before="<|tool_call_begin|>functions.",
    between=":\ue002<|tool_call_argument_begin|>",
    after="<|tool_call_end|>",
    close="<|tool_calls_section_end|>",
    begin="<|tool_calls_section_begin|>",
)


@dataclass(frozen=True, slots=True)
class Family:
    """`told_by`: texts that the template must all have. `why`: why it is in the table."""

    format: CallFormat
    told_by: tuple[str, ...]
    why: str

    def is_it(self, source: str) -> bool:
        return all(text in source for text in self.told_by)


FAMILIES: Final = (
    Family(HARMONY, ("<|channel|>", "<|message|>", "functions."), "calls are messages"),
    Family(MUSE, ("<atem:", "<|message|>"), "calls are messages, with headers of their own"),
    Family(FUNCTIONARY_3_2, (">>>all\\n",), "the prompt has the first call's mark"),
    Family(GEMMA_4, ("<|tool_call>", "<tool_call|>"), "strings between marks, at any depth"),
    Family(FUNCTION_GEMMA, ("<start_function_call>", "<escape>"), "strings between marks"),
    Family(MINIMAX_3, ("]<]minimax[>[",), "marks within marks"),
    Family(
        DEEPSEEK_R1, ("<｜tool▁calls▁begin｜>", "```json"), "the end is there for some calls only"
    ),
    Family(KIMI_2, ("<|tool_calls_section_begin|>",), "its template can't be rendered with calls"),
    Family(
        COMMAND_R_PLUS, ("Action:", "```json", "directly-answer"), "a system text follows calls"
    ),
    Family(LFM2, ("<|tool_list_start|>",), "calls are not rendered"),
    Family(LFM2, ("List of tools: [", "keep_past_thinking"), "calls are not rendered"),
    Family(GRANITE_3, ("<|tool_call|>", "available_tools"), "calls are not rendered"),
)


def known(source: str) -> CallFormat | None:
    return next((family.format for family in FAMILIES if family.is_it(source)), None)


# Marks around content, by what stands in the template.
CONTENT_MARKS: Final = (
    ("<|START_RESPONSE|>", ("<|START_RESPONSE|>", "<|END_RESPONSE|>")),
    ("<|START_TEXT|>", ("<|START_TEXT|>", "<|END_TEXT|>")),
    ("[BEGIN FINAL RESPONSE]", ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]")),
    ("<|tool_call:begin|>", ("<|content|>", "<|end|>", "<|begin|>assistant")),
    ("<|python_tag|>", ("<|python_tag|>",)),
)


def adjusted(format: CallFormat, source: str) -> CallFormat:
    """A derived format with what comparing can't see."""
    marks = tuple(mark for text, found in CONTENT_MARKS if text in source for mark in found)
    format = replace(format, content_marks=marks)
    for told_by, adjust in _ADJUSTED:
        if told_by in source:
            format = adjust(format)
    return format


def _kimi_3(format: CallFormat) -> CallFormat:
    response, message = ("<|close|>response<|sep|>", "<|close|>message<|sep|>")
    style = format.style
    assert isinstance(style, Tagged)
    mids = {
        kind: f'" type="{"number" if kind == "integer" else kind}"<|sep|>' for kind in JSON_TYPES
    }
    return replace(
        format,
        style=replace(style, mids=mids),
        open="<|open|>tools<|sep|>",
        close="<|close|>tools<|sep|>",
        begin="<|open|>tools<|sep|>",
        content_marks=("<|open|>response<|sep|>", response, message),
    )


def _cohere(format: CallFormat) -> CallFormat:
    """An empty plan before the first call is reasoning, not the call's."""
    mark = "<|START_ACTION|>"
    return replace(format, open=mark + format.open.partition(mark)[2], begin=mark)


def _with_cdata(format: CallFormat) -> CallFormat:
    assert isinstance(format.style, Tagged)
    return replace(format, style=replace(format.style, cdata=True))


_ADJUSTED: Final[tuple[tuple[str, Callable[[CallFormat], CallFormat]], ...]] = (
    ("open_tag('tools')", _kimi_3),
    ("<![CDATA[", _with_cdata),
    ("<|START_ACTION|>", _cohere),
)
