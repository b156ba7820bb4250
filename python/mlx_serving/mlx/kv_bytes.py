"""Keys and values of a block as bytes, and bytes as keys and values.

A block may have any arrays of any types, as long as their third axis is that of the tokens. MLX is
called here, so the engine thread alone calls it; the bytes that it gives may be read by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import mlx.core as mx
import numpy

from . import kv_blocks
from .caches import Caches, KvBlock
from .disk_format import WIDTHS, ArrayLayout, Layout

NAMES: Final = {
    mx.bool_: "BOOL",
    mx.uint8: "U8",
    mx.uint16: "U16",
    mx.uint32: "U32",
    mx.uint64: "U64",
    mx.int8: "I8",
    mx.int16: "I16",
    mx.int32: "I32",
    mx.int64: "I64",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.float32: "F32",
    mx.float64: "F64",
}
DTYPES: Final = {name: dtype for dtype, name in NAMES.items()}
# Types of plain numbers, which both MLX and NumPy have.
PLAIN: Final = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
NUMPY: Final = {1: numpy.uint8, 2: numpy.uint16, 4: numpy.uint32, 8: numpy.uint64}


def layout(block: KvBlock, tokens: int) -> Layout:
    """Of a block of so many tokens, as of one of a single token."""
    return tuple(
        tuple(_array_layout(array, tokens) for array in layer) if layer else None
        for layer in block.layers
    )


def _array_layout(array: mx.array, tokens: int) -> ArrayLayout:
    before, here, after = array.shape[:2], array.shape[2], array.shape[3:]
    assert here == tokens, "the third axis of an array of a block is that of its tokens"
    return ArrayLayout(NAMES[array.dtype], (*before, 1, *after))


def layout_of(caches: Caches) -> Layout:
    """Of the blocks of a model: one token is computed to see it."""
    cache = caches.new()
    caches.model(mx.array([[0]]), cache=cache)
    (block,) = kv_blocks.cut(cache, [0, 1])
    mx.eval(kv_blocks.arrays([block]))
    return layout(block, 1)


def buffers(block: KvBlock) -> list[memoryview]:
    """The memory of its arrays, which stays as long as the block does. Waits for them."""
    arrays = kv_blocks.arrays([block])
    # Of some types Python knows no buffers.
    plain = [mx.contiguous(array.view(PLAIN[array.dtype.size])) for array in arrays]
    mx.eval(plain)
    return [memoryview(array).cast("B") for array in plain]  # type: ignore[arg-type]


def block_of(layout: Layout, arrays: Sequence[memoryview], tokens: int) -> KvBlock:
    """A block of copies of bytes, in the order of `buffers`."""
    left = iter(arrays)
    layers = [
        tuple(_array(one, next(left), tokens) for one in layer) if layer else None
        for layer in layout
    ]
    return KvBlock(layers, sum(map(len, arrays)))


def _array(one: ArrayLayout, data: memoryview, tokens: int) -> mx.array:
    numbers = numpy.frombuffer(data, NUMPY[WIDTHS[one.dtype]])
    if not numbers.flags.aligned:
        numbers = numbers.copy()
    return mx.array(numbers.reshape(one.of(tokens))).view(DTYPES[one.dtype])
