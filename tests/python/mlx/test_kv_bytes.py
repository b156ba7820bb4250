"""Keys and values as bytes: any arrays, any types, and to the last bit."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_serving.mlx import kv_blocks
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.caches import KvBlock
from mlx_serving.mlx.kv_bytes import NAMES, block_of, buffers, layout, layout_of

import toy


def same(one: mx.array, other: mx.array) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and bytes(memoryview(mx.contiguous(one.view(mx.uint8))))
        == bytes(memoryview(mx.contiguous(other.view(mx.uint8))))
    )


@pytest.mark.parametrize("tokens", [1, 3, 64])
def test_any_number_of_arrays_of_any_type(tokens: int) -> None:
    mx.random.seed(tokens)
    # Not in the order in which memory has it.
    numbers = mx.random.uniform(-100, 100, (1, tokens, 2, 8)).transpose(0, 2, 1, 3)
    types = [dtype for dtype in NAMES if dtype != mx.float64]
    layers = [tuple(numbers.astype(dtype) for dtype in types), None, (numbers,)]
    block = KvBlock(layers, 0)  # type: ignore[arg-type]
    found = block_of(layout(block, tokens), buffers(block), tokens)
    assert found.layers[1] is None
    for one, other in zip(kv_blocks.arrays([block]), kv_blocks.arrays([found]), strict=True):
        assert same(one, other)
    assert found.size_bytes == sum(array.nbytes for array in kv_blocks.arrays([block]))


def test_odd_places_are_no_trouble() -> None:
    block = KvBlock([(mx.ones((1, 1, 3, 4), mx.uint32),)], 0)  # type: ignore[list-item]
    (data,) = buffers(block)
    shifted = memoryview(b"x" + bytes(data))[1:]
    found = block_of(layout(block, 3), [shifted], 3)
    assert same(found.layers[0][0], block.layers[0][0])  # type: ignore[index]


def test_the_layout_is_that_of_a_models_blocks() -> None:
    model = toy.model()
    caches = CacheFactory(model)
    cache = caches.new()
    model(mx.array([[1, 2, 3, 4, 5]]), cache=cache)
    (block,) = kv_blocks.cut(cache, [1, 4])
    assert layout(block, 3) == layout_of(caches)
