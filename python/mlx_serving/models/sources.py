"""Where models come from: the embedded one, a local folder, or the hub.

Gives a folder that mlx-lm can load, or a `LoadFailed` with a stable code. Only safetensors are
accepted, no pickle and no code of a model's own; headers are checked before anything is mapped.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..failures import LoadFailed
from ..messages import ModelSource
from .config import MODULE_NAME, check_config
from .files import Unreadable, read_json

EMBEDDED_ID: Final = "smollm2-135m-instruct"

TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "tiktoken.model",
    "*.tiktoken",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
UNSAFE_FILES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# What is fetched from the hub: no code and no pickles.
HUB_FILES: Final = (
    "*.json",
    "model*.safetensors",
    "tokenizer.model",
    "tiktoken.model",
    "*.tiktoken",
    "*.txt",
    "*.jsonl",
    "*.jinja",
)
HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
HEADER_BYTES_MAX: Final = 100 * 1024 * 1024
DIMENSIONS_MAX: Final = 32
# mlx-lm imports a module of its own by each of these names.
MODULE_FIELDS: Final = ("chat_template_type", "tool_parser_type")
DTYPE_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

Report = Callable[[float, float, str], None]


def resolve(source: ModelSource, report: Report) -> Path:
    """The checked folder of a model, or its file. Raises `LoadFailed`."""
    if source.kind == "fake":
        raise LoadFailed("model_unsupported", "the fake model needs --engine fake")
    if source.kind == "hub":
        return _from_hub(source.id, report)
    folder = Path(source.path)
    if source.kind == "gguf":
        return folder
    check_folder(folder)
    return folder


# --- a folder ---


def check_folder(folder: Path) -> None:
    """Raises `LoadFailed` unless mlx-lm can be let loose on it."""
    if not folder.is_dir():
        raise LoadFailed("model_not_found", f"{folder} is not a folder")
    check_config(folder)
    _check_tokenizer_config(folder)
    _check_weights(folder)
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES):
        raise LoadFailed("tokenizer_missing", f"{folder} has no tokenizer (tokenizer.json)")


def _check_tokenizer_config(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    config = _read_json(path)
    if not isinstance(config, dict):
        message = f"{path} is no tokenizer configuration: no JSON object"
        raise LoadFailed("model_unsupported", message)
    for field in MODULE_FIELDS:
        name = config.get(field)
        if name is not None and not (isinstance(name, str) and MODULE_NAME.fullmatch(name)):
            raise LoadFailed("model_unsupported", f"{path}: {field} is no name of a module")


def _read_json(path: Path) -> Any:
    try:
        return read_json(path).value
    except Unreadable as error:
        raise LoadFailed("model_unsupported", f"{path} is no JSON file: {error}") from error


def _check_weights(folder: Path) -> None:
    files = sorted(folder.glob("model*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted(_shards_named(index) - {path.name for path in files})
        if missing:
            raise LoadFailed("weights_corrupt", f"{folder} lacks {missing[0]}: download it again")
    if not files:
        if any(any(folder.glob(pattern)) for pattern in UNSAFE_FILES):
            message = f"{folder} has weights as pickle only; safetensors are needed"
            raise LoadFailed("weights_unsafe", message)
        raise LoadFailed("model_not_found", f"{folder} has no model*.safetensors")
    for path in files:
        check_safetensors(path)


def _shards_named(index: Path) -> set[str]:
    body = _read_json(index)
    named = body.get("weight_map", {}) if isinstance(body, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise LoadFailed("weights_corrupt", f"{index} is no index of weights")
    return set(named.values())


def check_safetensors(path: Path) -> None:
    """The header against the file: every tensor where it says, nothing missing or left over."""
    if not path.is_file():
        raise _corrupt(path, "it is no file")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER_BYTES_MAX, size - 8):
            raise _corrupt(path, "its header is too short or too long")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise _corrupt(path, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is no JSON object")
    header.pop("__metadata__", None)
    spans = sorted(_tensor_span(path, name, tensor) for name, tensor in header.items())
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise _corrupt(path, "its tensors overlap or leave gaps")
        end = stop
    if 8 + length + end != size:
        raise _corrupt(path, f"{size} bytes, {8 + length + end} expected: download it again")


def _tensor_span(path: Path, name: str, tensor: Any) -> tuple[int, int]:
    try:
        begin, end = tensor["data_offsets"]
        shape = tensor["shape"]
        # Two negative sizes would make a positive product.
        whole = len(shape) <= DIMENSIONS_MAX and all(
            type(size) is int and size >= 0 for size in (begin, end, *shape)
        )
        bits = prod(shape) * DTYPE_BITS[tensor["dtype"]] if whole else -1
        fits = begin <= end and (end - begin) * 8 == bits
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise _corrupt(path, f"the entry of tensor {name[:80]} is wrong")
    return begin, end


def _corrupt(path: Path, reason: str) -> LoadFailed:
    return LoadFailed("weights_corrupt", f"{path} is damaged: {reason}")


# --- the hub ---


def _from_hub(id: str, report: Report) -> Path:
    if not HUB_ID.fullmatch(id) or ".." in id:
        raise LoadFailed("model_not_found", f"{id!r} is neither a folder nor a hub id")
    folder = _cached(id)
    if folder is None:
        folder = _download(id, report)
        check_folder(folder)
    return folder


def _cached(id: str) -> Path | None:
    """A whole snapshot that is here already: no network, so it works offline and at once."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(id, allow_patterns=list(HUB_FILES), local_files_only=True))
        check_folder(folder)
    except (OSError, ValueError, LoadFailed):
        return None
    return folder


def _download(id: str, report: Report) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        return Path(
            snapshot_download(id, allow_patterns=list(HUB_FILES), tqdm_class=_progress_bar(report))
        )
    except GatedRepoError as error:
        raise LoadFailed("model_not_found", gated(id)) from error
    except RepositoryNotFoundError as error:
        raise LoadFailed("model_not_found", not_on_hub(id)) from error
    except (OSError, ValueError, HfHubHTTPError) as error:
        message = f"{id} is not in the cache, and {unreachable(type(error).__name__)}"
        raise LoadFailed("model_not_found", message) from error


def gated(id: str) -> str:
    return f"{id} is gated at {hub_host()}: accept its terms there, and set HF_TOKEN"


def not_on_hub(id: str) -> str:
    return (
        f"{hub_host()} has no model {id}, or it is private: then set HF_TOKEN "
        "(HF_ENDPOINT chooses another host)"
    )


def unreachable(reason: str) -> str:
    return (
        f"{hub_host()} cannot be reached ({reason}): check the network and its proxy, "
        "or set HF_ENDPOINT to a mirror"
    )


def hub_host() -> str:
    """Whom models are asked of; without what an address may have of a login."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.hostname}{port}"


def _progress_bar(report: Report) -> type[Any]:
    """A tqdm that draws nothing and tells how many bytes have come."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Progress(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = True
            self._seen = 0.0
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
            self.total = options.get("total") or 0
            self._bytes = options.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            self._seen += n or 0
            if self._bytes:
                report(self._seen, max(self.total, self._seen), "download")

    return Progress
