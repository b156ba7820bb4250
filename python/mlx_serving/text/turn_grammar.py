"""What one request's turn is kept to: calls of its tools, or an answer in its constraint, after the
model has thought. Says of a turn that can't be kept which part of the request is to blame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..calls import grammar
from ..calls.format import ReasoningFormat, ToolRefused
from ..calls.grammar import CallGrammar, Thinking
from ..calls.model_format import within
from ..calls.reasoning import opens
from ..failures import Refused
from ..grammar.grammars import FIELD as CONSTRAINT
from ..grammar.grammars import Turn, Wish, Written, lark_of
from ..grammar.limits import JSON_OPTIONS
from ..messages import Admission, Constraint, NamedTool, Tool, ToolChoice
from ..tools import callable_tools, schema_of
from .call_watch import CallWatch
from .model import TextModel
from .turn_formats import TurnFormat
from .turn_text import prompt_end

TOOLS: Final = "tools"


@dataclass(frozen=True, slots=True)
class ToolKey:
    """What a grammar knows of a tool: two of one key are one to it."""

    name: str
    kept: str
    custom: bool
    lark: str | None
    loose: bool

    @property
    def characters(self) -> int:
        return len(self.name) + len(self.kept) + len(self.lark or "")


@dataclass(frozen=True, slots=True)
class TurnGrammar:
    """Equal ones have one grammar: the model's format is the same for all of a worker. `control`:
    names of the tokens that may stand in it."""

    keys: tuple[ToolKey, ...]
    choice: ToolChoice
    parallel: bool
    constraint: Constraint | None
    thinking: Thinking
    tools: tuple[Tool, ...] = field(compare=False)
    format: TurnFormat = field(compare=False)
    control: Mapping[str, int] = field(compare=False)
    new_watch: Callable[[], CallWatch] = field(compare=False)

    @property
    def characters(self) -> int:
        own = 0 if self.constraint is None else len(self.constraint.text)
        return own + sum(key.characters for key in self.keys)

    @property
    def is_optional(self) -> bool:
        return self.choice == "auto" and self.constraint is None

    def watch(self) -> CallWatch:
        return self.new_watch()

    def written(self, is_control: Callable[[int], bool]) -> Written:
        special = {name: token for name, token in self.control.items() if is_control(token)}
        try:
            made = self._grammar(special)
        except ToolRefused as refusal:
            raise _refused(refusal.tool, refusal.path, refusal.reason) from refusal
        return Written(made.lark, made.begin is not None, len(self.tools))

    def _grammar(self, special: Mapping[str, int]) -> CallGrammar:
        calls, reasoning = self.format.calls, self.format.reasoning
        answer = None if self.constraint is None else grammar.answer_of(_in_lark(self.constraint))
        if calls is not None and self.tools:
            choice = grammar.Named(self.choice.name) if isinstance(self.choice, NamedTool) else None
            return grammar.call_grammar(
                calls,
                self.tools,
                choice or (grammar.AUTO if self.choice == "auto" else grammar.REQUIRED),
                # Who wants just this tool wants one call of it.
                self.parallel and choice is None,
                reasoning,
                self.thinking,
                special,
                JSON_OPTIONS,
                answer,
            )
        assert answer is not None
        channels = None if calls is None else calls.channels
        text = grammar.answer_grammar(
            answer, channels, reasoning, self.thinking, special, JSON_OPTIONS
        )
        return CallGrammar(text, None)

    def blamed(self, compiles: Callable[[Turn], bool], refusal: Refused) -> Refused:
        if refusal.field != CONSTRAINT or not self.tools:
            return refusal
        if self.constraint is not None and not compiles(self._without_tools()):
            return refusal
        reason = str(refusal).partition(": ")[2]
        tools = self._at_fault(compiles)
        return _refused(tools[0].name if len(tools) == 1 else "", "", reason)

    def _at_fault(self, compiles: Callable[[Turn], bool]) -> Sequence[Tool]:
        """One tool that doesn't compile alone, or such that do so only apart."""
        tools = self.tools
        while len(tools) > 1:
            middle = len(tools) // 2
            halves = (tools[:middle], tools[middle:])
            bad = next((half for half in halves if not compiles(self._of(half))), None)
            if bad is None:
                return tools
            tools = bad
        return tools

    def _of(self, tools: tuple[Tool, ...]) -> TurnGrammar:
        return replace(self, tools=tools, constraint=None, choice="required")

    def _without_tools(self) -> TurnGrammar:
        return replace(self, tools=(), choice="auto")


def turn_grammar(model: TextModel, request: Admission) -> Wish | None:
    """None: the answer is free. A constraint alone where nothing may stand before the answer."""
    constraint = request.constraint
    if request.fake_say is not None:
        return None
    turn = model.turn_format(request) if request.chat else None
    tools = callable_tools(request.tools)
    if turn is None or not (tools or constraint is not None):
        return constraint
    end = prompt_end(model, request.prompt)
    thinking = _thinking(request, turn.reasoning, end)
    has_channels = turn.calls is not None and turn.calls.channels is not None
    if not tools and thinking == "no" and not has_channels:
        return constraint
    offer = request.tools
    choice: ToolChoice = "auto" if offer is None or offer.choice == "none" else offer.choice
    if isinstance(choice, NamedTool):
        tools = tuple(tool for tool in tools if tool.name == choice.name)
    added = model.added_tokens()
    return TurnGrammar(
        keys=tuple(map(_key, tools)),
        choice=choice,
        parallel=offer is None or offer.parallel,
        # Where a call is forced there is no other answer.
        constraint=constraint if choice == "auto" else None,
        thinking=thinking,
        tools=tuple(tools),
        format=turn,
        control={name: added[name] for name in within(_marks(turn), added)},
        new_watch=lambda: CallWatch(model, turn, tools, thinking == "open"),
    )


def _thinking(request: Admission, reasoning: ReasoningFormat | None, end: str) -> Thinking:
    if reasoning is None:
        return "no"
    if opens(end, reasoning):
        return "open"
    is_off = request.reasoning is not None and request.reasoning.enabled is False
    return "no" if is_off or end.rstrip().endswith(reasoning.end.strip()) else "may"


def _marks(turn: TurnFormat) -> tuple[str, ...]:
    marks = () if turn.calls is None else turn.calls.marks
    reasoning = turn.reasoning
    return marks if reasoning is None else (*marks, reasoning.begin, reasoning.end)


def _key(tool: Tool) -> ToolKey:
    kept = json.dumps(schema_of(tool)) if tool.kept is None else tool.kept
    return ToolKey(tool.name, kept, tool.custom, tool.lark, tool.loose)


def _in_lark(constraint: Constraint) -> Constraint:
    if constraint.kind != "lark":
        return constraint
    return replace(constraint, text=lark_of(constraint.text))


def _refused(tool: str, path: str, reason: str) -> Refused:
    """The field is a pointer: the tool's name, and the place in its schema."""
    name = tool.replace("~", "~0").replace("/", "~1")
    where = f"{TOOLS}/{name}{path}" if tool else TOOLS
    return Refused("invalid_request", where, f"{where} can't be kept to: {reason}")
