from __future__ import annotations

import json
from typing import Any

import pytest
from mlx_serving.failures import Refused
from mlx_serving.grammar import grammars as module
from mlx_serving.grammar.grammars import FIELD, Grammars, choice_grammar, lark_of
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.messages import Constraint

END = 256
VOCABULARY = END + 1


def new_grammars() -> Grammars:
    pieces = [bytes((byte,)) for byte in range(END)]
    return Grammars(lambda: of_pieces([*pieces, b""], END), VOCABULARY)


GRAMMARS = new_grammars()


def schema(**fields: object) -> Constraint:
    return Constraint("json", json.dumps(fields))


def takes(matcher: Matcher, text: str) -> bool:
    for byte in text.encode():
        mask = matcher.mask()
        if mask is None or not mask[byte >> 3] >> (byte & 7) & 1:
            return False
        matcher.accept([byte])
    mask = matcher.mask()
    return matcher.done or bool(mask and mask[END >> 3] >> (END & 7) & 1)


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (schema(type="integer"), "-12", "1.5"),
        (schema(type="object"), '{"a": [1, {}]}', "[]"),
        (Constraint("regex", "[0-9]{2}|x+"), "xxx", "1"),
        (Constraint("regex", "^[0-9]{2}$"), "12", "123"),
        (Constraint("choice", '["yes","n\\u00f6\\"\\\\"]'), 'nö"\\', "no"),
        (Constraint("lark", 'start: "a" b\nb: "(" b ")" | "x"'), "a((x))", "a(x"),
        (Constraint("lark", 'root ::= "a" | "b" root'), "bba", "bb"),
    ],
)
def test_texts_of_each_kind(constraint: Constraint, good: str, bad: str) -> None:
    assert takes(GRAMMARS.matcher(constraint), good)
    assert not takes(GRAMMARS.matcher(constraint), bad)


@pytest.mark.parametrize(
    "constraint",
    [
        schema(**{"not": {}}),
        schema(type="string", format="phone"),
        schema(allOf=[{"type": "string"}, {"type": "integer"}]),
        Constraint("json", "no JSON"),
        Constraint("json", "3"),
        Constraint("regex", "(a"),
        Constraint("regex", "(?=a)b"),
        Constraint("lark", "start: nothing"),
        Constraint("lark", "start: a\na: a"),
        Constraint("lark", "a ::= "),
        Constraint("choice", '["\\ud800"]'),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_field(constraint: Constraint) -> None:
    with pytest.raises(Refused) as refused:
        GRAMMARS.matcher(constraint)
    assert (refused.value.code, refused.value.field) == ("invalid_request", FIELD)
    assert str(refused.value).startswith(f"{FIELD} can't be compiled: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["start: a\na: a", "root ::= root"])
def test_a_rule_that_leads_to_itself_alone_is_refused_in_words(text: str) -> None:
    with pytest.raises(Refused, match="a rule may lead to nothing but itself"):
        GRAMMARS.matcher(Constraint("lark", text))


def test_a_grammar_is_compiled_once_and_each_answer_has_its_own_place() -> None:
    grammars = new_grammars()
    constraint = schema(enum=["ab", "cd"])
    assert grammars.kept(constraint) is None
    first = grammars.matcher(constraint)
    first.accept(list(b'"a'))
    second = grammars.kept(constraint)
    assert second is not None and second.mask() != first.mask()
    assert takes(second, '"cd"')
    assert grammars.compiled == 1


def test_the_least_used_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    grammars = new_grammars()
    a, b, c = (schema(const=name) for name in "abc")
    grammars.matcher(a)
    grammars.matcher(b)
    assert grammars.kept(a) is not None
    grammars.matcher(c)
    assert [grammars.kept(one) is not None for one in (a, b, c)] == [True, False, True]
    monkeypatch.setattr(module, "KEPT_CHARACTERS_MAX", len(a.text) - 1)
    grammars.matcher(schema(const="d"))
    assert grammars.kept(a) is None


def test_one_that_has_reached_a_limit_is_compiled_anew() -> None:
    grammars = new_grammars()
    constraint = schema(type="string")
    grammars.matcher(constraint).accept([0])
    assert grammars.kept(constraint) is None
    assert takes(grammars.matcher(constraint), '"a"')
    assert grammars.compiled == 2


def test_options_in_a_schema_change_nothing() -> None:
    options = {"lenient": True, "whitespace_pattern": "x*", "item_separator": ";"}
    matcher = GRAMMARS.matcher(schema(type="array", **{"x-guidance": options}))
    assert takes(matcher.copy(), "[1, 2]") and not takes(matcher, "[1;2]")
    with pytest.raises(Refused):
        GRAMMARS.matcher(schema(**{"not": {}, "x-guidance": options}))


@pytest.mark.parametrize("text", ['{\n  "a": 1\n}', '{"a":1}', '{\n\t"a": 1\n}'])
def test_json_may_be_indented(text: str) -> None:
    assert takes(GRAMMARS.matcher(schema(type="object")), text)


@pytest.mark.parametrize("space", ["   ", "\n\n", "\n" + " " * 33, "\r\n"])
def test_white_space_has_an_end(space: str) -> None:
    assert not takes(GRAMMARS.matcher(schema(type="object")), "{" + space + "}")


def test_a_name_cannot_be_spelled_in_another_way() -> None:
    constraint = schema(
        type="object",
        properties={"a": {"type": "integer"}},
        additionalProperties={"type": "string"},
    )
    assert takes(GRAMMARS.matcher(constraint), '{"a": 1, "b": "x"}')
    assert not takes(GRAMMARS.matcher(constraint), '{"\\u0061": "x"}')


def test_a_vocabulary_that_cannot_be_read_refuses_and_ends_nothing() -> None:
    def unreadable() -> None:
        raise ValueError("no tokenizer")

    grammars = Grammars(unreadable, VOCABULARY)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(Refused, match="vocabulary can't be constrained"):
            grammars.matcher(schema())


def test_one_that_cannot_be_read_is_tried_ahead_once() -> None:
    tried: list[None] = []

    def unreadable() -> Any:
        tried.append(None)
        raise ValueError("no decoder")

    grammars = Grammars(unreadable, VOCABULARY, wants_reading_ahead=True)
    assert grammars.wants_reading_ahead and not tried
    grammars.read_ahead()
    assert not grammars.wants_reading_ahead and len(tried) == 1


def test_words_of_grammars() -> None:
    assert choice_grammar(["a", '"']) == 'start: "a" | "\\""'
    assert lark_of('start: "::"') == 'start: "::"'
    assert "start:" in lark_of('root ::= "a"')
