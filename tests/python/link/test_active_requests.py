"""What is said of every request: its text, and what its tokens are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pytest
from mlx_serving.engine import End, RowLogprobs
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.link.active_requests import ActiveRequests, EndedRequest
from mlx_serving.messages import Admission, Constraint, Finish, Sampling
from mlx_serving.text.streaming import Detokenizer, PieceDetokenizer, PieceTable
from mlx_serving.text.turn_formats import TurnFormat

PIECES = [b" Hello", b" true", b"true", "🌊".encode()[:2], "🌊".encode()[2:], b""]
NAMES = [" Hello", " true", "true", "\ufffd", "\ufffd\ufffd", "<end>"]


class Model:
    end_tokens = frozenset({5})
    vocabulary = len(PIECES)
    token_bytes_max = 8

    def learn_turns(self) -> None:
        raise AssertionError("nothing is rendered here")

    def turn_format(self, request: Admission) -> TurnFormat | None:
        return None

    def render(self, messages: object, template_args: object, *turn: object) -> str:
        raise AssertionError("nothing is rendered here")

    def tokenize(self, text: str, rendered: bool) -> list[int]:
        raise AssertionError("nothing is tokenized here")

    def detokenizer(self, continues: Sequence[int]) -> Detokenizer:
        return PieceDetokenizer(PieceTable(PIECES), trim_first_space=not continues)

    def token_bytes(self, token: int) -> bytes:
        return PIECES[token]

    def token_text(self, token: int) -> str:
        return NAMES[token]

    def silent_token(self, name: str) -> int | None:
        return 5 if name == "<end>" else None


def request(chat: bool, emitted: list[int] | None = None) -> Admission:
    return Admission(1, [2], emitted or [], 9, Sampling(), chat)


@pytest.mark.parametrize(("chat", "text"), [(True, "Hello"), (False, " Hello")])
def test_a_turn_begins_without_a_space_and_what_goes_on_with_it(chat: bool, text: str) -> None:
    active = ActiveRequests(Model(), 100)
    assert active.admit(request(chat)) is None
    rows, _ = active.rows([(1, 0, 0, None), (1, 1, 0, None)])
    assert [row[3] for row in rows] == [text, " Hello"]


@pytest.mark.parametrize("chat", [True, False])
def test_a_resumed_text_has_begun_already(chat: bool) -> None:
    active = ActiveRequests(Model(), 100)
    assert active.admit(request(chat, emitted=[0])) is None
    rows, _ = active.rows([(1, 1, 0, None)])
    assert rows[0][3] == " Hello"


def test_tokens_in_log_probabilities() -> None:
    active = ActiveRequests(Model(), 100)
    assert active.admit(request(False)) is None
    top = [(token, -float(token)) for token in range(len(PIECES))]
    rows, _ = active.rows([(1, 0, 3, RowLogprobs(-3.0, top))])
    drawn = rows[0][4]  # type: ignore[misc]
    assert (drawn["token"], drawn["bytes"], drawn["logprob"]) == ("\ufffd", [0xF0, 0x9F], -3.0)
    assert [other["token"] for other in drawn["top"]] == NAMES
    assert [bytes(other["bytes"]) for other in drawn["top"]] == PIECES


@pytest.mark.parametrize(
    ("stops", "tokens", "text"),
    [
        (("<end>",), [2, 5], "true"),
        (("<end>", "x"), [2, 2, 5], "truetrue"),
        # Held back as the beginning of a stop string, and of a character.
        (("<end>", "true!"), [2, 5], "true"),
        (("<end>",), [3, 5], "\ufffd"),
        (("true", "<end>"), [0, 2], " Hello"),
        (("<end>",), [5], ""),
    ],
)
def test_a_control_token_named_as_a_stop_string(
    stops: tuple[str, ...], tokens: list[int], text: str
) -> None:
    active = ActiveRequests(Model(), 100)
    model = active._model
    model.end_tokens = frozenset()  # type: ignore[misc]
    asked = Admission(1, [2], [], 9, Sampling(stop=stops), False)
    assert active.admit(asked) is None
    parts: list[str] = []
    ends: list[EndedRequest] = []
    for index, token in enumerate(tokens):
        rows, stopped = active.rows([(1, index, token, None)])
        parts += [row[3] for row in rows]
        ends += stopped
    assert "".join(parts) + ends[0].body["tail"] == text
    assert ends[0].body["finish"] == "stop"
    assert ends[0].body["stop"] == ("true" if "true" in stops else "<end>")
    # As it would have been, wherever it is resumed.
    for cut in range(len(tokens)):
        again = ActiveRequests(Model(), 100)
        again._model.end_tokens = frozenset()  # type: ignore[misc]
        assert again.admit(Admission(1, [2], tokens[:cut], 9, Sampling(stop=stops), False)) is None
    ended = ActiveRequests(Model(), 100).admit(
        Admission(1, [2], tokens, 9, Sampling(stop=stops), False)
    )
    assert ended is not None and ended.body["finish"] == "stop"
    assert ended.body["stop"] == ends[0].body["stop"]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_end_without_a_stop_string_names_none(finish: str) -> None:
    active = ActiveRequests(Model(), 100)
    assert active.admit(Admission(1, [2], [], 9, Sampling(stop=("x",)), False)) is None
    active.rows([(1, 0, 2, None)])
    ended = active.end(End(1, finish))  # type: ignore[arg-type]
    assert ended is not None and "stop" not in ended.body and ended.body["finish"] == finish


@dataclass
class AtPlace:
    """A matcher, as far as it is looked at here."""

    done: bool = False
    error: str | None = None


@pytest.mark.parametrize(
    ("emitted", "matcher", "finish"),
    [
        (9, AtPlace(done=True), "stop"),
        (9, AtPlace(), "length"),
        (9, AtPlace(error="no such token"), "failed"),
        (9, None, "length"),
        (8, AtPlace(done=True), "stop"),
        (8, AtPlace(), None),
        (8, None, None),
    ],
)
def test_one_that_is_resumed_with_all_its_tokens_ends_as_its_grammar_does(
    emitted: int, matcher: AtPlace | None, finish: Finish | None
) -> None:
    active = ActiveRequests(Model(), 100)
    resumed = request(chat=True, emitted=[0] * emitted)
    assert active.admit(resumed, Constraint("json", "{}")) is None
    end = active.end_of(resumed, cast("Matcher | None", matcher))
    assert (None if end is None else end.finish) == finish


def test_one_without_a_grammar_ends_by_its_limit_at_once() -> None:
    ended = ActiveRequests(Model(), 100).admit(request(chat=True, emitted=[0] * 9))
    assert ended is not None
    assert ended.body["finish"] == "length"
