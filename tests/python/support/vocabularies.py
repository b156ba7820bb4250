"""Real vocabularies for tests: those that llama.cpp keeps with its sources, fetched once into the
user's cache, by the hash that `vocabularies.txt` pins.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import pytest

PIN: Final = Path(__file__).with_name("vocabularies.txt")
PACKAGE: Final = "llama-cpp-python"
MEMBER: Final = re.compile(
    r"[^/]+/vendor/llama\.cpp/models/ggml-vocab-([\w-]+\.gguf(\.inp|\.out)?)"
)
BETWEEN_TEXTS: Final = "\n__ggml_vocab_test__\n"
FETCH_SECONDS_MAX: Final = 300

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
    digest = PIN.read_text().split("sha256:")[1][:16]
    cache = Path(os.environ.get("MLX_SERVING_CACHE") or "~/.cache/mlx-serving").expanduser()
    out = cache / "vocabularies" / digest
    if out.is_dir():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.is_dir():
            _fetch(out)
    return out


def _fetch(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as draft:
        archive = _download(Path(draft))
        new = Path(draft) / "new"
        new.mkdir()
        with tarfile.open(archive) as package:
            for member in package:
                found = MEMBER.fullmatch(member.name)
                data = package.extractfile(member) if found and member.isfile() else None
                if found and data is not None:
                    with (new / found[1]).open("wb") as file:
                        shutil.copyfileobj(data, file)
        new.rename(out)


def _download(draft: Path) -> Path:
    """pip asks a source package for its dependencies and builds nothing; it checks the hash."""
    command = [
        *(_pip(), "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"),
        *("--no-binary", PACKAGE, "--require-hashes", "--requirement", str(PIN)),
        *("--retries", "1", "--dest", str(draft)),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{PACKAGE} cannot be fetched: {type(error).__name__}")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{PACKAGE} cannot be fetched: {last[:200]}")
    return next(draft.glob("*.tar.gz"))


def _pip() -> str:
    """The Python that the tests' environment was made of: that one has pip."""
    return str(getattr(sys, "_base_executable", sys.executable))


def examples(gguf: Path) -> list[tuple[str, list[int]]]:
    """Texts and their tokens; none where llama.cpp has none."""
    texts, tokens = gguf.with_suffix(".gguf.inp"), gguf.with_suffix(".gguf.out")
    if not texts.is_file():
        return []
    parts = texts.read_bytes().decode().split(BETWEEN_TEXTS)
    lines = tokens.read_text().split("\n")
    return [(text, list(map(int, line.split()))) for text, line in zip(parts, lines, strict=False)]
