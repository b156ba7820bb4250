"""The chat templates of real models that llama.cpp keeps with its sources. `npm run formats` does
the same, and writes the page that is compared here."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from formats import report, second_source
from formats.examine import CHECKS, Examined
from formats.real_template import real_template
from mlx_serving.calls.model_format import ModelFormat, derive_model_format
from mlx_serving.calls.template import Template

import llama_cpp_sources

PAGE = (Path(__file__).parents[3] / "docs" / "TOOL-FORMATS.md").read_text("utf-8")
ROW = re.compile(r"^\| ([\w.-]+) \| (?:derived|table|generic): .*$", re.M)
ROWS = {row[1]: row[0] for row in ROW.finditer(PAGE)}
WHOLE_MIN = 66


def folder() -> Path:
    try:
        return llama_cpp_sources.folder("templates")
    except llama_cpp_sources.NotFetched as why:
        pytest.skip(str(why))


@cache
def looked_at(name: str) -> tuple[Template, ModelFormat]:
    template = real_template((folder() / f"{name}.jinja").read_text("utf-8"))
    return template, derive_model_format(template)


def test_the_page_has_every_template() -> None:
    assert sorted(ROWS) == sorted(path.stem for path in folder().glob("*.jinja"))


def test_most_templates_are_whole() -> None:
    assert sum(row.endswith("| whole |") for row in ROWS.values()) >= WHOLE_MIN


@pytest.mark.parametrize("name", ROWS)
def test_a_template_is_whole(name: str) -> None:
    template, model = looked_at(name)
    wrong = {
        check: found
        for check, look in CHECKS.items()
        if check != "grammar" and (found := look(name, template, model)) is not None
    }
    assert wrong == {}


@pytest.mark.parametrize("name", ROWS)
def test_the_grammar_agrees(name: str) -> None:
    pytest.importorskip("llguidance")
    template, model = looked_at(name)
    assert CHECKS["grammar"](name, template, model) is None


@pytest.mark.parametrize("name", ROWS)
def test_the_page_says_what_is_so(name: str) -> None:
    template, model = looked_at(name)
    seen = Examined(name, model, {}, second_source.parser_of(template.source))
    assert report.row(seen) == ROWS[name]


def test_a_check_sees_what_is_wrong() -> None:
    """Each of them fails where the format is another template's."""
    template, _ = looked_at("Qwen3-Coder")
    _, other = looked_at("meetkai-functionary-medium-v3.1")
    assert CHECKS["mlx-lm"]("Qwen3-Coder", template, other) is not None
    broken = Template(template.source, lambda *_: "nothing")
    assert CHECKS["history"]("Qwen3-Coder", broken, other) is not None
