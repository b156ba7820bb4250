"""Fast CPU mathematics for MLX: an optimized BLAS under it (`blas`), and krserve_mlx_ops, kernels
that a model gets by `accelerate` once it is loaded.

Whatever is missing or doesn't fit leaves MLX's own in place. Importing this imports no MLX.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, TypedDict

from ..native.choice import is_wanted, why_unwanted
from .report import Report

__all__ = ["Report", "Status", "accelerate", "off", "status"]


class Status(TypedDict):
    on: bool
    version: str | None
    """Of krserve_mlx_ops; None when it is off."""
    isa: str | None
    """The instruction set in use: avx512, avx2, neon or scalar; None when it is off."""
    threads: int | None
    reason: str | None
    """Why it is off, one line; None when it is on."""


@cache
def _load() -> tuple[ModuleType, None] | tuple[None, str]:
    from .loader import load

    return load()


def off(reason: str | None) -> Status:
    return {"on": False, "version": None, "isa": None, "threads": None, "reason": reason}


def status() -> Status:
    """Whether krserve_mlx_ops is in use. The first call loads it, and MLX."""
    module, reason = _load()
    if module is None:
        return off(reason)
    return {
        "on": True,
        "version": module.__version__,
        "isa": module.isa(),
        "threads": module.threads(),
        "reason": None,
    }


def accelerate(model: Any) -> Report:
    """Makes a model of mlx-lm, loaded and evaluated, use the kernels, in place. Its quantized
    weights are packed anew, and the original ones freed."""
    module, reason = _load()
    if module is None:
        return Report(on=False, reason=reason)
    products, blocks = is_wanted("products"), is_wanted("blocks")
    module.use_tiles(is_wanted("attention"))
    if not (products or blocks):
        return Report(on=False, reason=why_unwanted("products", "blocks"))
    from .swap import swap

    report = swap(model, products=products, blocks=blocks)
    report.isa = module.isa()
    return report
