"""Which kernels MLX can compile here, and their sources."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

import mlx.core as mx

Backend = Literal["cuda", "metal"]
SOURCES: Final = Path(__file__).resolve().parent / "sources"


def backend() -> Backend | None:
    """None where the default device is the CPU, whose mathematics is `mlx_serving.fast`'s."""
    if mx.default_device().type != mx.DeviceType.gpu:
        return None
    if mx.cuda.is_available():
        return "cuda"
    return "metal" if mx.metal.is_available() else None


@cache
def source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def include(name: str) -> str:
    """A CUDA header for `mx.fast.cuda_kernel`, by its path: MLX hashes a kernel's whole text each
    time that it is launched."""
    return f'#include "{SOURCES / name}"\n'
