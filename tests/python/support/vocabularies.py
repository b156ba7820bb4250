"""Real vocabularies for tests: those that llama.cpp keeps with its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import llama_cpp_sources

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
        return llama_cpp_sources.folder("vocabularies")
    except llama_cpp_sources.NotFetched as why:
        pytest.skip(str(why))


def examples(gguf: Path) -> list[tuple[str, list[int]]]:
    """Texts and their tokens; none where llama.cpp has none."""
    texts, tokens = gguf.with_suffix(".gguf.inp"), gguf.with_suffix(".gguf.out")
    if not texts.is_file():
        return []
    parts = texts.read_bytes().decode().split(BETWEEN_TEXTS)
    lines = tokens.read_text().split("\n")
    return [(text, list(map(int, line.split()))) for text, line in zip(parts, lines, strict=False)]
