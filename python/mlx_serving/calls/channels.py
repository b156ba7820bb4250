"""Turns of several messages, each with a header that says to whom it goes: harmony and its like."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from ..tools import schema_of
from .events import Event
from .format import NAME, CallFormat, Channels, Tool
from .literals import MORE, match, skip_spaces
from .marks import Marks
from .readers import Reader, reader_of
from .readers.json_value import JsonReader
from .turn import Turn

HEADER_CHARACTERS_MAX: Final = 256
# By so many signs a header is told from text.
HEADER_SIGNS: Final = 3


class ChannelParser:
    def __init__(
        self,
        format: CallFormat,
        channels: Channels,
        starts_in_reasoning: bool,
        tools: Sequence[Tool],
    ) -> None:
        self._format = format
        self._channels = channels
        self._schemas = {tool.name: schema_of(tool) for tool in tools}
        self._call = re.compile(channels.call_pattern)
        thinks = channels.reasoning_pattern
        self._thinks = re.compile(thinks) if thinks is not None else None
        self._borders = Marks((*channels.ends, channels.start))
        self._turn = Turn()
        self._text = ""
        self._at = 0
        self._name = ""
        self._first = True
        self._reader: Reader = JsonReader()
        self._reasons = starts_in_reasoning
        self._state: Callable[[], bool] = self._body if starts_in_reasoning else self._header

    @property
    def in_reasoning(self) -> bool:
        return self._reasons and self._state == self._body

    @property
    def in_call(self) -> bool:
        return self._state in (self._call_head, self._arguments)

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
        rest, self._text = self._text, ""
        turn = self._turn
        if self._state == self._arguments or self._state == self._call_head:
            turn.end_call(False)
        elif self._state == self._body:
            self._say(rest)
        elif self._state == self._header:
            self._rest_of_header("" if cut and not self._first else rest)
        if self._reasons:
            turn.part()
        turn.finish()
        return turn.take()

    def _rest_of_header(self, rest: str) -> None:
        """A turn may end in a header, which is no content, or be a text that has none."""
        channels = self._channels
        if not channels.message.strip():
            self._turn.content(("" if self._first else channels.start) + rest)
        elif not rest.lstrip().startswith(channels.content_header.lstrip()[:HEADER_SIGNS]):
            self._turn.content(rest)

    def _header(self) -> bool:
        text, at, message = self._text, self._at, self._channels.message
        at = skip_spaces(text, at) if message.strip() else at
        if match(self._channels.start, text, at) >= 0:
            # The prompt has it already, and the model says it again.
            self._at = at + len(self._channels.start)
            return True
        limit = at + HEADER_CHARACTERS_MAX + len(message)
        end = text.find(message, at, limit)
        if end < 0:
            if len(text) < limit:
                return False
            # No header at all: the model does without.
            self._state, self._reasons = self._body, False
            return True
        return self._open(text[at:end], end + len(message))

    def _open(self, header: str, at: int) -> bool:
        call = self._call.search(header)
        if call is not None and self._takes(call[1]):
            self._name = call[1]
            self._first = False
            self._at = at
            self._turn.begin_call(self._name)
            self._reader = reader_of(self._format, self._schemas.get(self._name))
            self._state = self._call_head
            return True
        if not self._channels.message.strip() and header.strip() != self._channels.content_header:
            # A line of the text: it has no mark that says it is a header.
            self._turn.content("" if self._first else self._channels.start)
            at = self._at
        else:
            self._reasons = bool(self._thinks and self._thinks.search(header))
            self._turn.part()
        self._first = False
        self._at = at
        self._state = self._body
        return True

    def _takes(self, name: str) -> bool:
        """Where a header is one word of a line, the tools say which word is one."""
        marked = bool(self._channels.message.strip())
        return marked or not self._schemas or name in self._schemas

    def _call_head(self) -> bool:
        """What a format writes between a call's header and its arguments."""
        rest = self._format.between.partition(self._channels.message)[2]
        at = match(rest.replace(NAME, self._name), self._text, self._at)
        if at == MORE and rest.strip():
            return False
        self._at = max(at, self._at)
        self._state = self._arguments
        return True

    def _arguments(self) -> bool:
        json, self._at, done = self._reader.read(self._text, self._at)
        self._turn.arguments(json)
        if done:
            self._turn.end_call(True)
            self._state = self._gap
        return done

    def _gap(self) -> bool:
        """Up to the next message."""
        text, at = self._text, self._at
        found, self._at = self._borders.find(text, at)
        if found is None:
            return False
        self._at = found.end()
        if found[0] == self._channels.start:
            self._state = self._header
        return True

    def _body(self) -> bool:
        text, at = self._text, self._at
        found, keep = self._borders.find(text, at)
        self._say(text[at:keep])
        self._at = keep
        if found is None:
            return False
        self._at = found.end()
        if found[0] == self._channels.start:
            self._state = self._header
        else:
            self._turn.part()
            self._state = self._gap
        return True

    def _say(self, text: str) -> None:
        if self._reasons:
            self._turn.reasoning(text)
        else:
            self._turn.content(text)
