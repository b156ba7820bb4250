"""What earlier loads measured of a model, kept in the user's cache: measuring takes some twenty
forward passes, and a worker that replaces a dead one has no time for them.

The verdict is one about code and shapes, so it is kept by what these depend on: the model's
configuration and types of numbers, the versions of the libraries, the device, the native parts, and
the worker's own code. Weights don't matter to it. Without a file, or
with one that is not whole, the model is measured.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Final

from ..engine import Abilities, is_out_of_memory

LIBRARIES: Final = ("mlx", "mlx-lm", "transformers")
# Any of the worker's code may change what is measured.
CODE: Final = Path(__file__).parents[1]


def cache_folder() -> Path:
    """The user's, as the set-up has it."""
    named = os.environ.get("MLX_SERVING_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "mlx-serving"
    home = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(home).expanduser() / "mlx-serving"


def key_of(config: bytes, *facts: Iterable[str]) -> str:
    """`facts`: what else the verdict depends on, in lists whose order doesn't matter."""
    parts: list[object] = [
        sha256(config).hexdigest(),
        *(sorted(fact) for fact in facts),
        [importlib.metadata.version(name) for name in LIBRARIES],
        [sha256(file.read_bytes()).hexdigest() for file in sorted(CODE.rglob("*.py"))],
        [sys.platform, platform.machine()],
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


def known_or_measured(key: str, measure: Callable[[], Abilities]) -> Abilities:
    file = cache_folder() / "abilities" / f"{key}.json"
    known = _read(file)
    if known is not None:
        return known
    measured = measure()
    if not _is_chance(measured):
        # A cache that can't be written costs a measurement, no load.
        with suppress(OSError):
            _write(file, measured)
    return measured


def _is_chance(abilities: Abilities) -> bool:
    """There was no memory for it this time."""
    reasons = (abilities.batch_reason, abilities.prefix_reason, abilities.shared_reason)
    return any(reason and is_out_of_memory(RuntimeError(reason)) for reason in reasons)


def _read(file: Path) -> Abilities | None:
    try:
        fields = json.loads(file.read_text())
        known = Abilities(**fields)
    except (OSError, ValueError, TypeError):
        return None
    if len(fields) < len(asdict(known)):
        # What it doesn't say was not measured.
        return None
    flags = (known.batch, known.pieces, known.shared_prefill)
    is_whole = all(type(flag) is bool for flag in flags) and known.prefix in (
        "part",
        "whole",
        "none",
    )
    return known if is_whole else None


def _write(file: Path, abilities: Abilities) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(abilities)))
    draft.replace(file)
