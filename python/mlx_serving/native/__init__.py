"""The pool of buffers and the collector of metrics: krserve_native, or its fallback in pure Python.

The choice is made once, when this package is imported; `status()` tells it. Both have
the API documented in `native/bindings/krserve_native.pyi`. Imports neither MLX nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from . import fallback
from .choice import asked_mode
from .loader import NAME, load

if TYPE_CHECKING:
    from .fallback import (
        CommandBuffer,
        CommandBufferPool,
        CommandBufferPoolStats,
        Metrics,
        MetricsCollector,
        PoolError,
        PoolExhausted,
    )

__all__ = [
    "CommandBuffer",
    "CommandBufferPool",
    "CommandBufferPoolStats",
    "Metrics",
    "MetricsCollector",
    "NativeMissing",
    "PoolError",
    "PoolExhausted",
    "Status",
    "describe",
    "require",
    "status",
]


class Status(TypedDict):
    on: bool
    version: str | None
    """Of krserve_native; None when it is off."""
    reason: str | None
    """Why it is off, one line; None when it is on."""


class NativeMissing(Exception):
    """MLX_SERVING_NATIVE asks for a native part, which can't be used; the message says why."""


_MODE: Final = asked_mode()
_module, _reason = load(_MODE)

if not TYPE_CHECKING:
    _api = fallback if _module is None else _module
    CommandBuffer = _api.CommandBuffer
    CommandBufferPool = _api.CommandBufferPool
    CommandBufferPoolStats = _api.CommandBufferPoolStats
    Metrics = _api.Metrics
    MetricsCollector = _api.MetricsCollector
    PoolError = _api.PoolError
    PoolExhausted = _api.PoolExhausted


def status() -> Status:
    version = None if _module is None else str(_module.__version__)
    return {"on": _module is not None, "version": version, "reason": _reason}


def describe() -> str:
    """The status as a line for the log."""
    if _module is None:
        return f"native off: {_reason}"
    return f"native on: {NAME} {_module.__version__}"


def require() -> None:
    """Raises NativeMissing if the module is off although MLX_SERVING_NATIVE is `on`, or no mode."""
    if _module is None and _MODE in ("on", None):
        raise NativeMissing(f"native is required but off: {_reason}")
