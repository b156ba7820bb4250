"""mlx-lm's own parsers: it picks one by what stands in the template."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from mlx_serving.calls.definitions import tool_definition
from mlx_serving.calls.format import Tool

# Where mlx-lm's choice is not the template's format, and why we don't follow it.
DIFFERS: Final = {
    "MiniMax-M3": "mlx-lm takes it for JSON in `<tool_call>`",
    "Mistral-Small-3.2-24B-Instruct-2506": "mlx-lm takes the call's id for its name",
}
# Kimi K3's template has these as arguments of a macro; its vocabulary has them as tokens.
XTML: Final = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")


class _Tokenizer:
    """What mlx-lm looks at."""

    def __init__(self, source: str) -> None:
        self.chat_template = source
        self._vocabulary = dict.fromkeys(XTML, 0) if "xtml" in source else {}

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary


def parser_of(source: str) -> str | None:
    from mlx_lm.tokenizer_utils import _infer_tool_parser

    name = _infer_tool_parser(_Tokenizer(source))
    return None if name is None else str(name)


def parsed(parser: str, text: str, tools: Sequence[Tool]) -> list[tuple[str, Any]]:
    """As its server does it: the text between begin and end mark goes to the parser."""
    module = importlib.import_module(f"mlx_lm.tool_parsers.{parser}")
    definitions = [tool_definition(tool) for tool in tools]
    calls: list[dict[str, Any]] = []
    rest = text
    while module.tool_call_start in rest:
        rest = rest.partition(module.tool_call_start)[2]
        body = rest
        if module.tool_call_end:
            body, _, rest = rest.partition(module.tool_call_end)
        found = module.parse_tool_call(body, definitions)
        calls += found if isinstance(found, list) else [found]
        if not module.tool_call_end:
            break
    return [(call["name"], call["arguments"]) for call in calls]
