"""From a model's text to reasoning, content and calls: a function of the text so far.

What a call is written in never comes out as content. What looks like a call and is none does. Once
its name is known a call stands: what follows is its arguments, well-formed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..tools import schema_of
from .channels import ChannelParser
from .events import Event
from .format import NAME_PATTERN, CallFormat, JsonObject, ReasoningFormat, Tool
from .json_calls import read_head, read_tail
from .literals import MORE, NO, match, skip_spaces
from .marks import Marks
from .readers import Reader, reader_of
from .readers.json_value import JsonReader
from .turn import Turn


class OutputParser(Protocol):
    @property
    def in_reasoning(self) -> bool: ...

    @property
    def in_call(self) -> bool:
        """From a call's begin mark on, false alarms included, to its end."""
        ...

    @property
    def held_characters(self) -> int:
        """How much of the text so far is not told yet. When `in_call` has just become true, the
        mark began so many characters ago."""
        ...

    def push(self, text: str) -> list[Event]:
        """What became certain with this text."""
        ...

    def finish(self, cut: bool = False) -> list[Event]:
        """The turn is over: what was held back. `cut`: by a limit or a stop string, so that what
        began like a call is one that was cut off, and no text."""
        ...


def output_parser(
    format: CallFormat | None,
    reasoning: ReasoningFormat | None,
    starts_in_reasoning: bool = False,
    tools: Sequence[Tool] = (),
    call_ends_reasoning: bool = False,
    plain: bool = False,
) -> OutputParser:
    """`format`: None where no calls are wanted. `tools`: what the request offers; values without
    quotes are read by their schemas. `call_ends_reasoning`: where a call's mark is a control token,
    a model that writes it means a call, and has left out the end of its reasoning. `plain`: content
    may hold what looks like a mark, and goes on to the end once it has begun."""
    if format is not None and format.channels is not None:
        return ChannelParser(format, format.channels, starts_in_reasoning, tools)
    return MarkedParser(format, reasoning, starts_in_reasoning, tools, call_ends_reasoning, plain)


class MarkedParser:
    """Of formats in which marks set reasoning and calls apart from content."""

    def __init__(
        self,
        format: CallFormat | None,
        reasoning: ReasoningFormat | None,
        starts_in_reasoning: bool,
        tools: Sequence[Tool],
        call_ends_reasoning: bool = False,
        plain: bool = False,
    ) -> None:
        self._format = format
        self._reasoning = reasoning
        self._schemas = {tool.name: schema_of(tool) for tool in tools}
        self._turn = Turn()
        self._text = ""
        self._at = 0
        self._reader: Reader = JsonReader()
        self._heads = Heads(format) if format is not None else None
        self._head = ""
        self._in_object = self._reasoning_begun = False
        self._marks = Marks(self._content_marks())
        ends = [reasoning.end.strip()] if reasoning is not None else []
        if call_ends_reasoning and format is not None:
            ends.append(format.begin)
        self._reasoning_end = Marks(ends)
        bare = format is not None and not format.begin
        begins = self._bare if bare else self._beginning if plain else self._content
        self._false_text = self._rest if plain else self._content
        self._state: Callable[[], bool]
        if starts_in_reasoning and reasoning is not None:
            self._turn.part()
            self._state = self._in_reasoning
        else:
            self._state = begins
        self._after_reasoning = begins

    @property
    def in_reasoning(self) -> bool:
        return self._state == self._in_reasoning

    @property
    def in_call(self) -> bool:
        return self._state in (self._header, self._arguments, self._tail, self._next)

    @property
    def held_characters(self) -> int:
        return len(self._text)

    def push(self, text: str) -> list[Event]:
        self._text += text
        while self._state():
            pass
        if self._at:
            self._text = self._text[self._at :]
            self._at = 0
        return self._turn.take()

    def finish(self, cut: bool = False) -> list[Event]:
        rest = self._text
        self._text = ""
        turn = self._turn
        if self._state == self._in_reasoning:
            turn.reasoning(rest)
            turn.part()
        elif self._state == self._arguments:
            turn.end_call(False)
        elif self._state in (self._tail, self._next):
            # The end of the call was cut off.
            turn.part()
        elif cut and self._state == self._header:
            turn.part()
        else:
            turn.content(rest)
        turn.finish()
        return turn.take()

    # --- states: each says whether there may be more to do ---

    def _in_reasoning(self) -> bool:
        assert self._reasoning is not None
        text = self._text
        if not self._reasoning_begun:
            at = skip_spaces(text, self._at)
            begin = self._reasoning.begin.strip()
            if begin.startswith(text[at : at + len(begin)]) and at + len(begin) > len(text):
                return False
            # The prompt may have it already, and the model says it again.
            self._at = at + len(begin) if text.startswith(begin, at) else at
            self._reasoning_begun = True
        found, keep = self._reasoning_end.find(text, self._at)
        self._turn.reasoning(text[self._at : keep])
        self._at = keep
        if found is None:
            return False
        self._turn.part()
        if self._format is not None and found[0] == self._format.begin:
            self._state = self._content
            return True
        self._at = found.end()
        self._state = self._after_reasoning
        return True

    def _bare(self) -> bool:
        """Before the first sign of a turn that is a call if it looks like one."""
        text, at = self._text, skip_spaces(self._text, self._at)
        if at == len(text):
            return False
        for mark in self._marks.all:
            if text.startswith(mark, at):
                if self._is_reasoning(mark):
                    return self._open_reasoning(at + len(mark))
                self._at = at + len(mark)
                return True
            if mark.startswith(text[at:]):
                return False
        assert self._heads is not None
        self._head = self._heads.first
        self._state = self._header
        return True

    def _beginning(self) -> bool:
        """Before the first sign of a turn that is content to its end, or begins with a mark."""
        text, at = self._text, skip_spaces(self._text, self._at)
        if at == len(text):
            return False
        for mark in self._marks.all:
            if text.startswith(mark, at):
                self._at = at
                self._state = self._content
                return True
            if mark.startswith(text[at:]):
                return False
        self._state = self._rest
        return True

    def _rest(self) -> bool:
        self._turn.content(self._text[self._at :])
        self._at = len(self._text)
        return False

    def _content(self) -> bool:
        text, at = self._text, self._at
        found, keep = self._marks.find(text, at)
        self._turn.content(text[at:keep])
        self._at = keep
        if found is None:
            return False
        end = found.end()
        if self._is_reasoning(found[0]):
            return self._open_reasoning(end)
        if self._format is not None and found[0] in (self._format.begin, self._format.short_begin):
            assert self._heads is not None
            short = found[0] == self._format.short_begin
            self._head = found[0] if short else self._heads.first
            self._state = self._header
        else:
            self._at = end
        return True

    def _is_reasoning(self, mark: str) -> bool:
        return self._reasoning is not None and mark == self._reasoning.begin.strip()

    def _open_reasoning(self, at: int) -> bool:
        self._turn.part()
        self._reasoning_begun = True
        self._at = at
        self._state = self._in_reasoning
        return True

    def _header(self) -> bool:
        """From the begin mark to the name of the tool."""
        assert self._format is not None
        style, text = self._format.style, self._text
        at = match(self._head, text, self._at)
        if at < 0:
            return self._not_yet(at)
        if isinstance(style, JsonObject):
            head = read_head(style, text, at)
            if isinstance(head, int):
                return self._not_yet(head)
            if not self._begin_call(head.name):
                return True
            self._at = head.at
            if head.arguments is not None:
                self._turn.arguments(head.arguments)
                self._end_call(in_object=False)
            return True
        at = skip_spaces(text, at)
        found = NAME_PATTERN.match(text, at)
        if found is None:
            return self._not_yet(MORE if at == len(text) else NO)
        end = found.end()
        if end == len(text):
            return False
        after = match(self._format.between, text, end)
        if after < 0:
            return self._not_yet(after)
        if self._begin_call(found[0]):
            self._at = after
        return True

    def _not_yet(self, why: int) -> bool:
        if why == MORE:
            return False
        self._false_alarm()
        return True

    def _false_alarm(self) -> None:
        assert self._format is not None
        marks = (self._format.begin, self._format.short_begin)
        # Another call may have been looked for, before which no mark stands.
        mark = next((m for m in marks if m and self._text.startswith(m, self._at)), "")
        self._turn.content(mark)
        self._at += len(mark)
        self._state = self._false_text

    def _begin_call(self, name: str) -> bool:
        assert self._format is not None
        marked = self._format.begin and self._head != self._format.short_begin
        if not marked and self._schemas and name not in self._schemas:
            # Without its mark, a text may look like a call.
            self._false_alarm()
            return False
        self._turn.begin_call(name)
        self._reader = reader_of(self._format, self._schemas.get(name))
        self._state = self._arguments
        return True

    def _arguments(self) -> bool:
        json, self._at, done = self._reader.read(self._text, self._at)
        self._turn.arguments(json)
        if done:
            self._end_call(in_object=True)
        return done

    def _end_call(self, in_object: bool) -> None:
        assert self._format is not None and self._heads is not None
        self._turn.end_call(True)
        self._in_object = in_object and isinstance(self._format.style, JsonObject)
        self._state = self._tail

    def _tail(self) -> bool:
        """What closes one call. Where a model leaves it out, the next thing is looked for."""
        assert self._heads is not None
        at = self._at
        if self._in_object:
            at = read_tail(self._text, at)
            if at == MORE:
                return False
            self._at = at = max(at, self._at)
            self._in_object = False
        end = match(self._heads.after, self._text, at)
        if end == MORE and (self._heads.after.strip() or at == len(self._text)):
            return False
        self._at = max(end, at)
        self._state = self._next
        return True

    def _next(self) -> bool:
        """Another call, the end of them all, or content."""
        assert self._heads is not None
        text, at = self._text, self._at
        waits = False
        for literal in self._heads.following:
            end = match(literal, text, at) if literal else _object_begin(text, at)
            waits = waits or end == MORE
            if end >= 0:
                if literal and literal == self._heads.close:
                    self._at = end
                    break
                self._head = literal
                self._state = self._header
                return True
        else:
            if waits:
                return False
        self._turn.part()
        self._state = self._content
        return True

    def _content_marks(self) -> list[str]:
        marks: list[str] = []
        if self._reasoning is not None:
            marks.append(self._reasoning.begin.strip())
        if self._format is not None:
            marks += [self._format.begin, self._format.short_begin]
            marks += self._format.content_marks
        return marks


class Heads:
    """What stands before calls and after them. `first`: before the first name, or the object that
    has it; `following`: before another one, or the end of all."""

    def __init__(self, format: CallFormat) -> None:
        whole = isinstance(format.style, JsonObject)

        def head(text: str) -> str:
            return text[: text.rindex("{")] if whole else text

        self.first = head(format.open + format.before)
        self.after = format.after.partition("}")[2] if whole else format.after
        self.close = format.close
        again = head(format.separator + format.before)
        options = (format.close, again, self.first)
        following = dict.fromkeys(text for text in options if text.strip())
        # Objects that follow each other without a mark.
        self.following = (*following, *([""] if whole and not again.strip() else []))


def _object_begin(text: str, at: int) -> int:
    at = skip_spaces(text, at)
    if at == len(text):
        return MORE
    return at if text[at] == "{" else NO
