"""`generation_config.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlx_serving.generation import sampling_defaults
from mlx_serving.messages import LoadFailed, SamplingDefaults


def defaults(folder: Path, config: object) -> SamplingDefaults:
    (folder / "generation_config.json").write_text(json.dumps(config))
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
    "config",
    [[], {"do_sample": True, "temperature": "hot"}, {"temperature": 3}, {"temperature": -1}],
)
def test_nonsense_fails_the_load(tmp_path: Path, config: object) -> None:
    with pytest.raises(LoadFailed) as failed:
        defaults(tmp_path, config)
    assert failed.value.code == "model_unsupported"
