"""What modules transformers has, kept in the user's cache: it finds out at each import, by reading
all of its 1,600 files twice, which takes half of the time that MLX's libraries need to be imported.

Knows one function of transformers, `define_import_structure`, whose answers about the folder of all
models are kept, by the version of the library and the folder. Without a file, or with one that is
not whole, or where that function is no more, transformers reads its files.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from .known_abilities import cache_folder

LIBRARY: Final = "transformers"
MODULE: Final = "transformers.utils.import_utils"
FUNCTION: Final = "define_import_structure"

Structure = dict[frozenset[str], dict[str, set[str]]]
"""Which objects a module has, by what these need beside the library."""
Define = Callable[..., Structure]


def keep_import_structure() -> None:
    """To be called before transformers is imported."""
    if LIBRARY not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Has the function replaced as soon as its module has run; the library's next line calls it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None and spec.origin is not None:
            models = Path(spec.origin).parents[1] / "models"
            run: Callable[[ModuleType], None] = spec.loader.exec_module

            def run_and_replace(module: ModuleType) -> None:
                run(module)
                _replace(module, models)

            # It stays its own loader: others ask it for sources.
            spec.loader.exec_module = run_and_replace  # type: ignore[method-assign]
        return spec


def _replace(module: ModuleType, models: Path) -> None:
    define: Define | None = getattr(module, FUNCTION, None)
    if define is not None:
        setattr(module, FUNCTION, kept(define, models))


def kept(define: Define, models: Path) -> Define:
    """The same function, which remembers what it says of the folder of all models."""
    found: Structure | None = None

    def define_import_structure(module_path: Any, prefix: str | None = None) -> Structure:
        nonlocal found
        path = Path(module_path)
        if models not in (path, path.parent) or path.name not in (models.name, "__init__.py"):
            return define(module_path, prefix)
        if found is None:
            found = _known_or_read(lambda: define(module_path), models)
        if prefix is None:
            return found
        return {
            needs: {f"{prefix}.{name}": objects for name, objects in modules.items()}
            for needs, modules in found.items()
        }

    return define_import_structure


def _known_or_read(read: Callable[[], Structure], models: Path) -> Structure:
    try:
        file = _file(models)
    except (OSError, importlib.metadata.PackageNotFoundError):
        return read()
    known = _read(file)
    if known is not None:
        return known
    structure = read()
    # A cache that can't be written costs some time at the next import.
    with suppress(OSError):
        _write(file, structure)
    return structure


def _file(models: Path) -> Path:
    version = importlib.metadata.version(LIBRARY)
    facts = [version, str(models), models.stat().st_mtime_ns]
    key = sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return cache_folder() / "imports" / f"{LIBRARY}-{key}.json"


def _read(file: Path) -> Structure | None:
    try:
        groups = json.loads(file.read_text())
        structure = {
            frozenset(needs): {name: set(objects) for name, objects in modules.items()}
            for needs, modules in groups
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return structure or None


def _write(file: Path, structure: Structure) -> None:
    groups = [
        [sorted(needs), {name: sorted(objects) for name, objects in modules.items()}]
        for needs, modules in structure.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(groups))
    draft.replace(file)
