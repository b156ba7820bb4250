"""Families of mlx-lm that do a thing of their own, served as mlx-lm alone answers: the cases that
failed once, and neighbours of their kinds. `npm run families` does the same with all."""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from families import report
from families.build import build, config, instance, why_none
from families.compare import Comparison, Seen, first_difference
from families.kv import compare_kv
from families.run import Result, counted, is_right, last_line, modules

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "cases" / "families.json").read_text("utf-8")
)
# Batches that are right, of every kind of cache and of layers with masks or states of their own.
TOGETHER = {
    "llama": "part",
    "gpt_oss": "part",  # windows, sinks
    "gemma3_text": "part",  # windows
    "mamba": "whole",  # state space
    "qwen3_next": "whole",  # hybrid
    "deepseek_v3": "part",  # latent attention, experts
    "gpt2": "part",  # learned positions
}
# Batches that are wrong without a word, or die.
APART = {
    "afm7": "part",  # layers that share keys: positions without the padding
    "minimax_m3_vl": "part",  # blocks chosen by an index
    "nemotron-nas": "part",  # a layer without attention comes first
    "recurrent_gemma": "whole",  # a prompt of one token leaves no state
    "deepseek_v41": "whole",  # a cache without merge
}


@cache
def comparison_of(family: str) -> Comparison:
    """Dear to make: what a family can and what mlx-lm says alone. It serves anew each time."""
    return Comparison(build(family))


@cache
def comparison_of_case(family: str) -> Comparison:
    return Comparison(instance(CASES[family]))


@pytest.mark.parametrize("family", CASES)
def test_the_cases_answer_as_alone(family: str) -> None:
    seen = comparison_of_case(family).seen()
    assert is_right(seen), seen
    assert not seen.abilities["batch"] and seen.abilities["batch_reason"]


def test_a_chunk_that_is_gone_is_not_cut_back_to() -> None:
    abilities = comparison_of_case("llama4").abilities
    assert abilities.prefix == "whole" and "differ" in str(abilities.prefix_reason)


@pytest.mark.parametrize("family", [*TOGETHER, *APART])
def test_neighbours_answer_as_alone_in_a_batch(family: str) -> None:
    comparison = comparison_of(family)
    assert comparison.batch() is None
    assert comparison.abilities.batch is (family in TOGETHER)
    assert comparison.abilities.prefix == {**TOGETHER, **APART}[family]
    assert comparison.abilities.pieces


def test_a_model_that_is_wrong_in_pieces_gets_whole_prompts() -> None:
    comparison = comparison_of("plamo3")
    assert not comparison.abilities.pieces and comparison.abilities.prefix == "none"
    assert comparison.alone() is None and comparison.resume() is None


@pytest.mark.parametrize("family", ["gpt_oss", "gemma3_text", "recurrent_gemma", "llama4", "mamba"])
def test_repeats_from_the_prefix_cache_beside_others(family: str) -> None:
    """Hits that join a batch that goes on: a window's ring once came back cut, and wrong."""
    comparison = comparison_of(family)
    assert comparison.prefix() is None
    serving = comparison.serving(1 << 26)
    asked = [comparison.prompts[0], comparison.prompts[3], comparison.prompts[0]]
    first = serving.run([(tokens, []) for tokens in asked])
    assert first == [comparison.truth[0], comparison.truth[3], comparison.truth[0]]
    for _ in range(2):
        assert serving.run([(tokens, []) for tokens in asked]) == first


@pytest.mark.parametrize("unit", [12, 16, 32])
@pytest.mark.parametrize("family", ["gpt_oss", "gemma3_text", "baichuan_m1", "llama4", "llama"])
def test_padding_of_whole_units_fills_no_window(family: str, unit: int) -> None:
    """As on CUDA, where chunks have few lengths: the padding is taken off again."""
    comparison = comparison_of(family)
    serving = comparison.serving(0, unit)
    assert serving.run([(tokens, []) for tokens in comparison.prompts]) == comparison.truth


def test_memory_of_long_answers_is_that_of_their_caches() -> None:
    """Paddings that are only ever computed with are to be computed, or all steps stay in memory."""
    for family in ("gpt_oss", "mamba", "lfm2"):
        comparison = comparison_of(family)
        serving = comparison.serving()
        for tokens in ([5], [7], comparison.prompts[0]):
            serving.insert(tokens, [], 400)
        seen = []
        for step in range(300):
            serving.step()
            if step % 100 == 99:
                seen.append(mx.get_active_memory() - serving.kv_bytes)
        assert max(seen) - min(seen) < 1 << 20, family


# --- with a quantized KV cache ---


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3", "gpt2", "nemotron-nas"])
def test_a_quantized_cache_answers_in_a_batch_as_alone(family: str) -> None:
    seen = compare_kv(family)
    assert (seen.refused, seen.differs) == (None, None)
    assert seen.difference is not None and 0 < seen.difference < 0.5


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("gemma2", "its attention takes no quantized keys"),
        ("stablelm", "its attention takes no quantized keys"),
        ("mamba", "it has ArraysCache"),
        ("gpt_oss", "RotatingKVCache"),
    ],
)
def test_why_a_cache_can_t_be_quantized(family: str, reason: str) -> None:
    assert reason in (compare_kv(family).refused or "")


def test_a_quantized_cache_that_differs_is_not_right() -> None:
    seen = Seen({}, None, None, None, None, {"refused": None, "differs": "row 1", "difference": 1})
    assert not is_right(seen)


# --- the run over all ---


def test_every_module_has_a_configuration_or_a_reason() -> None:
    names = modules()
    assert len(names) > 130
    assert why_none().keys() <= set(names)
    for name in names:
        assert config(name)["model_type"] == name


def test_what_is_written_is_of_the_pinned_version() -> None:
    """A new release of mlx-lm asks for `npm run families`."""
    root = Path(__file__).parents[3]
    table = json.loads((root / "python/mlx_serving/models/families.json").read_text("utf-8"))
    page = (root / "docs/MODELS.md").read_text("utf-8")
    version = metadata.version("mlx-lm")
    assert table["mlxLm"] == version and f"mlx-lm {version}" in page
    assert len(table["families"]) > 100
    for name in modules():
        assert f"| {name} |" in page or f"{name} (" in page
    for family, expected in [*TOGETHER.items(), *APART.items()]:
        entry = table["families"][family]
        assert (entry["batch"], entry["prefix"]) == (family in TOGETHER, expected)


def test_differences_are_told() -> None:
    assert first_difference([("a", [1, 2], [1, 2])]) is None
    assert first_difference([("a", [1, 2], [1, 3])]) == "a: other tokens from the 2. on"
    assert first_difference([("a", [1], [1, 3])]) == "a: other tokens from the 2. on"


def test_the_page_and_the_table() -> None:
    good = Seen(
        {
            "batch": True,
            "batch_reason": None,
            "prefix": "part",
            "prefix_reason": None,
            "pieces": True,
        },
        None,
        None,
        None,
        None,
        {"refused": None, "differs": None, "difference": 0.0123},
    )
    bad = Seen(
        {
            "batch": False,
            "batch_reason": "a|b",
            "prefix": "none",
            "prefix_reason": "why",
            "pieces": False,
        },
        None,
        "row 1: no",
        None,
        None,
        {"refused": "it has ArraysCache", "differs": None, "difference": None},
    )
    results = [
        Result("llama", good, None),
        Result("gemma2", bad, None),
        Result("base", None, "no family: shared"),
        Result("bitnet", None, "no Metal"),
    ]
    assert dict(counted(results)) == {
        "compared": 2,
        "as mlx-lm alone in everything": 1,
        "together in a batch": 1,
        "with a quantized KV cache": 1,
    }
    page = report.page(results)
    assert (
        "| llama | iquestcoder, mistral, xverse | together | any part | same | same | same | same "
        "| same; 0.012 from a plain one |" in page
    )
    assert "refused: it has ArraysCache" in page
    assert "**one at a time**: a\\|b" in page and "**row 1: no**" in page
    assert "| bitnet | no Metal |" in page and "base (shared)" in page
    table = json.loads(report.table(results))
    assert table["families"]["mistral"] == {"batch": True, "prefix": "part", "kv": True}
    assert table["families"]["gemma2"] == {"batch": False, "prefix": "none", "kv": False}


def test_the_last_line_is_the_reason() -> None:
    assert last_line("a\n\nValueError: b\n\n") == "ValueError: b"
    assert last_line("") == ""
    assert len(last_line("x" * 999)) == 200
