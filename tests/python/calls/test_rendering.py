"""Calls as the model writes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlx_serving.calls.families import GEMMA_4, KIMI_2, LFM2, MINIMAX_3
from mlx_serving.calls.format import CallFormat, Tagged
from mlx_serving.calls.rendering import Unwritable, render_calls, short_id

from .support import BARE, CODER, HERMES, LISTED, MISTRAL

A = {"a": "x", "n": 1}


@pytest.mark.parametrize(
    ("format", "text"),
    [
        (HERMES, '<tool_call>\n{"name": "f", "arguments": {"a": "x", "n": 1}}\n</tool_call>'),
        (BARE, '{"name": "f", "parameters": {"a": "x", "n": 1}}'),
        (LISTED, '<tool_calls>[{"name": "f", "arguments": {"a": "x", "n": 1}}]</tool_calls>'),
        (MISTRAL, '[TOOL_CALLS]f[ARGS]{"a": "x", "n": 1}'),
        (LFM2, '<|tool_call_start|>[f(a="x", n=1)]<|tool_call_end|>'),
        (GEMMA_4, '<|tool_call>call:f{a:<|"|>x<|"|>,n:1}<tool_call|>'),
        (
            CODER,
            "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n"
            "<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>",
        ),
        (
            MINIMAX_3,
            ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="f">]<]minimax[>[<a>x'
            "]<]minimax[>[</a>]<]minimax[>[<n>1]<]minimax[>[</n>]<]minimax[>[</invoke>\n"
            "]<]minimax[>[</tool_call>",
        ),
    ],
)
def test_one_call(format: CallFormat, text: str) -> None:
    assert render_calls(format, [("f", A)]) == text


def test_calls_are_counted() -> None:
    text = render_calls(KIMI_2, [("f", {}), ("f", {})])
    assert "functions.f:0<" in text and "functions.f:1<" in text


def test_no_arguments() -> None:
    assert (
        render_calls(CODER, [("f", {})]) == "<tool_call>\n<function=f>\n</function>\n</tool_call>"
    )


@pytest.mark.parametrize(("format", "value"), [(CODER, "a</parameter>b"), (GEMMA_4, '<|"|>')])
def test_what_can_not_be_written(format: CallFormat, value: str) -> None:
    with pytest.raises(Unwritable):
        render_calls(format, [("f", {"a": value})])


def test_a_block_of_text_where_signs_need_one() -> None:
    assert isinstance(CODER.style, Tagged)
    format = replace(CODER, style=replace(CODER.style, cdata=True))
    assert "<![CDATA[a<b]]>" in render_calls(format, [("f", {"a": "a<b"})])
    assert "CDATA" not in render_calls(format, [("f", {"a": "ab"})])
    with pytest.raises(Unwritable):
        render_calls(format, [("f", {"a": "<]]>"})])


def test_short_ids_are_the_same_for_the_same() -> None:
    assert short_id("a") == short_id("a") != short_id("b") and len(short_id("a")) == 9
