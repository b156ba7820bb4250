"""Turns of messages with headers."""

from __future__ import annotations

import pytest
from formats.read import Read, read_pieces
from mlx_serving.calls.families import FUNCTIONARY_3_2, HARMONY, MUSE
from mlx_serving.calls.format import CallFormat
from mlx_serving.calls.parser import output_parser
from mlx_serving.calls.rendering import render_calls

from .support import CALLS, TOOLS, cuts

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
AGAIN = "<|end|><|start|>assistant"


def read(text: str, format: CallFormat = HARMONY, opened: bool = False) -> Read:
    first, *others = [read_pieces(p, format, None, opened, TOOLS) for p in cuts(text)]
    assert all(other == first for other in others)
    return first


def test_analysis_and_answer() -> None:
    assert read(f"{ANALYSIS}Hm.{AGAIN}{FINAL}Yes.\n") == Read("Yes.\n", "Hm.")


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.set_flag <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.set_flag<|message|>",
        " to=functions.set_flag<|channel|>commentary json<|message|>",
        "<|channel|>analysis to=functions.set_flag <|message|>",
    ],
)
def test_headers_of_a_call(header: str) -> None:
    found = read(f'{ANALYSIS}Hm.{AGAIN}{header}{{"flag": true}}<|call|>')
    assert found.calls == [("set_flag", {"flag": True})]
    assert found.reasoning == "Hm." and not found.content


def test_what_is_said_before_a_call() -> None:
    call = render_calls(HARMONY, CALLS)
    found = read(f"<|channel|>commentary<|message|>I look.{AGAIN}{call}<|call|>")
    assert found.content == "I look." and found.calls == CALLS


def test_a_model_that_writes_no_header() -> None:
    text = "Just text. " * 40
    assert read(text).content == text
    assert read("Short.").content == "Short."


def test_analysis_that_the_prompt_has_opened() -> None:
    parser = output_parser(HARMONY, None, True)
    assert parser.in_reasoning
    assert read(f"Hm.{AGAIN}{FINAL}Yes", opened=True) == Read("Yes", "Hm.")


def test_a_turn_that_ends_in_a_call() -> None:
    found = read('<|channel|>commentary to=functions.set_flag<|message|>{"fl')
    assert found.names == ["set_flag"] and found.ended == [False] and not found.content


class TestFunctionary:
    """The header is a line of its own, and the prompt has its mark."""

    def test_content_and_calls(self) -> None:
        calls = render_calls(FUNCTIONARY_3_2, CALLS)
        found = read(f"all\nI look.>>>{calls}", FUNCTIONARY_3_2)
        assert found.content == "I look." and found.calls == CALLS

    @pytest.mark.parametrize("text", [">>> x = 1\n2", "a >>> b", ">>>print(1)\n"])
    def test_the_mark_in_a_text(self, text: str) -> None:
        assert read(f"all\n{text}", FUNCTIONARY_3_2).content == text

    def test_a_text_without_header(self) -> None:
        assert read("Hello there.\nYou.", FUNCTIONARY_3_2).content == "Hello there.\nYou."


class TestMuse:
    def test_reasoning_calls_and_content(self) -> None:
        again = "<|eom|><|start|>assistant"
        calls = render_calls(MUSE, CALLS)
        found = read(f" to=self<|message|>Hm.{again}{calls}<|eot|>", MUSE)
        assert found.reasoning == "Hm." and found.calls == CALLS
        assert read(" to=user<|message|>Yes.<|eot|>", MUSE) == Read("Yes.")
