"""What was seen, as docs/TOOL-FORMATS.md."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from mlx_serving.calls.families import FAMILIES
from mlx_serving.calls.format import ReasoningFormat
from mlx_serving.calls.grammar.values import FORMATS
from mlx_serving.calls.model_format import ModelFormat
from mlx_serving.calls.rendering import render_calls

from .examine import Examined
from .second_source import DIFFERS

PAGE: Final = Path(__file__).with_name("page.md")
EXAMPLE: Final = [("f", {"a": "x", "n": 1})]
REASON_CHARACTERS_MAX: Final = 200


def page(seen: Sequence[Examined]) -> str:
    families = [
        f"| {family.format.family} | {', '.join(map(_code, family.told_by))} | {family.why} |"
        for family in FAMILIES
    ]
    return Template(PAGE.read_text("utf-8")).substitute(
        MLX_LM=version("mlx-lm"),
        TRANSFORMERS=version("transformers"),
        LLGUIDANCE=version("llguidance"),
        COUNT=len(seen),
        WHOLE=sum(one.whole for one in seen),
        ROWS="\n".join(map(row, seen)),
        FAMILIES="\n".join(families),
        FORMATS=", ".join(f"`{name}`" for name in FORMATS),
    )


def row(seen: Examined) -> str:
    wrong = "; ".join(f"**{check}**: {_cell(why)}" for check, why in seen.wrong.items())
    if seen.model is None:
        return f"| {seen.name} | | | | | | {wrong} |"
    model = seen.model
    cells = (
        seen.name,
        f"{model.calls.source}: {model.calls.family}",
        _code(render_calls(model.calls, EXAMPLE)) + _added(model),
        _reasoning(model.reasoning),
        _history(model),
        _second(seen),
        wrong or "whole",
    )
    return f"| {' | '.join(cells)} |"


def _added(model: ModelFormat) -> str:
    return " (one a turn)" if model.calls.single else ""


def _reasoning(reasoning: ReasoningFormat | None) -> str:
    if reasoning is None:
        return ""
    marks = f"{_code(reasoning.begin)} {_code(reasoning.end)}"
    opened = ", open" if reasoning.opened else ""
    switches = [_code(f"{key}: {value}") for key, value in (reasoning.off or {}).items()]
    return f"{marks}{opened}{', '.join(['', *switches])}"


def _history(model: ModelFormat) -> str:
    needs = model.needs
    done = {
        "calls": not needs.calls,
        "one a turn": needs.calls and not needs.parallel,
        "results": not needs.results,
        "tools": not needs.tools,
        "simple schemas": needs.simple_schemas,
    }
    return ", ".join(name for name, is_done in done.items() if is_done)


def _second(seen: Examined) -> str:
    if seen.name in DIFFERS:
        return f"not followed: {DIFFERS[seen.name]}"
    return seen.mlx_lm or ""


def _code(text: str) -> str:
    """As code in a table's cell, line ends as `⏎`."""
    shown = text.replace("\n", "⏎").replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def _cell(text: str) -> str:
    return text[:REASON_CHARACTERS_MAX].replace("|", "\\|").replace("\n", "⏎")
