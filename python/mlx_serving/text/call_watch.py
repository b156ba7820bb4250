"""Sees in a turn's tokens where a call begins, for a grammar that waits for it. Reads the same text
by the same parser as who tells of the turn, but on its own: the engine can't wait for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..calls.parser import output_parser
from ..messages import Tool
from .model import TextModel
from .turn_formats import TurnFormat
from .turn_text import text_of


class CallWatch:
    def __init__(
        self, model: TextModel, turn: TurnFormat, tools: Sequence[Tool], in_reasoning: bool
    ) -> None:
        by_token = turn.calls is not None and turn.calls.begin in turn.shown.values()
        self._parser = output_parser(turn.calls, turn.reasoning, in_reasoning, tools, by_token)
        self._model = model
        self._detokenizer = model.detokenizer(())
        self._shown = turn.shown
        # With how many characters became certain with each.
        self._recent: deque[tuple[int, int]] = deque()
        self._characters = 0

    @property
    def has_begun(self) -> bool:
        return self._parser.in_call

    @property
    def held(self) -> Sequence[int]:
        parser = self._parser
        if parser.in_reasoning or parser.held_characters == 0:
            return []
        return [token for token, _ in self._recent]

    def push(self, token: int) -> None:
        text = text_of(token, self._detokenizer, self._shown)
        self._parser.push(text)
        # What has no text at all is none of a call's.
        if text or self._model.token_bytes(token):
            self._recent.append((token, len(text)))
            self._characters += len(text)
        self._forget(self._parser.held_characters)

    def _forget(self, held: int) -> None:
        recent = self._recent
        while recent and self._characters - recent[0][1] >= held and not self._is_half(held):
            self._characters -= recent.popleft()[1]

    def _is_half(self, held: int) -> bool:
        """Whether the first one is a part of a character that is held, or not complete yet."""
        if self._recent[0][1] > 0:
            return False
        whole = next((count for _, count in self._recent if count > 0), None)
        return whole is None or self._characters - whole < held
