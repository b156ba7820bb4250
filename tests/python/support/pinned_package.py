"""Source packages of others that tests read: fetched once into the user's cache by the hash that a
pin has. No code of them is run, and nothing of them is copied into the repository.
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

FETCH_SECONDS_MAX: Final = 300
# Which members of a package are wanted, by the name of the folder in the cache that they come to;
# the first group is the name that they get there.
Kinds = Mapping[str, re.Pattern[str]]


class NotFetched(Exception):
    """A package is not in the cache and can't be brought there; the message says why."""


def fetched(pin: Path, kinds: Kinds, kind: str) -> Path:
    """The folder of this kind, fetched with all others if it is not there: packages are large.
    Raises `NotFetched`."""
    cache = Path(os.environ.get("MLX_SERVING_CACHE") or "~/.cache/mlx-serving").expanduser()
    digest = pin.read_text().split("sha256:")[1][:16]
    folders = {name: cache / name / digest for name in kinds}
    out = folders[kind]
    if out.is_dir():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.is_dir():
            _fetch(cache, folders, pin, kinds)
    return out


def _fetch(cache: Path, folders: Mapping[str, Path], pin: Path, kinds: Kinds) -> None:
    with tempfile.TemporaryDirectory(prefix=".package-", dir=cache) as draft:
        archive = _download(Path(draft), pin)
        for kind in kinds:
            (Path(draft) / kind).mkdir()
        with tarfile.open(archive) as package:
            for member in package:
                for kind, pattern in kinds.items():
                    found = pattern.fullmatch(member.name)
                    data = package.extractfile(member) if found and member.isfile() else None
                    if found and data is not None:
                        with (Path(draft) / kind / found[1]).open("wb") as file:
                            shutil.copyfileobj(data, file)
        for kind, out in folders.items():
            out.parent.mkdir(parents=True, exist_ok=True)
            if not out.is_dir():
                (Path(draft) / kind).rename(out)


def _download(draft: Path, pin: Path) -> Path:
    """pip asks a source package for its dependencies and builds nothing; it checks the hash."""
    package = re.findall(r"^([\w-]+)==", pin.read_text(), re.MULTILINE)[0]
    command = [
        *(_pip(), "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"),
        *("--no-binary", package, "--require-hashes", "--requirement", str(pin)),
        *("--retries", "1", "--dest", str(draft)),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetched(f"{package} cannot be fetched: {type(error).__name__}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotFetched(f"{package} cannot be fetched: {last[:200]}")
    return next(draft.glob("*.tar.gz"))


def _pip() -> str:
    """The Python that the tests' environment was made of: that one has pip."""
    return str(getattr(sys, "_base_executable", sys.executable))
