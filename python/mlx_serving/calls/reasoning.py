"""How a model sets its reasoning apart: derived from where a template puts reasoning of the
history, from what its prompt ends with, and from what switches that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from . import families
from .format import CallFormat, ReasoningFormat
from .probes import SAID, THOUGHT, saying, turn
from .template import Template

# The fields in which templates take reasoning back.
FIELDS: Final = ("reasoning_content", "reasoning", "thinking", "tool_plan")
# Pairs that models are known to write, for templates that don't take reasoning back.
MARKS: Final = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|think|>", "<|end|>"),
    ("<thinking>", "</thinking>"),
    ("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]"),
)
SWITCHES: Final[tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...]] = (
    ({"enable_thinking": True}, {"enable_thinking": False}),
    ({"thinking": True}, {"thinking": False}),
    ({"thinking_mode": "enabled"}, {"thinking_mode": "disabled"}),
    ({"reasoning": True}, {"reasoning": False}),
    ({"thinking_budget": -1}, {"thinking_budget": 0}),
    ({"reasoning_effort": "high"}, {"reasoning_effort": "no_think"}),
    ({"reasoning_effort": "high"}, {"reasoning_effort": "none"}),
)


def derive_reasoning(
    template: Template, format: CallFormat | None = None
) -> ReasoningFormat | None:
    """None for a model that doesn't reason, as far as its template shows."""
    if format is not None and format.channels is not None:
        return _of_channels(format)
    marks = _marks(template)
    if marks is None:
        return None
    begin, end, field = marks
    reasoning = ReasoningFormat(begin, end, field=field)
    prompt = _prompt(template)
    opened = prompt is not None and opens(prompt, reasoning)
    on, off = _switch(template, reasoning, opened)
    return replace(reasoning, opened=opened, on=on, off=off)


def opens(prompt: str, reasoning: ReasoningFormat) -> bool:
    """Whether the answer to a rendered prompt begins inside of reasoning."""
    begin, end = reasoning.begin.strip(), reasoning.end.strip()
    at = prompt.rfind(begin)
    # Only what stands at the very end is the prompt's; else it is what the history tells.
    return at >= 0 and not prompt[at + len(begin) :].strip() and end not in prompt[at:]


def _of_channels(format: CallFormat) -> ReasoningFormat | None:
    channels = format.channels
    assert channels is not None
    if channels.reasoning_header is None:
        return None
    return ReasoningFormat(
        begin=channels.reasoning_header + channels.message,
        end=channels.ends[0],
        field="thinking" if channels is families.HARMONY.channels else "reasoning_content",
    )


def _marks(template: Template) -> tuple[str, str, str | None] | None:
    known = [pair for pair in MARKS if all(_named(mark, template.source) for mark in pair)]
    for field in FIELDS:
        text = turn(template, saying(**{field: THOUGHT}))
        if text is None or THOUGHT not in text or SAID not in text:
            continue
        before, _, rest = text.partition(THOUGHT)
        after = rest.partition(SAID)[0]
        for begin, end in MARKS:
            if end.strip() in after and (begin.strip() in before or (begin, end) in known):
                return begin, end, field
    if not known:
        # The model is left to close what the prompt opens.
        prompt = _prompt(template) or ""
        known = [pair for pair in MARKS if opens(prompt, ReasoningFormat(*pair))]
    return (*known[0], None) if known else None


def _named(mark: str, source: str) -> bool:
    stem = mark.strip().replace(":opensource", "{}")
    if stem in source or stem.replace("\n", "\\n") in source:
        return True
    # Written by a macro of the template.
    return "open_tag('think')" in source and mark.startswith(("<|open|>", "<|close|>"))


def _prompt(template: Template, **arguments: Any) -> str | None:
    """The end of a prompt, with tools if the template takes them."""
    text = turn(template, generation_prompt=True, **arguments)
    if text is not None:
        return text
    return turn(template, generation_prompt=True, with_tools=False, **arguments)


def _switch(
    template: Template, reasoning: ReasoningFormat, opened: bool
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The arguments by which the prompt does and doesn't open reasoning, if there are any."""
    default = _prompt(template)
    for on, off in SWITCHES:
        with_it = _prompt(template, **on)
        without = _prompt(template, **off)
        if with_it is None or without is None or with_it == without:
            continue
        closes = reasoning.end.strip() in without or not opens(without, reasoning)
        if closes and (opens(with_it, reasoning) or with_it == default or not opened):
            return on, off
    return None, None
