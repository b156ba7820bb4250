"""The device that MLX computes on: which it is, and how much memory it has.

Imports MLX only where it is asked of it: `hello` must not wait for heavy libraries.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Final

from ..failures import LoadFailed
from . import memory

CUDA_DISTRIBUTIONS: Final = ("mlx-cuda-13", "mlx-cuda-12")


def version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def expected_backend() -> str:
    """What MLX will use here, told from what is installed."""
    if sys.platform == "darwin":
        return "metal" if platform.machine() == "arm64" else "cpu"
    cuda = any(version_of(name) for name in CUDA_DISTRIBUTIONS)
    return "cuda" if cuda and Path("/dev/nvidiactl").exists() else "cpu"


def choose_device(device: str) -> bool:
    """Whether the GPU is in use."""
    import mlx.core as mx

    if device == "cpu":
        mx.set_default_device(mx.Device(mx.cpu))
    elif device == "gpu" and mx.default_device().type != mx.DeviceType.gpu:
        raise LoadFailed("device_unavailable", "MLX finds no GPU here; use --device cpu or auto")
    return bool(mx.default_device().type == mx.DeviceType.gpu)


def device_bytes(on_gpu: bool) -> int:
    import mlx.core as mx

    if on_gpu:
        info = mx.device_info()
        for name in ("memory_size", "total_memory"):
            if isinstance(size := info.get(name), int):
                return size
    return memory.machine_bytes()
