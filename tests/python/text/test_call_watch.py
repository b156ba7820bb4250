"""Where in the tokens a call begins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from mlx_serving.calls.families import GENERIC
from mlx_serving.calls.format import ReasoningFormat
from mlx_serving.fake.text import FakeTextModel
from mlx_serving.text.call_watch import CallWatch
from mlx_serving.text.streaming import Detokenizer, PieceDetokenizer, PieceTable
from mlx_serving.text.turn_formats import TurnFormat

THINK = ReasoningFormat("<think>", "</think>")
PIECES = [
    *(bytes((byte,)) for byte in range(256)),
    b"<tool",
    b"_call>",
    b"ok <",
    "🌊".encode()[:2],
    "🌊".encode()[2:] + b"<tool",
    b"",
]
SILENT = PIECES.index(b"")


class Model(FakeTextModel):
    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        return PieceDetokenizer(PieceTable(PIECES))

    def token_bytes(self, token: int) -> bytes:
        return PIECES[token]


def watch(in_reasoning: bool = False) -> CallWatch:
    return CallWatch(Model(), TurnFormat(GENERIC, THINK, {SILENT: ""}), (), in_reasoning)


def fed(watch: CallWatch, *parts: bytes) -> list[bytes]:
    """What it holds after these."""
    for part in parts:
        watch.push(PIECES.index(part))
    return [PIECES[token] for token in watch.held]


def each(text: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in text]


@pytest.mark.parametrize(
    ("parts", "held"),
    [
        ((), []),
        (each(b"hello"), []),
        ((b"ok <",), [b"ok <"]),
        ((b"o", b"<tool"), [b"<tool"]),
        ((*each(b"a <"), *each(b"tool")), each(b"<tool")),
        ((b"ok <", *each(b"tool x")), []),
        # Half a character is no beginning; with the rest of it comes one.
        (("🌊".encode()[:2],), []),
        ((b"x", "🌊".encode()[:2], "🌊".encode()[2:] + b"<tool"), list(PIECES[259:261])),
        ((b"<tool", b""), [b"<tool"]),
    ],
)
def test_what_may_be_a_beginning(parts: Sequence[bytes], held: list[bytes]) -> None:
    seen = watch()
    assert fed(seen, *parts) == held
    assert not seen.has_begun


def test_a_call_has_begun() -> None:
    for parts in ((b"<tool", b"_call>"), (b"ok <", *each(b"tool_call>"))):
        seen = watch()
        assert fed(seen, *each(b"Well. "), *parts) == list(parts)
        assert seen.has_begun


def test_reasoning_begins_nothing() -> None:
    seen = watch(in_reasoning=True)
    assert fed(seen, b"<tool", b"_call>", *each(b" </thin")) == []
    assert not seen.has_begun
    assert fed(seen, *each(b"k>"), b"<tool") == [b"<tool"]
    fed(seen, b"_call>")
    assert seen.has_begun
