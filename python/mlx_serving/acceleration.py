"""The native parts as this worker uses them: which are on, and why the others are off.

A part that can't be used leaves its fallback or MLX's own in its place; `--native on` makes that an
error instead.
"""

from __future__ import annotations

import sys
from typing import Final

from . import native
from .failures import LoadFailed
from .messages import NativePart, NativePartStatus
from .native.choice import ON_GPU, PARTS, WITHOUT_BLOCKS, is_required, is_wanted, why_unwanted

MODULE_PARTS: Final[tuple[NativePart, ...]] = ("pool", "metrics")
CPU_PARTS: Final[tuple[NativePart, ...]] = ("products", "blocks", "attention", "sampling")

Parts = dict[NativePart, NativePartStatus]


def module_parts() -> Parts:
    """What every worker has of krserve_native, whatever its engine."""
    reason = native.status()["reason"]
    return {part: _status(part, reason) for part in MODULE_PARTS}


def mlx_parts(on_gpu: bool) -> Parts:
    """What speeds up MLX. To be called after MLX is loaded; `on_gpu`: where it computes."""
    if on_gpu:
        parts: Parts = {part: _status(part, ON_GPU, False) for part in ("blas", *CPU_PARTS)}
        return {**parts, "kernels": _kernels_status()}
    from . import fast
    from .fast import blas

    reason = fast.status()["reason"]
    parts = {part: _status(part, reason) for part in CPU_PARTS}
    if not is_wanted("blocks"):
        parts["attention"] = _status("attention", WITHOUT_BLOCKS, False)
    parts["blas"] = _status("blas", blas.status()["reason"], sys.platform == "linux")
    parts["kernels"] = _status("kernels", "MLX computes on the CPU here", False)
    return parts


def _kernels_status() -> NativePartStatus:
    from .kernels.device import backend

    if backend() == "metal":
        return _status("kernels", "nothing has been measured on Metal", False)
    return _status("kernels", None)


def _status(part: NativePart, reason: str | None, applicable: bool = True) -> NativePartStatus:
    unwanted = why_unwanted(part)
    missing = applicable and unwanted is None and reason is not None
    reason = unwanted or reason
    on = reason is None
    return {"on": on, "reason": reason, "applicable": applicable, "missing": missing}


def require(parts: Parts) -> None:
    """Raises `LoadFailed` if a part is asked for by `on`, and would be of use, and can't be had."""
    if not is_required():
        return
    for name, part in parts.items():
        if part["applicable"] and not part["on"] and _is_meant(name):
            raise LoadFailed(
                "native_missing", f"native part {name} is required but off: {part['reason']}"
            )


def _is_meant(part: NativePart) -> bool:
    """Named, or wanted like all; a variable that means nothing is an error of every part."""
    return is_wanted(part) or why_unwanted(*PARTS) is not None


def describe(parts: Parts) -> str:
    """One line for the log."""
    on = [name for name, part in parts.items() if part["on"]]
    off: dict[str, list[str]] = {}
    for name, part in parts.items():
        if not part["on"] and part["applicable"]:
            off.setdefault(str(part["reason"]), []).append(name)
    texts = [f"on: {', '.join(on)}"] if on else []
    texts += [f"off: {', '.join(names)} ({reason})" for reason, names in off.items()]
    return f"native {'; '.join(texts)}"
