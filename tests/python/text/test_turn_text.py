"""Tokens to the pieces of a turn, on the templates of real models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from formats.examine import TOOLS
from mlx_serving.calls.format import CallFormat
from mlx_serving.calls.model_format import ModelFormat
from mlx_serving.calls.reasoning import opens
from mlx_serving.calls.rendering import render_calls
from mlx_serving.messages import ReasoningRequest, ToolOffer
from mlx_serving.text.turn_text import prompt_end

import turns
from turns import Played, prompt_of, tokens_of

USER = [{"role": "user", "content": "What is the weather?"}]
OFFER = ToolOffer(TOOLS)
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": "Oslo \u6771", "days": 2}),
    ("set_flag", {"flag": True}),
]
THOUGHT = "Is it cold there? \U0001f30a"
ANSWER = "It is < 5."
QWEN = "Qwen-Qwen3-0.6B"
# One of each way to write calls.
KINDS = [
    QWEN,
    "Qwen3-Coder",
    "openai-gpt-oss-120b",
    "google-gemma-4-31B-it",
    "LFM2.5-8B-A1B",
    "deepseek-ai-DeepSeek-V3.1",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "meetkai-functionary-medium-v3.2",
]


def answer_of(model: ModelFormat, opened: bool, calls: Sequence[Any], thought: bool = True) -> str:
    """As the model writes it: reasoning, if it has any, then calls or an answer."""
    channels, reasoning = model.calls.channels, model.reasoning
    rest = render_calls(model.calls, calls) if calls else ANSWER
    if channels is not None and not calls:
        rest = f"{channels.content_header}{channels.message}{ANSWER}"
    if reasoning is None or not (thought or opened):
        return rest
    begin = "" if opened else reasoning.begin
    if channels is not None:
        return f"{begin}{THOUGHT}{reasoning.end}{channels.start}{rest}"
    return f"{begin}\n{THOUGHT}\n{reasoning.end}\n\n{rest}"


def wanted(model: ModelFormat, calls: Sequence[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    turn: list[tuple[Any, ...]] = []
    if model.reasoning is not None:
        turn.append(("reasoning", THOUGHT))
    for name, arguments in calls:
        turn += [("call", name), ("arguments", arguments), ("callEnd", True)]
    return turn if calls else [*turn, ("content", ANSWER)]


def read(played: Played) -> list[tuple[Any, ...]]:
    """Arguments as values: their spaces are the model's."""
    return [
        (kind, json.loads(value) if kind == "arguments" else value) for kind, value in played.turn
    ]


def opens_reasoning(name: str, prompt: list[int], silent: bool) -> bool:
    reasoning = turns.format_of(name).reasoning
    end = prompt_end(turns.real_model(name, silent), prompt)
    return reasoning is not None and opens(end, reasoning)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", turns.names())
def test_a_turn_of_every_template(name: str, silent: bool) -> None:
    """Whether its marks are text or tokens without: with tools and without, resumed anywhere."""
    model, format = turns.real_model(name, silent), turns.format_of(name)
    calls = CALLS[:1] if format.calls.single else CALLS
    for offer, made in ((OFFER, calls), (OFFER, []), (None, [])):
        prompt = prompt_of(model, USER, offer)
        opened = opens_reasoning(name, prompt, silent)
        answer = tokens_of(model, answer_of(format, opened, made))
        whole = Played(model, prompt, answer, offer)
        assert read(whole) == wanted(format, made), (offer is not None, opened)
        assert whole.finish == ("toolCalls" if made else "stop")
        for at in range(1, len(answer), 1 + len(answer) // 7):
            again = Played(model, prompt, answer, offer, emitted=at)
            assert again.said == whole.said[at:] and again.tail == whole.tail


@pytest.mark.parametrize("name", KINDS)
def test_a_resume_at_every_token(name: str) -> None:
    model, format = turns.real_model(name, True), turns.format_of(name)
    prompt = prompt_of(model, USER, OFFER)
    calls = CALLS[:1] if format.calls.single else CALLS
    answer = tokens_of(model, answer_of(format, opens_reasoning(name, prompt, True), calls))
    whole = Played(model, prompt, answer, OFFER)
    for at in range(len(answer) + 1):
        again = Played(model, prompt, answer, OFFER, emitted=at)
        assert (again.said, again.tail) == (whole.said[at:], whole.tail)
        assert again.finish == whole.finish == "toolCalls"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("finish", ["length", "failed"])
def test_an_answer_that_is_cut_off_anywhere(name: str, finish: str) -> None:
    """No part of a call becomes text of the message, and no call that has begun stays open."""
    model, format = turns.real_model(name, True), turns.format_of(name)
    prompt = prompt_of(model, USER, OFFER)
    opened = opens_reasoning(name, prompt, True)
    answer = tokens_of(model, answer_of(format, opened, CALLS[:1]))[:-1]
    for at in range(len(answer)):
        cut = Played(model, prompt, answer[:at], OFFER, finish=finish)
        kinds = [kind for kind, _ in cut.turn]
        if format.calls.begin and at >= len(answer) - 12:
            assert "content" not in kinds, at
        assert kinds.count("call") == kinds.count("callEnd")
        assert cut.finish == finish


def test_reasoning_that_the_client_turned_off_or_on() -> None:
    for silent in (False, True):
        model = turns.real_model("Qwen3.5-4B", silent)
        # mlx-lm turns it off where the vocabulary has no such tokens.
        for enabled, opened in ((None, silent), (True, True), (False, False)):
            prompt = prompt_of(model, USER, reasoning=ReasoningRequest(enabled))
            assert opens_reasoning("Qwen3.5-4B", prompt, silent) == opened
            answer = tokens_of(model, f"{THOUGHT}\n</think>\n\n{ANSWER}" if opened else ANSWER)
            kinds = [kind for kind, _ in Played(model, prompt, answer).turn]
            assert kinds == (["reasoning", "content"] if opened else ["content"])


def test_a_tool_mark_that_ends_reasoning_by_itself() -> None:
    """A control token is no text, also where the model has left out the end of its reasoning."""
    call = render_calls(turns.format_of(QWEN).calls, CALLS[:1])
    for silent in (False, True):
        model = turns.real_model(QWEN, silent)
        played = Played(
            model, prompt_of(model, USER, OFFER), tokens_of(model, f"<think>\nSo {call}"), OFFER
        )
        assert ("call" in [kind for kind, _ in played.turn]) == silent


def test_marks_of_calls_are_nothing_where_there_are_no_tools() -> None:
    model = turns.real_model(QWEN, True)
    answer = tokens_of(model, "<tool_call>one</tool_call>")
    played = Played(model, prompt_of(model, USER), answer)
    assert (played.turn, played.finish) == ([["content", "one"]], "stop")


def test_one_call_where_one_is_wanted() -> None:
    model, one = turns.real_model(QWEN, True), ToolOffer(TOOLS, parallel=False)
    answer = tokens_of(model, render_calls(turns.format_of(QWEN).calls, CALLS))
    played = Played(model, prompt_of(model, USER, one), answer, one)
    assert read(played) == [("call", "get_weather"), ("arguments", CALLS[0][1]), ("callEnd", True)]
    assert played.finish == "toolCalls" and len(played.said) < len(answer)


def test_a_stop_string_that_is_a_token_ends_content_alone() -> None:
    model = turns.real_model("openai-gpt-oss-120b", True)
    prompt = prompt_of(model, USER)
    thought = "<|channel|>analysis<|message|>So.<|end|>"
    text = "<|start|>assistant<|channel|>final<|message|>Yes<|end|>no"
    played = Played(model, prompt, tokens_of(model, thought + text), stop=("<|end|>",))
    assert played.turn == [["reasoning", "So."], ["content", "Yes"]]
    assert played.finish == "stop"


def test_half_a_character_before_a_mark_is_none() -> None:
    model = turns.real_model(QWEN, True)
    begin, end = (model.silent_token(name) for name in ("<think>", "</think>"))
    assert begin is not None and end is not None
    half = tokens_of(model, "\U0001f30a")[:2]
    answer = [begin, *half, end, *half, *model.end_tokens]
    played = Played(model, prompt_of(model, USER), answer)
    assert played.turn == [["reasoning", "\ufffd"], ["content", "\ufffd"]]


def test_a_form_of_headers_stays_a_form_of_headers() -> None:
    """Without tools a header that calls is no call, and what follows is text."""
    model = turns.real_model("openai-gpt-oss-120b", True)
    format: CallFormat = turns.format_of("openai-gpt-oss-120b").calls
    answer = tokens_of(model, render_calls(format, CALLS[:1]))
    played = Played(model, prompt_of(model, USER), answer)
    assert [kind for kind, _ in played.turn] == ["content"] and played.finish == "stop"
