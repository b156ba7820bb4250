"""Grammars of calls, as llguidance takes them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from formats.bytes_tokenizer import BytesTokenizer, accepts
from formats.read import read_pieces
from mlx_serving.calls.families import FUNCTIONARY_3_2, HARMONY, MUSE
from mlx_serving.calls.format import CallFormat, Tool, ToolRefused
from mlx_serving.calls.grammar import AUTO, REQUIRED, Named, call_grammar
from mlx_serving.calls.grammar.calls import CallGrammar
from mlx_serving.calls.rendering import render_call, render_calls
from mlx_serving.tools import schema_of

from ..support import ALL, BARE, CALLS, HERMES, MISTRAL, THINK, TOOLS

pytest.importorskip("llguidance")

TEXT = BytesTokenizer(())
WITH_TOKENS = BytesTokenizer(("<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]"))
EVERY = {**ALL, "bare": BARE, "harmony": HARMONY, "functionary": FUNCTIONARY_3_2, "muse": MUSE}
ONE = CALLS[:1]


def takes(made: CallGrammar, text: str, tokenizer: BytesTokenizer = TEXT) -> bool:
    return accepts(tokenizer, made.lark, text)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_required(name: str) -> None:
    format = EVERY[name]
    made = call_grammar(format, TOOLS, REQUIRED)
    assert made.begin is None
    assert takes(made, render_calls(format, ONE))
    assert takes(made, render_calls(format, CALLS)) != format.single
    assert not takes(made, "") and not takes(made, "Hello.")
    assert not takes(made, render_calls(format, [("nothing", {})]))
    assert not takes(made, render_calls(format, [("get_weather", {"city": "a", "more": 1})])) or (
        name in ("hermes", "listed", "mistral", "kimi2", "command-r+", "bare", "harmony")
        or name == "functionary"
    )


@pytest.mark.parametrize("name", EVERY)
def test_one_call_alone(name: str) -> None:
    made = call_grammar(EVERY[name], TOOLS, REQUIRED, parallel=False)
    assert takes(made, render_calls(EVERY[name], ONE))
    assert not takes(made, render_calls(EVERY[name], CALLS))


@pytest.mark.parametrize("name", EVERY)
def test_the_named_tool_alone(name: str) -> None:
    made = call_grammar(EVERY[name], TOOLS, Named("set_flag"))
    assert takes(made, render_calls(EVERY[name], [("set_flag", {"flag": False})]))
    assert not takes(made, render_calls(EVERY[name], ONE))


@pytest.mark.parametrize("choice", [REQUIRED, AUTO, Named("other")])
def test_a_tool_that_is_not_offered(choice: Any) -> None:
    with pytest.raises(ToolRefused):
        call_grammar(HERMES, [] if choice != Named("other") else TOOLS, choice)


@pytest.mark.parametrize("name", ['a"b', "a b", "a>b", "", "a{", "a\\", "\ue001"])
def test_a_name_that_no_format_can_write(name: str) -> None:
    with pytest.raises(ToolRefused):
        call_grammar(HERMES, [Tool(name)], REQUIRED)


def test_names_that_begin_alike() -> None:
    tools = [Tool("get"), Tool("get_all"), Tool("get_all_of")]
    made = call_grammar(HERMES, tools, REQUIRED)
    for tool in tools:
        assert takes(made, render_calls(HERMES, [(tool.name, {})]))
    assert not takes(made, render_calls(HERMES, [("get_al", {})]))


class TestAuto:
    def test_it_waits_for_the_mark(self) -> None:
        made = call_grammar(HERMES, TOOLS, AUTO)
        assert made.begin == "<tool_call>"
        text = render_calls(HERMES, CALLS)
        # The token with the mark's first sign may have a piece of the text before.
        assert takes(made, text) and takes(made, f"ok.\n{text}")
        assert not takes(made, "<tool_call> no")

    def test_a_call_without_its_first_mark(self) -> None:
        coder = ALL["coder"]
        text = render_calls(coder, CALLS)
        for tokenizer in (TEXT, WITH_TOKENS):
            made = call_grammar(coder, TOOLS, AUTO, special=tokenizer.special)
            assert takes(made, text, tokenizer)
            assert takes(made, text.removeprefix("<tool_call>\n"), tokenizer)
            assert not takes(made, text.replace("get_weather", "nothing"), tokenizer)

    def test_a_mark_that_is_a_token(self) -> None:
        for format in (HERMES, MISTRAL):
            made = call_grammar(format, TOOLS, AUTO, special=WITH_TOKENS.special)
            assert takes(made, render_calls(format, CALLS), WITH_TOKENS)

    def test_a_turn_without_marks(self) -> None:
        made = call_grammar(BARE, TOOLS, AUTO)
        assert made.begin is None
        for text in ("Hello {x}.", "[1]", render_calls(BARE, ONE)):
            assert takes(made, text)
        assert not takes(made, '{"name": "nothing"}')

    def test_messages(self) -> None:
        made = call_grammar(HARMONY, TOOLS, AUTO)
        thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        assert made.begin is None
        for text in ("<|channel|>final<|message|>Yes.", render_calls(HARMONY, ONE)):
            assert takes(made, text) and takes(made, thought + text)
        required = call_grammar(HARMONY, TOOLS, REQUIRED)
        assert takes(required, thought + render_calls(HARMONY, ONE))
        assert not takes(required, f"{thought}<|channel|>final<|message|>Yes.")


class TestReasoning:
    @pytest.mark.parametrize("tokenizer", [TEXT, WITH_TOKENS], ids=["text", "tokens"])
    def test_before_a_call(self, tokenizer: BytesTokenizer) -> None:
        call = render_calls(HERMES, ONE)
        may, opened, no = (
            call_grammar(HERMES, TOOLS, REQUIRED, True, THINK, state, tokenizer.special)
            for state in ("may", "open", "no")
        )
        assert takes(may, f"<think>\nHm.\n</think>\n\n{call}", tokenizer) and takes(
            may, call, tokenizer
        )
        assert takes(opened, f"Hm.\n</think>\n\n{call}", tokenizer)
        assert not takes(opened, call, tokenizer)
        assert takes(no, f"\n\n{call}", tokenizer)
        assert not takes(no, f"<think></think>{call}", tokenizer)
        assert not takes(may, "<think>Hm.</think>Hello.", tokenizer)


RICH = Tool(
    "f",
    "",
    {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 12},
            "code": {"type": "string", "pattern": "^[a-z]{2,4}-\\d+$", "maxLength": 12},
            "one": {"enum": ["red", "dark red", 3, None]},
            "day": {"type": "string", "format": "date"},
            "whole": {"type": "integer", "minimum": -5, "maximum": 120},
            "maybe": {"type": ["string", "null"], "maxLength": 8},
            "either": {
                "anyOf": [
                    {"type": "string", "maxLength": 9},
                    {"type": "integer", "minimum": 3, "maximum": 7},
                    {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
                ]
            },
            "list": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
            "object": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y": {"type": "string", "maxLength": 4}},
                "required": ["x"],
                "additionalProperties": False,
            },
            "named": {"$ref": "#/$defs/Name"},
            "fixed": {"const": "as is"},
        },
        "required": ["text", "whole", "object"],
        "additionalProperties": False,
        "$defs": {"Name": {"type": "string", "minLength": 1, "maxLength": 3}},
    },
)
WALKS = 3
TOKENS_MAX = 1_500


# Their turns may begin with any number of thoughts.
ENDING = [name for name in EVERY if name not in ("harmony", "muse")]


@pytest.mark.parametrize("name", ENDING)
def test_whatever_a_grammar_lets_through_validates(name: str) -> None:
    """Random texts of the grammar: parsed, they are what llguidance takes for the tool's schema."""
    from llguidance import LLMatcher

    format, chance = EVERY[name], random.Random(name)
    lark = call_grammar(format, [RICH], REQUIRED, parallel=False).lark
    seen = 0
    for _ in range(WALKS):
        text = random_text(lark, chance)
        if text is None:
            continue
        found = read_pieces(list(text), format, None, False, [RICH])
        assert found.ended == [True] and not found.content.strip(), text
        matcher = LLMatcher(
            TEXT.for_llguidance,
            LLMatcher.grammar_from_json_schema(dict(schema_of(RICH))),
            log_level=0,
        )
        tokens = TEXT.encode(found.texts[0])
        assert matcher.try_consume_tokens(tokens) == len(tokens), found.texts[0]
        assert matcher.is_accepting(), found.texts[0]
        seen += 1
    assert seen


def random_text(lark: str, chance: random.Random) -> str | None:
    """None: it has not come to an end."""
    from llguidance import LLMatcher

    matcher = LLMatcher(TEXT.for_llguidance, LLMatcher.grammar_from_lark(lark), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens: list[int] = []
    while not matcher.is_stopped() and len(tokens) < TOKENS_MAX:
        mask = int.from_bytes(matcher.compute_bitmask(), "little")
        allowed = [token for token in range(256) if mask >> token & 1]
        # Whether a control character is escaped is not what is looked at.
        allowed = [token for token in allowed if 32 <= token != 127 or token == 10] or allowed
        if not allowed:
            break
        # ASCII above all: else a text is made of broken characters.
        weights = [20 if token < 128 else 1 for token in allowed]
        token = chance.choices(allowed, weights)[0]
        assert matcher.consume_token(token)
        tokens.append(token)
    return TEXT.decode(tokens) if matcher.is_accepting() else None


PATCH = r"""start: begin hunk+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?
hunk: "*** Update File: " filename LF line+
filename: /(.+)/
line: ("+" | "-" | " ") /(.*)/ LF -> line
%import common.LF
"""
GOOD = '*** Begin Patch\n*** Update File: a "b".py\n-\told\\n\n+new "x" é < & </x>\n*** End Patch\n'


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("how", "good", "bad"),
    [
        ({"lark": PATCH}, GOOD, "*** Begin Patch\n*** End Patch\n"),
        ({"pattern": "[a-z]+\n\\d{2}"}, "abc\n12", "abc\n123"),
        ({}, 'any "text"\n\\', None),
    ],
    ids=["lark", "pattern", "any"],
)
def test_custom_tools(name: str, how: dict[str, str], good: str, bad: str | None) -> None:
    format = EVERY[name]
    made = call_grammar(format, [Tool("patch", custom=True, **how)], REQUIRED)
    assert takes(made, render_calls(format, [("patch", {"input": good})]))
    if bad is not None:
        assert not takes(made, render_calls(format, [("patch", {"input": bad})]))


def test_a_grammar_that_comes_back_to_itself() -> None:
    nested = Tool("f", custom=True, lark='start: "(" start ")" | "x"')
    with pytest.raises(ToolRefused) as refused:
        call_grammar(HERMES, [nested], REQUIRED)
    assert refused.value.path == "/format/definition"
    made = call_grammar(ALL["coder"], [nested], REQUIRED)
    assert takes(made, render_calls(ALL["coder"], [("f", {"input": "((x))"})]))
    assert not takes(made, render_calls(ALL["coder"], [("f", {"input": "((x)"})]))


def test_ids_and_numbers_have_a_place() -> None:
    format: CallFormat = ALL["kimi2"]
    made = call_grammar(format, TOOLS, REQUIRED)
    for index in (0, 7, 42):
        text = format.open + render_call(format, "set_flag", {}, index) + format.close
        assert takes(made, text)
