"""Tokenizer, template and text of the fake engine: words that depend on the prompt alone.

Token i of a text is computed from a hash of the prompt and i, so any position can be continued
without the ones before. A prompt is its UTF-8 bytes. Now and then a character comes as four
tokens of one byte each, as real tokenizers do it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from ..calls import history
from ..calls.families import GENERIC
from ..calls.format import ReasoningFormat
from ..calls.needs import TemplateNeeds
from ..failures import Refused
from ..messages import Admission, ReasoningRequest, ToolOffer
from ..text.continuation import Vocabulary, continued
from ..text.streaming import Detokenizer, PieceDetokenizer, PieceTable, spelled
from ..text.turn_formats import TurnFormat
from ..tokens import pack_tokens
from ..tools import callable_tools

WORDS: Final = (
    "the of and to in is that it was for on are as with his they at be this from have or by one "
    "had not but what all were when we there can an your which their said if do will each about "
    "how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find "
    "use may water long little very after words called just where most know get through back "
    "much before go good new write our used me man too any day same right look think also "
    "around another"
).split()
CHARACTERS: Final = "🌊🌲🌻🍎🎈🎵🏔🐝🐢🐬🐳👋💡📚🔭🚀"

WORD_FIRST: Final = 256
COMMA: Final = WORD_FIRST + len(WORDS)
STOP: Final = COMMA + 1
END_TOKEN: Final = STOP + 1
END_NAME: Final = "<|end|>"
VOCABULARY: Final = END_TOKEN + 1
PIECES: Final = [
    *(bytes((byte,)) for byte in range(256)),
    *(f" {word}".encode() for word in WORDS),
    b",",
    b".",
    b"",
]

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
# What is said by a script is read, and what is shown of tools is written, as a model does it whose
# template knows no tools.
REASONING: Final = ReasoningFormat("<think>", "</think>")
REASONING_END: Final = tuple(REASONING.end.encode())
NEEDS: Final = TemplateNeeds(tools=False, calls=False)
PERIOD: Final = 32
_MASK: Final = (1 << 64) - 1
_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
_MIX: Final = 0xD6E8_FEB8_6659_FD93
_WORD_COUNT: Final = len(WORDS)


def prompt_hash(prompt: list[int]) -> int:
    return int.from_bytes(blake2b(pack_tokens(prompt), digest_size=8).digest(), "little")


def mixed(key: int, number: int) -> int:
    return (((key ^ (number * _SPREAD)) * _MIX) & _MASK) >> 40


# What stands at a position of the period, apart from words: four bytes, a comma, a full stop.
_BYTE_AT: Final = {20: 0, 21: 1, 22: 2, 23: 3}
_MARK_AT: Final = {9: COMMA, 31: STOP}
_PLAIN: Final = tuple(i not in _BYTE_AT and i not in _MARK_AT for i in range(PERIOD))


def token_at(key: int, index: int) -> int:
    """Token `index` of the text that belongs to a prompt's hash."""
    phase = index & (PERIOD - 1)
    if _PLAIN[phase]:
        return WORD_FIRST + ((((key ^ (index * _SPREAD)) * _MIX) & _MASK) >> 40) % _WORD_COUNT
    mark = _MARK_AT.get(phase)
    if mark is not None:
        return mark
    character = CHARACTERS[mixed(key, index // PERIOD) % len(CHARACTERS)]
    return character.encode()[_BYTE_AT[phase]]


class FakeTextModel:
    end_tokens = frozenset({END_TOKEN})
    vocabulary = VOCABULARY
    token_bytes_max = 1

    def __init__(self, on_prepare: Callable[[str], None] = lambda _text: None) -> None:
        """`on_prepare`: what befalls a text before it is tokenized."""
        self._table = PieceTable(PIECES)
        self._on_prepare = on_prepare

    def learn_turns(self) -> None:
        """It is known."""

    def turn_format(self, request: Admission) -> TurnFormat | None:
        """The usual text is no turn, but where there are tools: they may be asked for."""
        calls = GENERIC if callable_tools(request.tools) else None
        if request.fake_say is None:
            return None if calls is None else TurnFormat(calls, None, {})
        return TurnFormat(calls, REASONING, {}, REASONING_END)

    def reasoning_end(self) -> tuple[int, ...]:
        return REASONING_END

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        template_args: dict[str, Any],
        tools: ToolOffer | None = None,
        reasoning: ReasoningRequest | None = None,
    ) -> str:
        messages = history.prepare(messages, callable_tools(tools), GENERIC, NEEDS).messages
        lines = [_line(i, message) for i, message in enumerate(messages)]
        if template_args:
            lines.insert(0, f"<|args|>{json.dumps(template_args, sort_keys=True)}\n")
        return "".join(lines) + "<|assistant|>"

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        self._on_prepare(text)
        # No text at all is the beginning of one.
        return list(text.encode()) or [END_TOKEN]

    def spell(self, tokens: Sequence[int]) -> list[str]:
        return spelled(tokens, PieceDetokenizer(self._table), {END_TOKEN: END_NAME})

    def continued(
        self, text: str, previous: Sequence[int], tokenize: Callable[[str], list[int]]
    ) -> list[int] | None:
        return continued(text, previous, Vocabulary(PIECES, {END_TOKEN: END_NAME}), str, tokenize)

    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        return PieceDetokenizer(self._table)

    def token_bytes(self, token: int) -> bytes:
        return PIECES[token]

    def token_text(self, token: int) -> str:
        return PIECES[token].decode("utf-8", "replace") or END_NAME

    def silent_token(self, name: str) -> int | None:
        return END_TOKEN if name == END_NAME else None

    def added_tokens(self) -> Mapping[str, int]:
        return {END_NAME: END_TOKEN}


def _line(index: int, message: dict[str, Any]) -> str:
    role = message.get("role")
    if role not in ROLES:
        raise Refused("invalid_prompt", "messages", f"messages[{index}].role is unknown")
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(
            part.get("text", "") for part in content if isinstance(part, dict) and "text" in part
        )
    if not isinstance(content, str):
        raise Refused("invalid_prompt", "messages", f"messages[{index}].content must be text")
    return f"<|{role}|>{content}\n"
