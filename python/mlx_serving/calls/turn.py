"""Gathers the events of a turn. Owns which spaces belong to a text: those around reasoning and
before a call are the format's, not the text's.
"""

from __future__ import annotations

from .events import CallArguments, CallBegin, CallEnd, Content, Event, Reasoning


class Turn:
    __slots__ = ("_any", "_index", "_spaces", "_strip", "calling", "events")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calling = False
        self._index = 0
        # Spaces at the end of what has been told, until it is known what follows.
        self._spaces = ""
        self._strip = False
        self._any = False

    def take(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def content(self, text: str) -> None:
        if said := self._trimmed(text):
            self._any = True
            self.events.append(Content(said))

    def reasoning(self, text: str) -> None:
        if said := self._trimmed(text):
            self.events.append(Reasoning(said))

    def part(self) -> None:
        """A part ends here, and the spaces around the border are no text."""
        self._spaces = ""
        self._strip = True

    def finish(self) -> None:
        """Content keeps the spaces at its end; a turn of spaces alone is one too."""
        if self._spaces and (self._any or not self._strip) and not self.calling:
            self.events.append(Content(self._spaces))
        self._spaces = ""

    def begin_call(self, name: str) -> None:
        self.part()
        self.calling = True
        self.events.append(CallBegin(self._index, name))

    def arguments(self, json: str) -> None:
        if json:
            self.events.append(CallArguments(self._index, json))

    def end_call(self, complete: bool) -> None:
        self.events.append(CallEnd(self._index, complete))
        self._index += 1
        self.calling = False

    def _trimmed(self, text: str) -> str:
        if self._strip:
            text = text.lstrip()
            if not text:
                return ""
            self._strip = False
        kept = text.rstrip()
        if not kept:
            self._spaces += text
            return ""
        said = self._spaces + kept
        self._spaces = text[len(kept) :]
        return said
