"""From tokens to the pieces of a turn: text of the message, reasoning, calls. A function of the
tokens alone, as `RequestText` is, which it stands in for where an answer is read as a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ..calls.custom_input import CustomInput
from ..calls.events import CallArguments, CallBegin, CallEnd, Content, Event, Reasoning
from ..calls.parser import output_parser
from ..calls.reasoning import opens
from ..messages import Admission, Finish, Piece, Said
from ..tools import callable_tools
from .model import TextModel
from .reasoning_limit import ReasoningLimit
from .streaming import Detokenizer, StopMatcher
from .turn_formats import TurnFormat

# What opens reasoning stands at a prompt's very end, and is shorter.
PROMPT_END_TOKENS: Final = 24


class TurnText:
    """Of one request, after `emitted` has been replayed. `stopped`: its answer is over, whatever
    the engine would make next. `shows_logprobs`: whether the last token was one of the message."""

    def __init__(
        self,
        turn: TurnFormat,
        request: Admission,
        detokenizer: Detokenizer,
        stop_tokens: Mapping[int, str],
        in_reasoning: bool,
        limit: ReasoningLimit | None = None,
        beginnings: Sequence[str] = (),
    ) -> None:
        """`beginnings`: texts of the first tokens that the limit forces, one token, two and so on,
        without the whole: what the model has said of them itself is not said again."""
        tools = callable_tools(request.tools)
        shown = turn.shown
        called_by_token = turn.calls is not None and turn.calls.begin in shown.values()
        # What is kept to a constraint may hold any text.
        plain = request.constraint is not None
        self._parser = output_parser(
            turn.calls, turn.reasoning, in_reasoning, tools, called_by_token, plain
        )
        self._detokenizer = detokenizer
        self._shown = shown
        self._stop_tokens = stop_tokens
        self._stops = StopMatcher(request.sampling.stop) if any(request.sampling.stop) else None
        self._custom = frozenset(tool.name for tool in tools if tool.custom)
        self._input: CustomInput | None = None
        self._one_call = request.tools is not None and not request.tools.parallel
        self._called = self._cut = False
        self.stopped = False
        self.stop: str | None = None
        """The stop string that ended it."""
        self.shows_logprobs = True
        self._taken = 0
        self._limit = limit
        self._beginnings = beginnings
        self._end = ""
        if limit is not None:
            limit.begin(in_reasoning)

    @property
    def is_limited(self) -> bool:
        """Whether tokens may have to be forced."""
        return self._limit is not None

    @property
    def forced(self) -> int | None:
        """The token that must come next."""
        return None if self._limit is None else self._limit.forced

    @property
    def may_force(self) -> bool:
        """Whether the next token decides about the one after it, or there is one that must come."""
        return self._limit is not None and self._limit.may_force

    def take(self, index: int, token: int) -> None:
        """The token at this place; one that was taken before is passed over."""
        if index == self._taken:
            self.push(token)

    def push(self, token: int) -> Said:
        self._taken += 1
        parser = self._parser
        reasoned, called = parser.in_reasoning, parser.in_call
        if token in self._stop_tokens and not reasoned and not called:
            # All that was held back is before it.
            said = self.finish()
            if not self.stopped:
                self.stop = self._stop_tokens[token]
            self.stopped = True
            return said
        text, forced = self._text(token), self.forced is not None
        pieces = self._pieces(parser.push(text))
        if reasoned and not any(piece[0] == "reasoning" for piece in pieces):
            pieces.insert(0, ("reasoning", ""))
        if forced:
            pieces.append(("forced", ""))
        if self._limit is not None:
            self._limit.take(reasoned, parser.in_reasoning, self._written(text))
        of_message = not (reasoned or called or parser.in_reasoning or parser.in_call)
        self.shows_logprobs = of_message or any(piece[0] == "content" for piece in pieces)
        return _said(pieces)

    def finish(self, cut: bool = False) -> Said:
        """The tail: everything held back. `cut`: the answer did not end by itself."""
        if self.stopped:
            return ""
        parser = self._parser
        pieces = self._pieces([*parser.push(self._detokenizer.finish()), *parser.finish(cut)])
        if not self.stopped:
            pieces += self._held()
        return _said(pieces)

    def finished(self, finish: Finish) -> Finish:
        """What the engine's end of it comes to."""
        if finish == "length" and self.stopped:
            finish = "stop"
        return "toolCalls" if finish == "stop" and self._called and not self._cut else finish

    def _written(self, text: str) -> int:
        """How many of the tokens that end reasoning the text so far ends with."""
        if not self._beginnings:
            return 0
        self._end = (self._end + text)[-len(self._beginnings[-1]) :]
        written = [i for i, begin in enumerate(self._beginnings, 1) if self._end.endswith(begin)]
        return max(written, default=0)

    def _text(self, token: int) -> str:
        return text_of(token, self._detokenizer, self._shown)

    def _pieces(self, events: Iterable[Event]) -> list[Piece]:
        """Up to where the answer is over."""
        pieces: list[Piece] = []
        for event in events:
            if isinstance(event, Content):
                pieces += self._content(event.text)
            else:
                pieces += self._held()
                pieces += self._other(event)
            if self.stopped:
                break
        return pieces

    def _content(self, text: str) -> list[Piece]:
        """Stop strings are looked for in it alone."""
        if self._stops is not None:
            text, self._cut = self._stops.push(text)
            self.stopped = self._cut
            self.stop = self._stops.found
        return [("content", text)] if text else []

    def _held(self) -> list[Piece]:
        """What may have become a stop string, and is text of the message after all."""
        held = "" if self._stops is None else self._stops.finish()
        return [("content", held)] if held else []

    def _other(self, event: Event) -> list[Piece]:
        match event:
            case Reasoning(text):
                return [("reasoning", text)]
            case CallBegin(_, name):
                self._input = CustomInput() if name in self._custom else None
                return [("call", name)]
            case CallArguments(_, text):
                text = text if self._input is None else self._input.push(text)
                return [("arguments", text)] if text else []
            case CallEnd(_, complete):
                self._called = self._called or complete
                self.stopped = complete and self._one_call
                return [("callEnd", complete)]
        return []


def text_of(token: int, detokenizer: Detokenizer, shown: Mapping[int, str]) -> str:
    """What becomes certain with a token. `shown`: names of those without text that are seen."""
    name = shown.get(token)
    if name is None:
        return detokenizer.push(token)
    # A character that is not complete before it never will be.
    return detokenizer.finish() + detokenizer.push(token) + name


def turn_text(
    model: TextModel, turn: TurnFormat, request: Admission, stop_tokens: Mapping[int, str]
) -> TurnText:
    in_reasoning = turn.reasoning is not None and opens(
        prompt_end(model, request.prompt), turn.reasoning
    )
    detokenizer = model.detokenizer(())
    budget = None if request.reasoning is None else request.reasoning.max_tokens
    if budget is None or not turn.closing:
        return TurnText(turn, request, detokenizer, stop_tokens, in_reasoning)
    limit = ReasoningLimit(budget, turn.closing)
    beginnings = [
        b"".join(map(model.token_bytes, turn.closing[:count])).decode("utf-8", "replace")
        for count in range(1, len(turn.closing))
    ]
    return TurnText(turn, request, detokenizer, stop_tokens, in_reasoning, limit, beginnings)


def prompt_end(model: TextModel, prompt: Sequence[int]) -> str:
    """The end of a prompt as its template wrote it, with the names of tokens without text."""
    last = prompt[-PROMPT_END_TOKENS:]
    parts = [model.token_bytes(token) or model.token_text(token).encode() for token in last]
    return b"".join(parts).decode("utf-8", "replace")


def _said(pieces: list[Piece]) -> Said:
    joined = _joined(pieces)
    if not joined:
        return ""
    first = joined[0]
    return first[1] if len(joined) == 1 and first[0] == "content" else joined


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one piece."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last[0] == piece[0] and piece[0] in ("content", "reasoning"):
            joined[-1] = (last[0], last[1] + piece[1])  # type: ignore
        else:
            joined.append(piece)
    return joined
