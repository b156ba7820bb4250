"""Kernels of our own for MLX on a GPU, compiled by MLX when they are first used.

`accelerate` gives a loaded model those that a measurement justified (`VERDICTS`); the norms of
`norms.py` are there to be called. Nothing of MLX is changed, and whatever doesn't fit stays MLX's
own.
"""

from __future__ import annotations

from typing import Any

from .device import backend
from .report import Report
from .verdicts import VERDICTS, Verdict

__all__ = ["VERDICTS", "Report", "Verdict", "accelerate"]


def accelerate(model: Any) -> Report:
    """Makes a model of mlx-lm, loaded, use the kernels, in place. Its parameters stay."""
    name = backend()
    if name is None:
        return Report(on=False, reason="MLX computes on the CPU")
    if name == "metal":
        return Report(on=False, reason="nothing has been measured on Metal", backend=name)
    from .swap import swap

    report = swap(model)
    report.backend = name
    return report
