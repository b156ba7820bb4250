"""How a model's makers want it sampled: its `generation_config.json`.

Without one, or where it says nothing of chance, the model is greedy, as in mlx_lm.server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .messages import LoadFailed, SamplingDefaults

TEMPERATURE_SAMPLED = 1.0
"""What transformers takes when a model samples and names no temperature."""


def sampling_defaults(folder: Path) -> SamplingDefaults:
    """Raises `LoadFailed` when the file is there and can't be understood."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return SamplingDefaults()
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise LoadFailed("model_unsupported", f"{path} is no JSON file") from error
    if not isinstance(config, dict):
        raise LoadFailed("model_unsupported", f"{path} is no generation configuration")
    sampled = config.get("do_sample", "temperature" in config)
    if not sampled:
        return SamplingDefaults()
    return SamplingDefaults(
        temperature=_number(path, config, "temperature", 0.0, 2.0, TEMPERATURE_SAMPLED),
        top_p=_number(path, config, "top_p", 0.0, 1.0, 1.0),
        top_k=int(_number(path, config, "top_k", 0, 1_000_000, 0)),
        min_p=_number(path, config, "min_p", 0.0, 1.0, 0.0),
        repetition_penalty=_number(path, config, "repetition_penalty", 0.01, 10.0, 1.0),
    )


def _number(
    path: Path, config: dict[str, Any], name: str, low: float, high: float, default: float
) -> float:
    value = config.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LoadFailed("model_unsupported", f"{path}: {name} must be from {low} to {high}")
    return value
