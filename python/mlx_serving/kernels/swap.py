"""Makes a loaded model use the kernels: by the class of its modules, never by changing MLX."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import base

from . import attention, layers
from .device import backend
from .report import Report

ATTENTION: Final = "scaled_dot_product_attention"
# Children of a module that it calls with the same input.
SIBLINGS: Final = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def swap(model: nn.Module, *, products: bool = True, attentions: bool = True) -> Report:
    """In place. Safe to repeat."""
    report = Report()
    modules = _distinct_modules(model)
    for module in modules:
        cls = type(module)
        if products and cls in layers.CLASSES:
            if layers.fits(module):
                module.__class__ = layers.CLASSES[cls]
                module.product = layers.product_of([module])
                module.siblings = None
                report.products += 1
            else:
                report.kept += 1
        elif attentions and calls_attention(cls):
            module.__class__ = with_attention(cls)
            report.attentions += 1
    for module in modules:
        _join_siblings(module)
    return report


def _join_siblings(module: Any) -> None:
    for names in SIBLINGS:
        children = [module.get(name) for name in names]
        if all(type(child) is layers.FewRowsLinear for child in children) and layers.fit_together(
            children
        ):
            siblings = layers.Siblings(children)
            for child in children:
                child.siblings = siblings


def _distinct_modules(model: nn.Module) -> list[Any]:
    return list({id(module): module for _, module in model.named_modules()}.values())


def calls_attention(cls: type) -> bool:
    """Whether the class's own `__call__` uses mlx-lm's attention, by that name."""
    call = cls.__dict__.get("__call__")
    return (
        isinstance(call, FunctionType)
        and ATTENTION in call.__code__.co_names
        and call.__globals__.get(ATTENTION) is base.scaled_dot_product_attention
    )


_classes: dict[type, type] = {}


def with_attention(cls: Any) -> type:
    """A class derived from `cls` whose `__call__` is the same code with our attention."""
    if cls not in _classes:
        call = cls.__call__
        names = {**vars(sys.modules[call.__module__]), ATTENTION: attention_with_cache}
        copy = FunctionType(
            call.__code__, names, call.__name__, call.__defaults__, call.__closure__
        )
        copy.__kwdefaults__ = call.__kwdefaults__
        _classes[cls] = type(cls.__name__, (cls,), {"__call__": copy, "__module__": cls.__module__})
    return _classes[cls]


def attention_with_cache(
    queries: mx.array,
    keys: Any,
    values: Any,
    cache: Any,
    scale: float,
    mask: Any,
    sinks: mx.array | None = None,
) -> mx.array:
    """Takes the place of mlx-lm's function of the same arguments. Without a mask MLX's own decoding
    kernel is used."""
    if hasattr(cache, "bits") and backend() == "cuda":
        # MLX's products with codes lack most shapes of attention there.
        keys, values = dequantized(keys, cache), dequantized(values, cache)
        cache = None
    if (
        isinstance(mask, mx.array)
        and sinks is None
        and not hasattr(cache, "bits")
        and attention.fits(queries, keys, values, mask)
    ):
        return attention.attention(queries, keys, values, scale, mask)
    return base.scaled_dot_product_attention(
        queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks
    )


def dequantized(codes: Any, cache: Any) -> mx.array:
    """Keys or values of a quantized cache as floats, [rows, heads, tokens, elements]."""
    quantized, scales, biases = codes
    return mx.dequantize(quantized, scales, biases, group_size=cache.group_size, bits=cache.bits)
