"""`generation_config.json`: defaults, which never decide over serving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlx_serving.engine import SamplingDefaults
from mlx_serving.models.generation import sampling_defaults

SAMPLED = '"do_sample": true, "temperature": 0.6'


def defaults(folder: Path, config: object) -> SamplingDefaults:
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "generation_config.json").write_text(text, "utf-8")
    return sampling_defaults(folder)


def test_greedy_without_a_word_of_chance(tmp_path: Path) -> None:
    assert sampling_defaults(tmp_path) == SamplingDefaults()
    assert defaults(tmp_path, {"eos_token_id": 2}).temperature == 0
    assert defaults(tmp_path, {"do_sample": False, "temperature": 0.7}).temperature == 0


def test_what_the_makers_say(tmp_path: Path) -> None:
    config = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    assert defaults(tmp_path, config) == SamplingDefaults(0.6, 0.95, 20)
    assert defaults(tmp_path, {"do_sample": True}).temperature == 1.0
    assert defaults(tmp_path, {"temperature": 0.5}).temperature == 0.5


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("temperature", "hot", True),
        ("temperature", 3, True),
        ("temperature", -1, True),
        ("temperature", True, True),
        ("temperature", [0.5], True),
        ("top_p", 1.5, True),
        ("top_p", {}, True),
        ("top_k", -1, False),
        ("top_k", None, False),
        ("top_k", -2, True),
        ("top_k", 2.5, True),
        ("top_k", "20", True),
        ("min_p", -0.1, True),
        ("min_p", None, False),
        ("repetition_penalty", 0, True),
        ("repetition_penalty", float("inf"), True),
        ("repetition_penalty", float("nan"), True),
        ("do_sample", "yes", True),
        ("top_h", 0.4, False),
        ("suppress_tokens", [1], False),
    ],
)
def test_what_is_nonsense_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: object, told: bool
) -> None:
    """And the rest is taken."""
    config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 5, name: value}
    expected = {"temperature": 0.6, "top_p": 0.9, "top_k": 5, "min_p": 0.0}
    neutral = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    seen = defaults(tmp_path, config)
    for field, usual in expected.items():
        assert getattr(seen, field) == (neutral.get(field, usual) if field == name else usual)
    assert seen.repetition_penalty == 1.0
    said = capsys.readouterr().err
    assert (str(tmp_path / "generation_config.json") in said and name in said) is told


@pytest.mark.parametrize(
    "text",
    [
        f"{{{SAMPLED},}}",
        f"{{{SAMPLED},\n \n}}\n",
        f"\ufeff{{{SAMPLED}}}",
        f'{{{SAMPLED}, "stop": ["a,]", "b",],}}',
        f'{{{SAMPLED}, "x": "\\",}}",}}',
    ],
)
def test_what_can_be_understood_is_taken(tmp_path: Path, text: str) -> None:
    assert defaults(tmp_path, text).temperature == 0.6


@pytest.mark.parametrize("text", ["", " \n", "{", "[]", "null", '"x"', "{,}", "[" * 100_000])
def test_what_cannot_is_as_if_it_weren_t_there(tmp_path: Path, text: str) -> None:
    assert defaults(tmp_path, text) == SamplingDefaults()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_bytes(b"\xff\xfe{\x00")
    assert sampling_defaults(tmp_path) == SamplingDefaults()
