"""A model's `config.json`: what must be right in it, whatever the family, with the field to blame.

mlx-lm builds a model of any values and fails somewhere inside with a message that names no field.
Fields of one family alone are not checked here: `why_not_built` puts mlx-lm's message into a line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from ..engine import is_out_of_memory
from ..failures import LoadFailed
from .files import Unreadable, is_token_ids, read_json, weight_files

# Whole numbers from 1, or lists of them, one a layer. None stands for "derived from the others".
POSITIVE_FIELDS: Final = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "intermediate_size",
    "max_position_embeddings",
    "sliding_window",
    "n_embd",
    "n_layer",
    "n_head",
    "n_positions",
    "num_experts_per_tok",
)
POSITIVE_NUMBERS: Final = ("rope_theta", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
CONFIG: Final = "config.json"
QUANTIZATION_FIELDS: Final = ("group_size", "bits")
# mlx-lm imports a module of its own by this name: nothing that could lead elsewhere.
MODULE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Embedding models: they are none of mlx-lm's.
ENCODER_TYPES: Final = ("bert",)
VALUE_CHARACTERS_MAX: Final = 40
MESSAGE_CHARACTERS_MAX: Final = 300


def check_config(folder: Path) -> dict[str, Any]:
    """Raises `LoadFailed`."""
    path = folder / "config.json"
    if not path.is_file():
        raise LoadFailed("model_not_found", f"{folder} has no config.json")
    try:
        body = read_json(path)
    except Unreadable as error:
        raise LoadFailed("model_unsupported", f"{path} is no JSON file: {error}") from error
    config = body.value
    if not isinstance(config, dict):
        raise LoadFailed("model_unsupported", f"{path} is no model configuration: no JSON object")
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise _wrong(path, "model_type", "must be the name of a model type", model_type)
    if "model_file" in config:
        raise LoadFailed("model_unsupported", f"{path}: model_file wants code of its own to be run")
    if not MODULE_NAME.fullmatch(model_type):
        raise _wrong(path, "model_type", "is no name of a model type", model_type)
    _check_fields(path, config, "")
    return config


def is_encoder(config: dict[str, Any]) -> bool:
    """Whether it makes vectors of texts, and no text."""
    return config.get("model_type") in ENCODER_TYPES


def _check_fields(path: Path, config: dict[str, Any], prefix: str) -> None:
    for name in POSITIVE_FIELDS:
        value = config.get(name)
        if value is not None and not _is_positive(value):
            raise _wrong(path, prefix + name, "must be a whole number from 1", value)
    for name in POSITIVE_NUMBERS:
        value = config.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if value is not None and not number and not isinstance(value, dict):
            raise _wrong(path, prefix + name, "must be a number above 0", value)
    ids = config.get("eos_token_id")
    if ids is not None and not is_token_ids(ids):
        raise _wrong(path, f"{prefix}eos_token_id", "must be a token id or a list of them", ids)
    text = config.get("text_config")
    if text is not None:
        if not isinstance(text, dict):
            raise _wrong(path, "text_config", "must be an object", text)
        if not prefix:
            _check_fields(path, text, "text_config.")
    quantization = config.get("quantization")
    if quantization is not None:
        _check_quantization(path, quantization)


def _check_quantization(path: Path, quantization: Any) -> None:
    if not isinstance(quantization, dict):
        raise _wrong(path, "quantization", "must be an object", quantization)
    for name in QUANTIZATION_FIELDS:
        if not _is_positive(quantization.get(name)):
            value = quantization.get(name)
            raise _wrong(path, f"quantization.{name}", "must be a whole number from 1", value)


def _is_positive(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(type(one) is int and one > 0 for one in values)


def _wrong(path: Path, name: str, must: str, value: Any) -> LoadFailed:
    shown = "it is missing" if value is None else f"not {str(value)[:VALUE_CHARACTERS_MAX]}"
    return LoadFailed("model_unsupported", f"{path}: {name} {must}, {shown}")


# --- what mlx-lm says ---

UNKNOWN_TYPE: Final = re.compile(r"Model type (\S+) not supported")
MISSING_FIELDS: Final = re.compile(r"missing \d+ required positional arguments?: (.*)", re.S)
WRONG_SHAPE: Final = re.compile(
    r"Expected shape (\(.*?\)) but received shape (\(.*?\)) for parameter (\S+)", re.S
)
MISSING_WEIGHTS: Final = re.compile(r"Missing (\d+) parameters?: *\n?(.*)", re.S)
EXTRA_WEIGHTS: Final = re.compile(r"Received (\d+) parameters? not in model: *\n?(.*)", re.S)


def why_not_built(folder: Path, model_type: str, error: BaseException) -> LoadFailed:
    """What mlx-lm raised when it made the model of `config.json` and gave it its weights."""
    text, path = str(error), _config_of(folder)
    if UNKNOWN_TYPE.search(text) or "has no attribute 'Model" in text:
        return _unsupported(f"{path}: model_type {model_type} is none that mlx-lm can load")
    if match := MISSING_FIELDS.search(text):
        names = ", ".join(re.findall(r"'([^']+)'", match[1]))
        return _unsupported(f"{path}: a {model_type} needs {names} too")
    if match := WRONG_SHAPE.search(text):
        expected, received, name = match[1], match[2], match[3].rstrip(".")
        return _unfit(f"{name} has shape {received} in {_weights(folder)}, {expected} by {path}")
    if match := MISSING_WEIGHTS.search(text):
        return _unfit(f"{_weights(folder)}: {match[1]} tensors are missing, as {_first(match[2])}")
    if match := EXTRA_WEIGHTS.search(text):
        return _unfit(f"{_weights(folder)}: {match[1]} tensors too many, as {_first(match[2])}")
    if isinstance(error, KeyError):
        return _unsupported(f"{path}: a {model_type} can't be made of it without {text}")
    return _unsupported(
        f"{path}: mlx-lm can't make a {model_type} of it ({_said(error)}){_nulls(path)}"
    )


def why_not_run(folder: Path, error: Exception) -> LoadFailed:
    """What the first forward pass raised."""
    if is_out_of_memory(error):
        return LoadFailed("out_of_memory", f"{folder}: there is no memory left to compute with it")
    path = _config_of(folder)
    return _unsupported(f"{path}: a model of it can't compute ({_said(error)}){_nulls(path)}")


def _said(error: BaseException) -> str:
    """In one line: some of MLX's have a manual in them."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:MESSAGE_CHARACTERS_MAX]}".rstrip(": ")


def _nulls(path: Path) -> str:
    """Fields that few families can do without."""
    if path.name != CONFIG:
        return ""
    config = read_json(path).value
    names = [name for name in POSITIVE_FIELDS if name in config and config[name] is None]
    return f"; null there: {', '.join(names)}" if names else ""


def _weights(folder: Path) -> str:
    files = weight_files(folder)
    return str(files[0]) if len(files) == 1 else f"{folder}/model*.safetensors"


def _config_of(model: Path) -> Path:
    """A file that is a model has its own in it."""
    return model if model.is_file() else model / CONFIG


def _first(names: str) -> str:
    return re.split(r"[,\s]", names.strip(), maxsplit=1)[0][:MESSAGE_CHARACTERS_MAX].rstrip(".")


def _unsupported(message: str) -> LoadFailed:
    return LoadFailed("model_unsupported", message)


def _unfit(message: str) -> LoadFailed:
    return LoadFailed("weights_corrupt", message)
