"""Finds and loads krserve_mlx_ops, or says in one line why it can't be used. Never raises.

`..native.choice` says what turns it on and off, and KRSERVE_ISA names another instruction set than
the best one. Imports MLX.
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ..messages import NativePart
from ..native.choice import ON_GPU, why_unwanted
from ..native.loader import BUILD, damage, one_line, why_not_built

NAME: Final = "krserve_mlx_ops"
VERSION: Final = "1.4.0"
PARTS: Final[tuple[NativePart, ...]] = ("products", "blocks", "sampling")


def load() -> tuple[ModuleType, None] | tuple[None, str]:
    """The module, or the reason why there is none."""
    try:
        reason = why_unwanted(*PARTS) or _why_not_loadable()
        return (None, reason) if reason else _import()
    except Exception as error:
        # The module's own sentence about a variable that is wrong.
        if str(error).startswith("KRSERVE_ISA"):
            return None, str(error)
        # Whatever a broken file does while it is read or imported, we go on without it.
        return None, f"{NAME} can't be loaded: {one_line(error)}"


def _why_not_loadable() -> str | None:
    spec = importlib.util.find_spec(NAME)
    if spec is None or spec.origin is None:
        return why_not_built(NAME)
    library = Path(spec.origin)
    if not library.name.endswith(tuple(EXTENSION_SUFFIXES)):
        return f"{library} is not a module of this Python"
    return damage(library, library.with_name(f"{NAME}.sha256"))


def _import() -> tuple[ModuleType, None] | tuple[None, str]:
    import mlx.core as mx

    if mx.default_device().type != mx.DeviceType.cpu:
        return None, ON_GPU
    module = importlib.import_module(NAME)
    if module.__version__ != VERSION:
        return None, f"{NAME} is version {module.__version__}, {VERSION} is needed ({BUILD})"
    mlx_version = version("mlx")
    if module.mlx_version != mlx_version:
        return None, f"{NAME} was built for mlx {module.mlx_version}, not {mlx_version} ({BUILD})"
    problem = _self_test(module)
    return (None, problem) if problem else (module, None)


def _self_test(module: Any) -> str | None:
    """One call of the kind that fails when the module's nanobind is not the one of MLX's wheel, or
    when the processor does something else than was expected."""
    import mlx.core as mx

    weight = mx.sin(mx.arange(24 * 64, dtype=mx.float32)).reshape(24, 64)
    packed, scales, biases = mx.quantize(weight, group_size=32, bits=4)
    store = module.MatrixStore(module.packed_bytes(packed, scales, biases, 32, 4))
    matrix = store.pack(packed, scales, biases, 32, 4)
    x = mx.cos(mx.arange(3 * 64, dtype=mx.float32)).reshape(3, 64)
    stock = x @ mx.dequantize(packed, scales, biases, group_size=32, bits=4).T
    difference: Any = mx.abs(module.linear(x, matrix) - stock).max().item()
    if not difference < 1e-3:
        return f"{NAME} computes something else than MLX here ({module.isa()}, {difference:.3g})"
    return None
