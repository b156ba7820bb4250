"""From tokens to text: streaming detokenizer and stop matcher, functions of the tokens alone.

Replaying the same tokens gives the same pieces of text, so a resumed stream goes on exactly where
it was, in the middle of a character too. Knows no model and no link.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from ..messages import Finish

NO_TOKENS: Final[Mapping[int, str]] = {}
_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Detokenizer(Protocol):
    """One text in the making."""

    def push(self, token: int) -> str:
        """The text that becomes certain with this token; never half a character."""
        ...

    def finish(self) -> str:
        """What was held back; an incomplete character becomes U+FFFD."""
        ...


class PieceTable:
    """What every token stands for, in bytes. Shared by all detokenizers of a model.

    `pieces[token]` is empty for tokens without text (control tokens). `texts[token]` is the same
    as a string where the piece is whole characters, else None.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.texts = [_whole(piece) for piece in pieces]


def _whole(piece: bytes) -> str | None:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return None


class PieceDetokenizer:
    """Concatenates pieces and decodes UTF-8 as far as it is complete. `trim_first_space`: the
    text begins a turn, and the space that its first token may carry is no part of it."""

    __slots__ = ("_decoder", "_mid_character", "_table", "_trim")

    def __init__(self, table: PieceTable, trim_first_space: bool = False) -> None:
        self._table = table
        self._decoder = _utf8_decoder("replace")
        self._mid_character = False
        self._trim = trim_first_space

    def push(self, token: int) -> str:
        if token >= len(self._table.texts):
            return ""
        if not self._mid_character:
            text = self._table.texts[token]
            if text is not None:
                return self._trimmed(text) if self._trim else text
        text = self._decoder.decode(self._table.pieces[token])
        self._mid_character = bool(self._decoder.getstate()[0])
        return self._trimmed(text) if self._trim else text

    def finish(self) -> str:
        self._mid_character = False
        return self._decoder.decode(b"", True)

    def _trimmed(self, text: str) -> str:
        if text:
            self._trim = False
        return text[1:] if text.startswith(" ") else text


class DecodeFunction(Protocol):
    def __call__(self, tokens: Sequence[int], /) -> str: ...


class WindowDetokenizer:
    """For tokenizers whose tokens have no bytes of their own: decodes a short window of tokens
    and takes what it adds to the window before. A trailing U+FFFD is held back. `continues`: the
    tokens before the text, so that its first one is not taken for the beginning of a text."""

    WINDOW_TOKENS: Final = 8
    HELD_TOKENS_MAX: Final = 16

    def __init__(self, decode: DecodeFunction, continues: Sequence[int] = ()) -> None:
        self._decode = decode
        self._context: list[int] = list(continues[-self.WINDOW_TOKENS :])
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        self._pending.append(token)
        text = self._added()
        if text.endswith("\ufffd") and len(self._pending) < self.HELD_TOKENS_MAX:
            return ""
        self._context = (self._context + self._pending)[-self.WINDOW_TOKENS :]
        self._pending = []
        return text

    def finish(self) -> str:
        text = self._added() if self._pending else ""
        self._pending = []
        return text

    def _added(self) -> str:
        before = self._decode(self._context) if self._context else ""
        return self._decode(self._context + self._pending)[len(before) :]


def spelled(tokens: Sequence[int], detokenizer: Detokenizer, names: Mapping[int, str]) -> list[str]:
    """What each of these tokens says; `names`: of those without text. What was held back at the
    end is the last one's."""
    pieces = [detokenizer.push(token) or names.get(token, "") for token in tokens]
    rest = detokenizer.finish()
    if pieces and rest:
        pieces[-1] += rest
    return pieces


class StopMatcher:
    """Cuts a text before the first stop string, wherever the borders between its parts are.

    The stop string that is complete first wins, the longest of those that end together. Text
    that may be the beginning of a stop string is held back.
    """

    __slots__ = ("_held", "_stops", "found")

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.found: str | None = None
        """The stop string that was complete."""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that became certain, and whether a stop string is complete."""
        text = self._held + text
        match = self._first_match(text)
        if match is not None:
            self._held = ""
            begin, self.found = match
            return text[:begin], True
        keep = self._possible_start(text)
        self._held = text[keep:]
        return text[:keep], False

    def finish(self) -> str:
        """What was held back: no stop string came of it."""
        held, self._held = self._held, ""
        return held

    def _first_match(self, text: str) -> tuple[int, str] | None:
        """Where it begins, and which it is."""
        found = ((text.find(stop), stop) for stop in self._stops)
        matches = [(begin + len(stop), begin, stop) for begin, stop in found if begin >= 0]
        return min(matches)[1:] if matches else None

    def _possible_start(self, text: str) -> int:
        earliest = len(text)
        for stop in self._stops:
            begin = text.find(stop[0], max(0, len(text) - len(stop) + 1))
            while 0 <= begin < earliest:
                if stop.startswith(text[begin:]):
                    earliest = begin
                    break
                begin = text.find(stop[0], begin + 1)
        return earliest


class RequestText:
    """Detokenizer and stop matcher of one request, after `emitted` has been replayed.

    `stop_tokens`: those that have no text and are named as stop strings, and these. `stop`: the
    stop string that ended it.
    """

    __slots__ = (
        "_detokenizer",
        "_matcher",
        "_stop_tokens",
        "push",
        "shows_logprobs",
        "stop",
        "stopped",
    )

    def __init__(
        self,
        detokenizer: Detokenizer,
        stops: Sequence[str],
        stop_tokens: Mapping[int, str] = NO_TOKENS,
    ) -> None:
        self._detokenizer = detokenizer
        self._matcher = StopMatcher(stops) if any(stops) else None
        self._stop_tokens = stop_tokens
        self.stop: str | None = None
        self.stopped = False
        self.shows_logprobs = True
        # Most requests have no stop string; their text needs no second call.
        self.push = self._push_matched if self._matcher else detokenizer.push

    def _push_matched(self, token: int) -> str:
        assert self._matcher is not None
        if token in self._stop_tokens:
            # All that was held back is before it.
            text = self.finish()
            if not self.stopped:
                self.stop = self._stop_tokens[token]
            self.stopped = True
            return text
        return self._matched(self._detokenizer.push(token))

    def _matched(self, added: str) -> str:
        assert self._matcher is not None
        text, self.stopped = self._matcher.push(added)
        self.stop = self._matcher.found
        return text

    def finish(self, cut: bool = False) -> str:
        """The tail: everything held back, cut at a stop string that it completes. `cut`: the answer
        did not end by itself, which is all the same for a text."""
        if self.stopped:
            return ""
        tail = self._detokenizer.finish()
        if self._matcher is None:
            return tail
        text = self._matched(tail)
        return text if self.stopped else text + self._matcher.finish()

    def finished(self, finish: Finish) -> Finish:
        """What the engine's end of it comes to."""
        return "stop" if finish == "length" and self.stopped else finish
