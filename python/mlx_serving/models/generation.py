"""How a model's makers want it sampled: its `generation_config.json`.

Without one, or where it says nothing of chance, the model is greedy, as in mlx_lm.server. The file
holds defaults alone: an invalid entry is left out with a warning, and the model is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ..engine import SamplingDefaults
from .files import Unreadable, read_object, warn

TEMPERATURE_SAMPLED = 1.0
"""What transformers takes when a model samples and names no temperature."""
# What a request may ask for too, name by name; a penalty of 0 would divide by it.
BOUNDS: Final = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 1_000_000),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 10.0),
}
# Other servers' and older libraries' ways to say "all tokens".
TOP_K_ALL = (-1, None)


def sampling_defaults(folder: Path) -> SamplingDefaults:
    path = folder / "generation_config.json"
    if not path.is_file():
        return SamplingDefaults()
    try:
        config = read_object(path).value
    except Unreadable:
        # `files.usable` has said so.
        return SamplingDefaults()
    if not _samples(path, config):
        return SamplingDefaults()
    top_k = None if config.get("top_k") in TOP_K_ALL else config["top_k"]
    return SamplingDefaults(
        temperature=_number(path, "temperature", config, TEMPERATURE_SAMPLED),
        top_p=_number(path, "top_p", config, 1.0),
        top_k=int(_number(path, "top_k", {"top_k": top_k}, 0)),
        min_p=_number(path, "min_p", config, 0.0),
        repetition_penalty=_number(path, "repetition_penalty", config, 1.0),
    )


def _samples(path: Path, config: dict[str, Any]) -> bool:
    said = config.get("do_sample")
    if said is not None and not isinstance(said, bool):
        warn(path, "do_sample must be true or false; it is left out")
        said = None
    return "temperature" in config if said is None else said


def _number(path: Path, name: str, config: dict[str, Any], default: float) -> float:
    low, high = BOUNDS[name]
    value = config.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        warn(path, f"{name} must be from {low:g} to {high:g}; it is left out")
        return default
    if isinstance(default, int) and value != int(value):
        warn(path, f"{name} must be a whole number; it is left out")
        return default
    return value
