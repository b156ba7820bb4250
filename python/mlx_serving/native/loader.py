"""Finds and loads krserve_native, or says in one line why it can't be used. Never raises.

`damage`, `changed` and `why_not_built` serve the loaders of `..fast` too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Final

from .choice import Mode, why_off

NAME: Final = "krserve_native"
VERSION: Final = "1.0.0"
# The command that started this process knows its own name.
BUILD: Final = os.environ.get("KRSERVE_BUILD_COMMAND") or "npx mlx-serving build-native"

API: Final = (
    "CommandBuffer",
    "CommandBufferPool",
    "CommandBufferPoolStats",
    "Metrics",
    "MetricsCollector",
    "PoolError",
    "PoolExhausted",
)


def load(mode: Mode | None) -> tuple[ModuleType, None] | tuple[None, str]:
    """The module, or the reason why there is none."""
    try:
        reason = why_off(mode) or _why_not_loadable()
        return (None, reason) if reason else _import()
    # Whatever a broken file does while it is read or imported, we go on without it.
    except Exception as error:
        return None, f"{NAME} can't be loaded: {one_line(error)}"


def _import() -> tuple[ModuleType, None] | tuple[None, str]:
    module = importlib.import_module(NAME)
    version = getattr(module, "__version__", None)
    if version != VERSION:
        return None, f"{NAME} is version {version}, {VERSION} is needed ({BUILD})"
    missing = [name for name in API if not hasattr(module, name)]
    if missing:
        return None, f"{NAME} lacks {', '.join(missing)} ({BUILD})"
    return module, None


def _why_not_loadable() -> str | None:
    spec = importlib.util.find_spec(NAME)
    if spec is None or spec.origin is None:
        other = _file_of_another_python()
        if other is not None:
            return f"{NAME} was built for another Python ({other.name}; {BUILD})"
        return why_not_built(NAME)
    library = Path(spec.origin)
    if not library.name.endswith(tuple(EXTENSION_SUFFIXES)):
        return None
    return damage(library, library.with_name(f"{NAME}.sha256"))


def why_not_built(name: str) -> str:
    # setup/native/record.mjs leaves there what an attempt ended with: beside the modules,
    # where they are kept apart from the environment, else in the environment.
    for folder in (*sys.path, sys.prefix):
        try:
            failure = Path(folder, f"{name}.failed").read_text(errors="replace").strip()
        except OSError:
            continue
        return f"{name} could not be built: {failure.splitlines()[0] if failure else BUILD}"
    return f"{name} is not built ({BUILD})"


def damage(library: Path, manifest: Path) -> str | None:
    """Why a shared library must not be loaded: the dynamic linker maps a file that was cut short
    all the same, and the process would die of SIGBUS."""
    try:
        wanted = manifest.read_text().split()
    except FileNotFoundError:
        lack = f"{library.name} has no {manifest.name} beside it"
        return f"{lack}: its installation is incomplete ({BUILD})"
    checksum = wanted[0] if len(wanted) == 2 and wanted[1] == library.name else ""
    return changed(library, checksum)


def changed(library: Path, checksum: str) -> str | None:
    if sha256(library.read_bytes()).hexdigest() == checksum:
        return None
    return f"{library.name} is damaged: its checksum differs ({BUILD})"


def _file_of_another_python() -> Path | None:
    for folder in sys.path:
        for path in Path(folder or ".").glob(f"{NAME}.*"):
            if path.suffix in (".so", ".pyd"):
                return path
    return None


def one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
