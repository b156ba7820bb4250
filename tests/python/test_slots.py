"""What is said of every request: its text, and what its tokens are called."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from mlx_serving.engine import RowLogprobs
from mlx_serving.messages import Admission, Sampling
from mlx_serving.slots import Slots
from mlx_serving.text import Detokenizer, PieceDetokenizer, PieceTable

PIECES = [b" Hello", b" true", b"true", "🌊".encode()[:2], "🌊".encode()[2:], b""]
NAMES = [" Hello", " true", "true", "\ufffd", "\ufffd\ufffd", "<end>"]


class Model:
    end_tokens = frozenset({5})
    vocabulary = len(PIECES)
    token_bytes_max = 8

    def render(self, messages: object, template_args: object) -> str:
        raise AssertionError("nothing is rendered here")

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        raise AssertionError("nothing is tokenized here")

    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        return PieceDetokenizer(PieceTable(PIECES), trim_first_space=not continues)

    def token_bytes(self, token: int) -> bytes:
        return PIECES[token]

    def token_text(self, token: int) -> str:
        return NAMES[token]


def request(chat: bool, emitted: list[int] | None = None) -> Admission:
    return Admission(1, [2], emitted or [], 9, Sampling(), chat)


@pytest.mark.parametrize(("chat", "text"), [(True, "Hello"), (False, " Hello")])
def test_a_turn_begins_without_a_space_and_what_goes_on_with_it(chat: bool, text: str) -> None:
    slots = Slots(Model(), 100)
    assert slots.admit(request(chat)) is None
    rows, _ = slots.rows([(1, 0, 0, None), (1, 1, 0, None)])
    assert [row[3] for row in rows] == [text, " Hello"]


@pytest.mark.parametrize("chat", [True, False])
def test_a_resumed_text_has_begun_already(chat: bool) -> None:
    slots = Slots(Model(), 100)
    assert slots.admit(request(chat, emitted=[0])) is None
    rows, _ = slots.rows([(1, 1, 0, None)])
    assert rows[0][3] == " Hello"


def test_tokens_in_log_probabilities() -> None:
    slots = Slots(Model(), 100)
    assert slots.admit(request(False)) is None
    top = [(token, -float(token)) for token in range(len(PIECES))]
    rows, _ = slots.rows([(1, 0, 3, RowLogprobs(-3.0, top))])
    drawn = rows[0][4]  # type: ignore[misc]
    assert (drawn["token"], drawn["bytes"], drawn["logprob"]) == ("\ufffd", [0xF0, 0x9F], -3.0)
    assert [other["token"] for other in drawn["top"]] == NAMES
    assert [bytes(other["bytes"]) for other in drawn["top"]] == PIECES
