"""Puts an optimized BLAS under MLX on Linux, by a shim that is loaded before MLX.

`native/blas` says how it works and how it is built. Never raises: without it MLX uses its own.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Final, TypedDict

from ..native.choice import why_unwanted
from ..native.loader import BUILD, changed, why_not_built

FOLDER: Final = "krserve_blas"
SHIM: Final = "libkrserve_blas.so"
MANIFEST: Final = "manifest.sha256"
# Values of CBLAS_ORDER and CBLAS_TRANSPOSE.
ROW_MAJOR: Final = 101
NO_TRANSPOSE: Final = 111


class Status(TypedDict):
    on: bool
    name: str
    """What MLX's products of matrices come from."""
    reason: str | None
    """Why it is not the optimized one, one line; None when it is."""


def load() -> Status:
    """Loads the shim. To be called before anything imports `mlx.core`; later is too late."""
    return _load()


def status() -> Status:
    """The same, for a report; loads nothing that was not to be loaded."""
    return _load()


@cache
def _load() -> Status:
    if sys.platform == "darwin":
        return _off("Accelerate", "macOS has its own")
    reason = _why_not()
    if reason:
        return _off("reference BLAS", reason)
    try:
        _check(ctypes.CDLL(str(_folder() / SHIM), mode=ctypes.RTLD_GLOBAL | os.RTLD_NOW))
    # Whatever the dynamic linker objects to, MLX's own BLAS is there.
    except (OSError, AttributeError, ArithmeticError) as error:
        return _off("reference BLAS", f"{SHIM} can't be used: {str(error).splitlines()[0]}")
    return {"on": True, "name": "OpenBLAS", "reason": None}


def _off(name: str, reason: str) -> Status:
    return {"on": False, "name": name, "reason": reason}


@cache
def _folder() -> Path:
    """Where the shim is, on Python's path as modules are."""
    installed = sysconfig.get_path("platlib")
    folders = [Path(folder, FOLDER) for folder in (*sys.path, installed)]
    return next((folder for folder in folders if (folder / SHIM).exists()), folders[-1])


def _why_not() -> str | None:
    unwanted = why_unwanted("blas")
    if unwanted:
        return unwanted
    if sys.platform != "linux":
        return f"there is none for {sys.platform}"
    if "mlx.core" in sys.modules:
        return "MLX was loaded first"
    if not (_folder() / SHIM).exists():
        return why_not_built(FOLDER)
    return _damage()


def _damage() -> str | None:
    # The dynamic linker maps a file that was cut short all the same, and we would die of SIGBUS.
    try:
        lines = (_folder() / MANIFEST).read_text().splitlines()
        for checksum, name in (line.split() for line in lines):
            damage = changed(_folder() / name, checksum)
            if damage:
                return damage
    except (OSError, ValueError) as error:
        return f"the installation of {SHIM} is incomplete: {error} ({BUILD})"
    return None


def _check(library: ctypes.CDLL) -> None:
    """A product of 2 x 2 matrices through the name that MLX calls."""
    matrix, out = (ctypes.c_float * 4)(1, 2, 3, 4), (ctypes.c_float * 4)()
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    head = [ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, 2, 2, 2]
    library.cblas_sgemm(*head, one, matrix, 2, matrix, 2, zero, out, 2)
    if list(out) != [7, 10, 15, 22]:
        raise ArithmeticError(f"a product gives {list(out)}")
