"""What becomes of the system's messages between turns, and that only a refusal makes it so."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.failures import Refused
from mlx_serving.messages import Chat
from mlx_serving.text.late_system import without_late_system
from mlx_serving.text.prompts import prompt_tokens

import turns

CONTEXT = 1 << 20


def said(*turns: str) -> list[dict[str, Any]]:
    """`s`, `u`, `a`, `t` and the text."""
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": roles[turn[0]], "content": turn[1:]} for turn in turns]


@pytest.mark.parametrize(
    ("messages", "folded"),
    [
        (["s0", "u1", "a2", "s3", "u4"], ["s0", "u1", "a2", "u3\n\n4"]),
        (["u1", "s2"], ["u1\n\n2"]),
        (["s0", "u1", "s2", "a3", "u4", "s5"], ["s0", "u1\n\n2", "a3", "u4\n\n5"]),
        (["u1", "a2", "t3", "s4", "a5"], ["u1", "a2", "t3\n\n4", "a5"]),
        (["s0", "s1", "u2", "s3", "s4"], ["s0\n\n1", "u2\n\n3\n\n4"]),
        (["u1", "a2", "s3", "a4"], ["u1", "a2", "u3", "a4"]),
        (["u1", "a2", "s3"], ["u1", "a2", "u3"]),
        (["u1", "a2", "s3", "s4", "u5"], ["u1", "a2", "u3\n\n4\n\n5"]),
        (["s0", "u", "s2"], ["s0", "u2"]),
    ],
)
def test_it_is_a_part_of_a_turn_beside_it(messages: list[str], folded: list[str]) -> None:
    given = said(*messages)
    assert without_late_system(given) == said(*folded)
    assert given == said(*messages)


@pytest.mark.parametrize("messages", [[], ["s0"], ["s0", "u1", "a2", "u3"], ["u1", "a2"]])
def test_nothing_is_to_be_done_where_there_is_none(messages: list[str]) -> None:
    assert without_late_system(said(*messages)) is None


def test_a_conversation_that_goes_on_begins_as_before() -> None:
    """What an agent sends: a counter behind each turn, that is."""
    whole = said("s0", "u1", "s2", "a3", "t4", "s5", "a6", "u7", "s8", "a9")
    for end in (3, 6, 9):
        short = without_late_system(whole[:end])
        longer = without_late_system(whole)
        assert short is not None and longer is not None and longer[: len(short)] == short


PICKY = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    "<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
)
LATE = said("s0", "u1", "a2", "s3", "u4")


def text_of(template: str, messages: list[dict[str, Any]], folds: bool) -> str:
    model = turns.text_model(template)
    tokens = prompt_tokens(Chat(messages, folds_system=folds), model, CONTEXT)
    return b"".join(map(model.token_bytes, tokens)).decode()


def test_a_template_that_refuses_it_gets_it_in_the_users_turn() -> None:
    assert text_of(PICKY, LATE, True) == text_of(PICKY, said("s0", "u1", "a2", "u3\n\n4"), False)


def test_a_template_that_takes_it_gets_it_where_it_is() -> None:
    plain = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
    assert text_of(plain, LATE, True) == text_of(plain, LATE, False)
    assert "<|system|>3" in text_of(plain, LATE, True)


def test_it_is_refused_where_nobody_asks_for_that() -> None:
    with pytest.raises(Refused, match="at the beginning"):
        text_of(PICKY, LATE, False)


def test_what_is_refused_either_way_is_refused_as_it_came() -> None:
    never = PICKY.replace("not loop.first", "true").replace("m.role == 'system'", "true")
    with pytest.raises(Refused, match="at the beginning"):
        text_of(never, LATE, True)


@pytest.mark.parametrize("name", turns.names())
def test_real_templates_take_it_after_all(name: str) -> None:
    """Whichever of them take it where it stands, none refuses it in the user's turn."""
    first = text_or_refusal(name, said("s0", "u1", "a2", "u3"), False)
    if first is not None:
        assert text_or_refusal(name, LATE, True) is not None


def text_or_refusal(name: str, messages: list[dict[str, Any]], folds: bool) -> str | None:
    try:
        return text_of(turns.source(name), messages, folds)
    except Refused:
        return None
