"""The weights of a GGUF file as mlx-lm's layers take them. What a block means says `codes.py`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .codes import Codes, codes_of
from .file import GgufFile, Tensor
from .model import ARCHITECTURES, ROPE_FACTORS, paired_heads, weight_name

if TYPE_CHECKING:
    import mlx.core as mx

THREADS_MAX: Final = 8
Report = Callable[[int, int], None]
"""Gets how many bytes of the file are read, and of how many."""
Numbers = np.ndarray[Any, np.dtype[Any]]


def load_weights(
    file: GgufFile, config: dict[str, Any], on_gpu: bool, report: Report
) -> dict[str, mx.array]:
    """By mlx-lm's names. `config`: `model_config`'s. On a GPU scales and norms have the type of the
    file's own numbers, on a CPU float32, which it computes fastest and which loses nothing."""
    import mlx.core as mx

    layers = ARCHITECTURES[config["model_type"]]
    small = _own_type(file) if on_gpu else mx.float32
    weights: dict[str, mx.array] = {}
    sizes = {name: one.size_bytes for name, one in file.tensors.items() if name != ROPE_FACTORS}
    total = sum(sizes.values())
    done = 0
    for name, read in _read_ahead(file, sizes):
        arrays = _arrays(read, file.tensors[name], small)
        heads = paired_heads(file, name, config)
        if heads is not None:
            arrays = {kind: _in_halves(array, heads) for kind, array in arrays.items()}
            mx.eval(arrays)
        path, _, kind = weight_name(file, name, layers).rpartition(".")
        weights |= {f"{path}.{kind if part == 'weight' else part}": a for part, a in arrays.items()}
        done += sizes[name]
        report(done, total)
    return weights


def _own_type(file: GgufFile) -> mx.Dtype:
    import mlx.core as mx

    name = file.tensors["token_embd.weight"].type.name
    return {"F32": mx.float32, "BF16": mx.bfloat16}.get(name, mx.float16)


def _read_ahead(file: GgufFile, names: Iterable[str]) -> Iterator[tuple[str, Codes | Numbers]]:
    """numpy leaves Python alone while it works; few at a time, since each is a layer in memory."""
    threads = min(THREADS_MAX, os.cpu_count() or 1)
    coming: deque[tuple[str, Future[Codes | Numbers]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for name in names:
            coming.append((name, pool.submit(_read, file, name)))
            if len(coming) > threads:
                first, future = coming.popleft()
                yield first, future.result()
        for first, future in coming:
            yield first, future.result()


def _read(file: GgufFile, name: str) -> Codes | Numbers:
    tensor, blocks = file.tensors[name], file.blocks(name)
    if tensor.type.reading == "numbers":
        dtype = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.type.name]
        return np.ascontiguousarray(blocks).view(dtype).reshape(tensor.shape)
    return codes_of(tensor.type.name, blocks)


def _arrays(read: Codes | Numbers, tensor: Tensor, small: mx.Dtype) -> dict[str, mx.array]:
    import mlx.core as mx

    if isinstance(read, Codes):
        rows = (*tensor.shape[:-1], -1)
        return {
            "weight": mx.array(read.packed()).reshape(rows),
            "scales": mx.array(read.scales).reshape(rows).astype(small),
            "biases": mx.array(read.biases).reshape(rows).astype(small),
        }
    numbers = mx.array(read)
    if tensor.type.name == "BF16":
        numbers = numbers.view(mx.bfloat16)
    # Norms and biases are float32 in any file.
    return {"weight": numbers if len(tensor.shape) > 1 else numbers.astype(small)}


def _in_halves(array: mx.array, heads: int) -> mx.array:
    """Rows of a head that lie in pairs, as two halves."""
    rows = array.reshape(heads, array.shape[0] // heads // 2, 2, -1).swapaxes(1, 2)
    return rows.reshape(array.shape)
