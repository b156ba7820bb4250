"""Answers that are no calls, in the turn that they stand in."""

from __future__ import annotations

import pytest
from formats.bytes_tokenizer import BytesTokenizer, accepts
from mlx_serving.calls.families import GENERIC, HARMONY
from mlx_serving.calls.format import CallFormat
from mlx_serving.calls.grammar import AUTO, answer_grammar, answer_of, call_grammar
from mlx_serving.calls.rendering import render_calls
from mlx_serving.grammar.limits import JSON_OPTIONS
from mlx_serving.messages import Constraint

from ..support import BARE, CALLS, CODER, THINK, TOOLS

pytest.importorskip("llguidance")

MARKS = ("<think>", "</think>", "<|channel|>", "<|message|>", "<|end|>", "<|start|>")
TOKENIZERS = (BytesTokenizer(()), BytesTokenizer(MARKS))
OBJECT = (
    '{"type":"object","properties":{"a":{"type":"integer"}},'
    '"required":["a"],"additionalProperties":false}'
)
CASES = [
    (Constraint("json", OBJECT), '{"a": 1}', '{"a": "x"}'),
    (Constraint("json", OBJECT), '{\n  "a": 1\n}', '{"b": 1}'),
    (Constraint("regex", "a/b\\/c[0-9]+"), "a/b/c12", "a/b/c"),
    (Constraint("regex", "x|y\ny"), "y\ny", "z"),
    (Constraint("choice", '["yes", "no \\u00e9\\"\\n"]'), 'no é"\n', "nay"),
    (Constraint("lark", 'start: A b\nA: "x"\nb: /[0-9]+/'), "x12", "12"),
    (Constraint("lark", 'start: "(" start ")" | "{" "}"'), "(({}))", "(({}"),
]
FINAL = "<|channel|>final<|message|>"
THOUGHT = "<|channel|>analysis<|message|>Hm {}.<|end|><|start|>assistant"


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize(("constraint", "good", "bad"), CASES)
def test_an_answer_after_reasoning(
    constraint: Constraint, good: str, bad: str, tokenizer: BytesTokenizer
) -> None:
    answer = answer_of(constraint)
    special = tokenizer.special
    plain = answer_grammar(answer, special=special, json_options=JSON_OPTIONS)
    may = answer_grammar(answer, None, THINK, "may", special, JSON_OPTIONS)
    opened = answer_grammar(answer, None, THINK, "open", special, JSON_OPTIONS)
    channels = answer_grammar(answer, HARMONY.channels, None, "no", special, JSON_OPTIONS)
    before = {
        plain: ["x", "<think>x</think>"],
        may: ["x", "<think>x", "so</think>"],
        opened: ["x", "<think>x"],
        channels: ["", "<|channel|>analysis<|message|>"],
    }
    for lark, heads in (
        (plain, [""]),
        (may, ["", "<think>so {}</think>", "<think>\nx\n</think>\n\n"]),
        (opened, ["hm {</think>\n", "</think>"]),
        (channels, [FINAL, THOUGHT + FINAL]),
    ):
        for head in heads:
            assert accepts(tokenizer, lark, head + good), head
            assert not accepts(tokenizer, lark, head + bad), head
        for head in before[lark]:
            assert not accepts(tokenizer, lark, head + good), head


@pytest.mark.parametrize("format", [GENERIC, HARMONY, CODER, BARE], ids=lambda one: one.family)
@pytest.mark.parametrize(("constraint", "good", "bad"), CASES)
def test_an_answer_or_a_call(
    format: CallFormat, constraint: Constraint, good: str, bad: str
) -> None:
    tokenizer = TOKENIZERS[1]
    made = call_grammar(
        format,
        TOOLS,
        AUTO,
        special=tokenizer.special,
        json_options=JSON_OPTIONS,
        answer=answer_of(constraint),
    )
    assert made.begin is None
    head = FINAL if format is HARMONY else ""
    assert accepts(tokenizer, made.lark, head + good)
    assert accepts(tokenizer, made.lark, render_calls(format, CALLS[:1]))
    for other in (head + bad, head + "Well.", render_calls(format, [("nothing", {})])):
        assert not accepts(tokenizer, made.lark, other)


def test_what_a_thinking_model_calls_or_answers() -> None:
    tokenizer = TOKENIZERS[1]
    answer = answer_of(CASES[0][0])
    made = call_grammar(
        GENERIC, TOOLS, AUTO, True, THINK, "may", tokenizer.special, JSON_OPTIONS, answer
    )
    call = render_calls(GENERIC, CALLS[:1])
    for head in ("", "<think>One or the other.</think>\n\n"):
        assert accepts(tokenizer, made.lark, f'{head}{{"a": 1}}')
        assert accepts(tokenizer, made.lark, head + call)
        assert not accepts(tokenizer, made.lark, f"{head}Well.")
