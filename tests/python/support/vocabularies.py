"""Real vocabularies for tests: those that llama.cpp keeps with its sources, fetched once into the
user's cache, by the hash that `vocabularies.txt` pins.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from pinned_package import Unfetchable, fetched

PIN: Final = Path(__file__).with_name("vocabularies.txt")
MEMBER: Final = re.compile(
    r"[^/]+/vendor/llama\.cpp/models/ggml-vocab-([\w-]+\.gguf(\.inp|\.out)?)"
)
BETWEEN_TEXTS: Final = "\n__ggml_vocab_test__\n"

# The pinned package has these, and a test says that it has no other.
NAMES: Final = (
    "aquila",
    "baichuan",
    "bert-bge",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "gpt-2",
    "gpt-neox",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "nomic-bert-moe",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
)


def folder() -> Path:
    """Fetched if it is not there; skips the test where that cannot be done."""
    try:
        return fetched(PIN, "vocabularies", MEMBER)
    except Unfetchable as reason:
        pytest.skip(str(reason))


def examples(gguf: Path) -> list[tuple[str, list[int]]]:
    """Texts and their tokens; none where llama.cpp has none."""
    texts, tokens = gguf.with_suffix(".gguf.inp"), gguf.with_suffix(".gguf.out")
    if not texts.is_file():
        return []
    parts = texts.read_bytes().decode().split(BETWEEN_TEXTS)
    lines = tokens.read_text().split("\n")
    return [(text, list(map(int, line.split()))) for text, line in zip(parts, lines, strict=False)]
