"""The small files that stand for a GGUF file where mlx-lm and transformers read a folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...failures import LoadFailed
from .file import GgufFile
from .model import architecture_of, generation_config, model_config
from .tokenizer import (
    NoTokenizer,
    end_tokens,
    tokenizer_config,
    tokenizer_file,
    vocabulary_of,
)


@contextmanager
def folder_of(file: GgufFile) -> Iterator[Path]:
    """A folder without weights, until the end. Raises `LoadFailed`."""
    files = files_of(file)
    with tempfile.TemporaryDirectory(prefix="mlx-serving-gguf-") as made:
        folder = Path(made)
        for name, body in files.items():
            (folder / name).write_text(json.dumps(body), "utf-8")
        yield folder


def files_of(file: GgufFile) -> dict[str, Any]:
    """What is in them, by their names. Raises `LoadFailed`."""
    architecture_of(file)
    try:
        vocabulary = vocabulary_of(file.metadata)
    except NoTokenizer as reason:
        message = f"{file.path}: no tokenizer can be made of it: {reason}"
        raise LoadFailed("tokenizer_missing", message) from reason
    ends = end_tokens(vocabulary)
    return {
        "config.json": model_config(file, ends),
        "generation_config.json": generation_config(file, ends),
        "tokenizer.json": tokenizer_file(vocabulary),
        "tokenizer_config.json": tokenizer_config(vocabulary),
    }
