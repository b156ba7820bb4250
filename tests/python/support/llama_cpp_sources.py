"""Files that llama.cpp keeps with its sources: vocabularies and chat templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pinned_package import NotFetched, fetched

__all__ = ["NotFetched", "folder"]

PIN: Final = Path(__file__).with_name("vocabularies.txt")
MODELS: Final = r"[^/]+/vendor/llama\.cpp/models/"
KINDS: Final[Mapping[str, re.Pattern[str]]] = {
    "vocabularies": re.compile(MODELS + r"ggml-vocab-([\w-]+\.gguf(?:\.inp|\.out)?)"),
    "templates": re.compile(MODELS + r"templates/([\w.-]+\.jinja)"),
}


def folder(kind: str) -> Path:
    """Fetched if it is not there. Raises `NotFetched`."""
    return fetched(PIN, KINDS, kind)
