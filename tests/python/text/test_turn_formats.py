"""How a model writes its turns: found out once, of any template, and picked for each request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mlx_serving.calls.template import Template
from mlx_serving.failures import Refused
from mlx_serving.messages import Admission, NamedTool, Sampling, Tool, ToolOffer
from mlx_serving.text.turn_formats import TurnFormats

import turns

TOOL = Tool("get_weather", "The weather.")
OFFER = ToolOffer((TOOL,))
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
    "{% if enable_thinking %}<think>{% else %}<think></think>{% endif %}"
)
PLAIN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"

# Calls that nothing tells from text.
MARKLESS = (
    "{% for m in messages %}{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
    "{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name }}({{ c.function.arguments | tojson }})\n{% endfor %}{% endfor %}"
)


def asked(tools: ToolOffer | None = None) -> Admission:
    return Admission(1, [1], [], 9, Sampling(), tools=tools)


def formats_of(render: Any, silent: dict[str, int] | None = None) -> TurnFormats:
    return TurnFormats(lambda: Template("x", render), lambda: silent or {}, lambda: 0.5)


def test_it_is_derived_once() -> None:
    asked_for = []

    def template() -> Template:
        asked_for.append(1)
        return Template(PLAIN, lambda messages, *_: str(messages))

    formats = TurnFormats(template, dict, lambda: 10)
    assert formats.derived is formats.derived and asked_for == [1]


@pytest.mark.parametrize("offer", [OFFER, replace(OFFER, choice=NamedTool("get_weather"))])
def test_a_model_that_knows_no_tools_has_the_generic_form(offer: ToolOffer) -> None:
    model = turns.text_model(PLAIN)
    found = model.turn_format(asked(offer))
    assert found is not None and found.calls is not None and found.calls.source == "generic"
    assert found.reasoning is None and found.shown == {}


@pytest.mark.parametrize("offer", [None, ToolOffer(()), replace(OFFER, choice="none")])
def test_without_tools_and_reasoning_an_answer_is_plain_text(offer: ToolOffer | None) -> None:
    assert turns.text_model(PLAIN).turn_format(asked(offer)) is None


def test_only_the_marks_that_are_read_are_shown() -> None:
    model = turns.text_model(THINKING, ["<think>", "</think>", "<tool_call>", "<|user|>"])
    without, with_tools = model.turn_format(asked()), model.turn_format(asked(OFFER))
    assert without is not None and without.calls is None
    assert set(without.shown.values()) == {"<think>", "</think>"}
    assert with_tools is not None and with_tools.calls is not None
    assert set(with_tools.shown.values()) == {"<think>", "</think>", "<tool_call>"}
    assert with_tools.reasoning == without.reasoning is not None


def test_headers_are_read_without_tools_too() -> None:
    found = turns.real_model("openai-gpt-oss-120b", True).turn_format(asked())
    assert found is not None and found.calls is not None and found.calls.channels is not None


def test_a_template_of_which_calls_are_not_known_serves_all_else() -> None:
    model = turns.text_model(MARKLESS)
    derived = model._turns.derived
    assert derived.model is None and "begin with no mark" in derived.why
    found = model.turn_format(asked(OFFER))
    assert found is not None and found.calls is None
    assert found.reasoning is not None and found.reasoning.begin == "<think>"
    assert turns.prompt_of(model, [{"role": "user", "content": "x"}])
    assert turns.prompt_of(model, [{"role": "user", "content": "x"}], ToolOffer(()))
    with pytest.raises(Refused) as caught:
        turns.prompt_of(model, [{"role": "user", "content": "x"}], OFFER)
    assert (caught.value.code, caught.value.field) == ("invalid_prompt", "tools")
    assert "begin with no mark" in str(caught.value)


def test_a_template_that_never_ends_is_given_up() -> None:
    def endless(*_: Any) -> str:
        while True:
            pass

    formats = formats_of(endless)
    assert formats.derived.model is None and "too long" in formats.derived.why
    assert formats.of(asked(OFFER)) is None


@pytest.mark.parametrize("error", [ValueError, RecursionError, KeyError])
def test_a_template_that_raises(error: type[Exception]) -> None:
    def broken(*_: Any) -> str:
        raise error("no")

    assert formats_of(broken).of(asked()) is None


def test_no_template() -> None:
    formats = TurnFormats(lambda: None, dict, lambda: 1)
    assert formats.derived.model is None and formats.of(asked(OFFER)) is None


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("Qwen-Qwen3-0.6B", "</think>"),
        ("openai-gpt-oss-120b", "<|end|>"),
        ("mistralai-Ministral-3-14B-Reasoning-2512", "[/THINK]"),
        ("deepseek-ai-DeepSeek-V3.1", "</think>"),
    ],
)
def test_the_tokens_that_end_reasoning(name: str, end: str, silent: bool) -> None:
    """One where the mark is a token, else as many as it takes."""
    model = turns.real_model(name, silent)
    closing = model.reasoning_end()
    assert list(closing) == turns.tokens_of(model, end)[: -len(model.end_tokens)]
    single = model.silent_token(end)
    assert closing == (single,) if single is not None else len(closing) == len(end)
    found = model.turn_format(asked(OFFER))
    assert found is not None and found.closing == closing


def test_a_model_that_does_not_reason_has_none() -> None:
    assert turns.text_model(PLAIN).reasoning_end() == ()


def test_tokens_that_are_not_read_as_the_mark_end_nothing() -> None:
    model = turns.text_model(THINKING)
    assert model.reasoning_end()
    assert model._mark_tokens("</think>") == model.reasoning_end()
    # The tokenizer leaves out what it has no text for.
    model._tokenizer = _Lossy(model._tokenizer)
    assert model._mark_tokens("</think>") == ()


class _Lossy:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, **options: Any) -> list[int]:
        return list(self._tokenizer.encode(text, **options))[:-1]
