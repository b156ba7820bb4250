"""Reasoning, as templates show it."""

from __future__ import annotations

from typing import Any

import pytest
from formats.real_template import real_template
from mlx_serving.calls.families import FUNCTIONARY_3_2, HARMONY
from mlx_serving.calls.format import ReasoningFormat
from mlx_serving.calls.reasoning import derive_reasoning, opens

HEAD = "{%- for m in messages -%}<{{ m.role }}>"
TAIL = "{{ m.content }}{%- endfor -%}{%- if add_generation_prompt -%}<assistant>"
END = "{%- endif -%}"
THINK = ReasoningFormat("<think>", "</think>")


def derived(message: str, prompt: str) -> ReasoningFormat | None:
    return derive_reasoning(real_template(HEAD + message + TAIL + prompt + END))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_the_field_that_takes_it_back(field: str) -> None:
    message = f"{{%- if m.{field} -%}}<think>{{{{ m.{field} }}}}</think>{{%- endif -%}}"
    assert derived(message, "") == ReasoningFormat("<think>", "</think>", field=field)


@pytest.mark.parametrize(
    ("prompt", "opened", "off"),
    [
        ("<think>\n", True, None),
        ("{{ '' if enable_thinking is false else '<think>' }}", True, {"enable_thinking": False}),
        ("{{ '<think>' if thinking else '<think></think>' }}", False, {"thinking": False}),
        (
            "{{ '<think></think>' if thinking_mode == 'disabled' else '' }}",
            False,
            {"thinking_mode": "disabled"},
        ),
        ("<think></think>", False, None),
    ],
)
def test_what_the_prompt_opens_and_what_switches_it(
    prompt: str, opened: bool, off: dict[str, Any] | None
) -> None:
    found = derived("", prompt)
    assert found is not None and (found.opened, found.off) == (opened, off)


def test_other_marks() -> None:
    found = derived("{{ '[THINK][/THINK]' if false }}", "")
    assert found is not None and (found.begin, found.end) == ("[THINK]", "[/THINK]")


def test_none() -> None:
    assert derived("", "") is None


def test_channels() -> None:
    template = real_template("")
    found = derive_reasoning(template, HARMONY)
    assert found is not None and found.begin == "<|channel|>analysis<|message|>"
    assert derive_reasoning(template, FUNCTIONARY_3_2) is None


@pytest.mark.parametrize(
    ("prompt", "open"),
    [
        ("<assistant><think>\n", True),
        ("<assistant><think>", True),
        ("<assistant>", False),
        ("<think></think>", False),
        ("<think>\n\n</think>\n\n", False),
        ("write <think> first<assistant>", False),
    ],
)
def test_opens(prompt: str, open: bool) -> None:
    assert opens(prompt, THINK) == open
