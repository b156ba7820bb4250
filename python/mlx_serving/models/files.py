"""The small files of a model's folder: read with tolerance where they only hold defaults.

A file that the model can do without never stops it from being served: its valid entries are used,
the others are left out with a warning. mlx-lm and transformers read the folder by themselves and
know no tolerance, so they get a stand-in of links, in which such files are mended or missing.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..log import log

JSON_BYTES_MAX: Final = 64 * 1024 * 1024
TEXT_BYTES_MAX: Final = 4 * 1024 * 1024
# Objects of defaults: their readers do without.
OPTIONAL_JSON: Final = (
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
)
OPTIONAL_TEXTS: Final = ("chat_template.jinja",)
# Not only defaults, but mended where that is possible.
MENDED_JSON: Final = ("config.json", "tokenizer_config.json")
BYTE_ORDER_MARK: Final = "\ufeff"
STRING_OR_LAST_COMMA: Final = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


class Unreadable(Exception):
    """A file of which nothing can be taken. The text says why, without its name."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a JSON file holds; `mended`: what was overlooked to read it."""

    value: Any
    mended: list[str] = field(default_factory=list)


def read_json(path: Path) -> Body:
    """With a byte order mark and commas before closing brackets overlooked. Raises `Unreadable`."""
    text, mended = _read_text(path, JSON_BYTES_MAX)
    try:
        try:
            return Body(json.loads(text), mended)
        except ValueError:
            shorter = STRING_OR_LAST_COMMA.sub(lambda match: match[1] or "", text)
            return Body(json.loads(shorter), [*mended, "commas before closing brackets"])
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable("it is empty" if not text.strip() else f"it is no JSON{line}") from error


def read_object(path: Path) -> Body:
    """Raises `Unreadable`."""
    body = read_json(path)
    if not isinstance(body.value, dict):
        raise Unreadable("it is no JSON object")
    return body


def _read_text(path: Path, bytes_max: int) -> tuple[str, list[str]]:
    try:
        if path.stat().st_size > bytes_max:
            raise Unreadable(f"it is larger than {bytes_max} bytes")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8") from error
    except OSError as error:
        raise Unreadable(f"it can't be read ({error.strerror})") from error
    if text.startswith(BYTE_ORDER_MARK):
        return text.removeprefix(BYTE_ORDER_MARK), ["a byte order mark"]
    return text, []


def weight_files(model: Path) -> list[Path]:
    """Of a folder, or of the one file that is a model."""
    return [model] if model.is_file() else sorted(model.glob("model*.safetensors"))


def warn(path: Path, what: str) -> None:
    log(f"{path}: {what}")


# --- the stand-in ---


@contextmanager
def usable(folder: Path) -> Iterator[Path]:
    """The folder, or a stand-in for it without what would stop its readers."""
    changes = _changes(folder)
    if not changes:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mlx-serving-model-") as made:
        stand_in = Path(made)
        for path in folder.iterdir():
            if path.name not in changes:
                (stand_in / path.name).symlink_to(path.resolve())
        for name, text in changes.items():
            if text is not None:
                (stand_in / name).write_text(text, "utf-8")
        yield stand_in


def _changes(folder: Path) -> dict[str, str | None]:
    """By name: what the file is to hold, None where it is to be missing. Warns of each."""
    changes: dict[str, str | None] = {}
    for name in (*OPTIONAL_JSON, *MENDED_JSON, *OPTIONAL_TEXTS):
        path = folder / name
        if not path.exists():
            continue
        try:
            text: str | None
            text, notes = _mended_text(path) if name in OPTIONAL_TEXTS else _mended_json(path)
        except Unreadable as error:
            text, notes = None, [f"{error}; it is left out"]
        for note in notes:
            warn(path, note)
        if notes:
            changes[name] = text
    return changes


def _mended_text(path: Path) -> tuple[str, list[str]]:
    """What the file should hold, and how that differs from what it does."""
    text, mended = _read_text(path, TEXT_BYTES_MAX)
    if not text.strip():
        raise Unreadable("it is empty")
    return text, [f"{what} overlooked" for what in mended]


def _mended_json(path: Path) -> tuple[str, list[str]]:
    body = read_object(path)
    notes = [f"{what} overlooked" for what in body.mended]
    if path.name == "generation_config.json":
        ids = body.value.get("eos_token_id")
        if ids is not None and not is_token_ids(ids):
            del body.value["eos_token_id"]
            notes.append("eos_token_id is no token id; it is left out")
    return json.dumps(body.value), notes


def is_token_ids(value: Any) -> bool:
    """One id or a list of them."""
    ids = value if isinstance(value, list) else [value]
    return bool(ids) and all(type(id) is int and id >= 0 for id in ids)
