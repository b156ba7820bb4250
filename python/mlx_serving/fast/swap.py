"""Makes a loaded model use krserve_mlx_ops."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from .blocks import FastBlock, is_llama_like, kv_heads_of, native_block_of
from .layers import FastQuantizedEmbedding, FastQuantizedLinear
from .operations import native
from .rebind import is_rebindable, rebound
from .report import Report

FAST_CLASSES: Final[dict[type, type]] = {
    nn.QuantizedLinear: FastQuantizedLinear,
    nn.QuantizedEmbedding: FastQuantizedEmbedding,
}
GROUP_SIZES: Final = (32, 64, 128)
BITS: Final = (2, 3, 4, 5, 6, 8)


def swap(model: nn.Module, *, products: bool, blocks: bool) -> Report:
    """Replaces classes of the model's modules, in place: of quantized layers (`products`), and of
    all others (`blocks`)."""
    modules = _distinct_modules(model)
    report = Report()
    if products:
        _pack_matrices(modules, report)
    if blocks:
        _speed_up(modules, report)
    return report


def _speed_up(modules: list[Any], report: Report) -> None:
    blocks = [module for module in modules if is_llama_like(module)]
    for block in blocks:
        block.native_block = native_block_of(block)
        block.kv_heads = kv_heads_of(block)
    for module in modules:
        cls = type(module)
        if is_rebindable(cls) and not isinstance(module, FastBlock):
            module.__class__ = rebound(cls)
    for block in blocks:
        cls = type(block)
        block.__class__ = _fused_class(cls)
    report.blocks = len(blocks)


def _distinct_modules(model: nn.Module) -> list[Any]:
    found: dict[int, Any] = {id(module): module for _, module in reversed(model.named_modules())}
    return list(found.values())


def _pack_matrices(modules: list[Any], report: Report) -> None:
    wanted = []
    kept: Counter[str] = Counter()
    for module in modules:
        if type(module) not in FAST_CLASSES:
            continue
        reason = _why_not(module)
        if reason:
            kept[reason] += 1
        else:
            wanted.append(module)
    report.kept = dict(kept)
    store = native.MatrixStore(sum(native.packed_bytes(*_affine(module)) for module in wanted))
    for module in wanted:
        module.matrix = store.pack(*_affine(module))
        for name in ("weight", "scales", "biases"):
            module.pop(name)
        module.__class__ = FAST_CLASSES[type(module)]
    report.matrices = len(wanted)
    report.packed_bytes = store.used


def _why_not(module: Any) -> str | None:
    if module.mode != "affine":
        return f"quantization mode {module.mode}"
    if module.bits not in BITS or module.group_size not in GROUP_SIZES:
        return f"{module.bits} bits in groups of {module.group_size}"
    if module.get("biases") is None or "weight" not in module:
        return "a layer without weights of its own"
    return None


def _affine(module: Any) -> tuple[mx.array, mx.array, mx.array, int, int]:
    return module.weight, module.scales, module.biases, module.group_size, module.bits


_fused: dict[type, type] = {}


def _fused_class(cls: type) -> type:
    if cls not in _fused:
        _fused[cls] = type(cls.__name__, (FastBlock, cls), {"__module__": cls.__module__})
    return _fused[cls]
