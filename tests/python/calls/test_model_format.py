"""All that is derived of a template."""

from __future__ import annotations

from mlx_serving.calls.families import GENERIC, KIMI_2
from mlx_serving.calls.format import ReasoningFormat
from mlx_serving.calls.model_format import ModelFormat, within
from mlx_serving.calls.needs import TemplateNeeds


def test_tokens_that_a_parser_must_see() -> None:
    model = ModelFormat(KIMI_2, TemplateNeeds(), ReasoningFormat("<think>", "</think>"))
    silent = {"<|tool_call_begin|>": 5, "</think>": 6, "<|im_end|>": 7, "<|tool_call_end|>": 8}
    assert model.shown_tokens(silent) == {
        5: "<|tool_call_begin|>",
        6: "</think>",
        8: "<|tool_call_end|>",
    }
    assert ModelFormat(GENERIC, TemplateNeeds(), None).shown_tokens({"<|im_end|>": 7}) == {}


def test_names_within_marks() -> None:
    assert within(["<a><ab>"], ["<a>", "<ab>", "<b>", ""]) == ["<a>", "<ab>"]
    assert within(["<a>"], []) == []
