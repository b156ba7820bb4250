"""Copies of a module's classes whose methods call our functions instead of MLX's.

Nothing of MLX or mlx-lm is changed: a model's object gets a class derived from its own, whose
methods are the same code with other globals. So whatever architecture a model has, its
`mx.fast.rms_norm`, `mx.fast.rope`, `scaled_dot_product_attention` and `swiglu` become ours.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models import activations, base

from . import operations as ops

PACKAGES: Final = ("mlx_lm.models.", "mlx.nn.layers.")


def _like(module: ModuleType, **changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(module), **changes})


_fast: Final = _like(
    mx.fast,
    rms_norm=ops.rms_norm,
    rope=ops.rope,
    scaled_dot_product_attention=ops.scaled_dot_product_attention,
)
_mx: Final = _like(mx, fast=_fast)

# What a global may be, by identity, and what it becomes.
_REPLACED: Final[list[tuple[Any, Any]]] = [
    (mx, _mx),
    (mx.fast, _fast),
    (base.scaled_dot_product_attention, ops.attention_with_cache),
    (activations.swiglu, ops.swiglu),
]

_globals: dict[str, dict[str, Any]] = {}
_classes: dict[type, type] = {}


def rebound(cls: type) -> type:
    """A class derived from `cls`, which must be of PACKAGES, with our functions in its methods."""
    made = _classes.get(cls)
    if made is None:
        methods: dict[str, Any] = {}
        for ancestor in reversed(cls.__mro__):
            if f"{ancestor.__module__}.".startswith(PACKAGES):
                methods |= _methods_of(ancestor)
        made = type(cls.__name__, (cls,), {**methods, "__module__": cls.__module__})
        _classes[cls] = made
    return made


def is_rebindable(cls: type) -> bool:
    return f"{cls.__module__}.".startswith(PACKAGES) and cls not in _classes.values()


def _methods_of(cls: type) -> dict[str, Any]:
    names = _globals_of(cls.__module__)
    return {
        name: _with_globals(method, names)
        for name, method in vars(cls).items()
        if isinstance(method, FunctionType) and method.__module__ == cls.__module__
    }


def _globals_of(module_name: str) -> dict[str, Any]:
    """A copy of a module's globals with our functions; its own functions see this copy too."""
    names = _globals.get(module_name)
    if names is None:
        module = sys.modules[module_name]
        names = _globals[module_name] = dict(vars(module))
        for name, value in vars(module).items():
            for original, ours in _REPLACED:
                if value is original:
                    names[name] = ours
            if isinstance(value, FunctionType) and value.__globals__ is vars(module):
                names[name] = _with_globals(value, names)
    return names


def _with_globals(function: FunctionType, names: dict[str, Any]) -> FunctionType:
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update(function.__dict__)
    copy.__qualname__ = function.__qualname__
    return copy
