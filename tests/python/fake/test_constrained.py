from __future__ import annotations

import json

import pytest
from mlx_serving.fake.constrained import constrained_token
from mlx_serving.fake.text import END_TOKEN, PIECES, VOCABULARY
from mlx_serving.grammar.grammars import Grammars
from mlx_serving.grammar.vocabulary import of_pieces
from mlx_serving.messages import Constraint

GRAMMARS = Grammars(lambda: of_pieces(PIECES, END_TOKEN), VOCABULARY)


def said(constraint: Constraint, key: int = 7) -> str:
    matcher = GRAMMARS.matcher(constraint)
    text = b""
    for index in range(2000):
        mask = matcher.mask()
        assert mask is not None
        token = constrained_token(mask, key, index)
        matcher.accept([token])
        assert matcher.error is None
        text += PIECES[token]
        if matcher.done or token == END_TOKEN:
            return text.decode()
    raise AssertionError("it has no end")


def of(schema: object) -> Constraint:
    return Constraint("json", json.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"type": "object"}, {}),
        ({"type": "array"}, []),
        ({"type": "string"}, ""),
        ({"const": {"a": [1, "x"]}}, {"a": [1, "x"]}),
    ],
)
def test_it_is_as_short_as_it_may_be(schema: object, answer: object) -> None:
    assert json.loads(said(of(schema))) == answer


def test_what_is_asked_for_is_there() -> None:
    person = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 3},
            "age": {"type": "integer", "minimum": 18},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        },
        "required": ["name", "age", "kind", "tags"],
        "additionalProperties": False,
    }
    answer = json.loads(said(of(person)))
    assert list(answer) == ["name", "age", "kind", "tags"]
    assert len(answer["name"]) >= 3 and answer["age"] >= 18 and answer["kind"] in ("a", "b")
    assert len(answer["tags"]) == 2


def test_it_depends_on_the_prompt_and_on_nothing_else() -> None:
    constraint = of({"type": "string", "minLength": 12})
    assert said(constraint) == said(constraint)
    assert len({said(constraint, key) for key in range(9)}) > 1


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("regex", "[0-9]{3}-[a-c]{2,}"),
        Constraint("choice", '["yes","no"]'),
        Constraint("lark", 'start: "(" start ")" | "x"'),
    ],
)
def test_other_kinds_come_to_an_end_too(constraint: Constraint) -> None:
    assert said(constraint)
