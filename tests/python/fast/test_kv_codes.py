"""Attention on quantized keys and values: the bits of attention on what their codes stand for."""

from __future__ import annotations

# First: it skips this file where the module is not built.
# isort: off
from fast_cases import DTYPES, ISAS, LAYOUTS, bits_of, exact, native, normal, strided, using
# isort: on

from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_serving.fast import accelerate
from mlx_serving.fast.operations import attention_with_cache
from mlx_serving.kv.quantized import KvQuantization, QuantizedCache

import toy
from attention_cases import assert_close, causal, reference

Codes = list[mx.array]
SHAPES = [
    # batch, heads, kv heads, queries, keys, key width, value width, group
    (1, 9, 3, 1, 700, 64, 64, 64),
    (2, 6, 2, 5, 300, 128, 64, 64),
    (1, 9, 3, 130, 520, 64, 64, 64),
    (3, 4, 4, 2, 257, 96, 32, 32),
    (1, 2, 1, 30, 31, 128, 128, 128),
]


def codes_of(array: mx.array, group: int, bits: int) -> tuple[Codes, mx.array]:
    """And what they stand for, in float32."""
    codes, scales, biases = mx.quantize(array, group_size=group, bits=bits)
    floats = [scales.astype(mx.float32), biases.astype(mx.float32)]
    return [codes, scales, biases], mx.dequantize(codes, *floats, group_size=group, bits=bits)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_bits(isa: str, bits: int, dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    batch, heads, kv_heads, queries, keys, key_dim, value_dim, group = shape
    with using(isa):
        q = normal(1, batch, heads, queries, key_dim)
        k, plain_k = codes_of(normal(2, batch, kv_heads, keys, key_dim, dtype=dtype), group, bits)
        v, plain_v = codes_of(normal(3, batch, kv_heads, keys, value_dim, dtype=dtype), group, bits)
        hidden = mx.arange(keys)[None] >= mx.arange(batch)[:, None] * 7
        for mask in (None, "causal", hidden[:, None, None]):
            sizes = {"group_size": group, "bits": bits}
            found = native.attention_on_codes(q, k, v, key_dim**-0.5, mask, **sizes)
            expected = native.attention(q, plain_k, plain_v, key_dim**-0.5, mask)
            assert bits_of(found) == bits_of(expected)
        added = causal(queries, keys)
        found = native.attention_on_codes(q, k, v, key_dim**-0.5, "causal", **sizes)
        assert_close(found, reference(q, plain_k, plain_v, key_dim**-0.5, added))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_of_any_order(layout: str) -> None:
    q, k, v = (normal(i, 2, 3, 40, 64) for i in range(3))
    keys, values = codes_of(k, 64, 8)[0], codes_of(v, 64, 8)[0]
    expected = native.attention_on_codes(q, keys, values, 0.125, "causal", group_size=64, bits=8)
    keys, values = ([strided(array, layout) for array in codes] for codes in (keys, values))
    found = native.attention_on_codes(q, keys, values, 0.125, "causal", group_size=64, bits=8)
    assert bits_of(found) == bits_of(expected)


def test_a_cache_with_room_is_read_where_it_lies() -> None:
    cache = QuantizedCache(KvQuantization(8, 64))
    k, v = normal(1, 1, 2, 70, 64), normal(2, 1, 2, 70, 64)
    codes = cache.update_and_fetch(k, v)
    assert cache.keys is not None and cache.keys[0].shape[2] == 256
    q = normal(3, 1, 4, 1, 64)
    found = attention_with_cache(q, *codes, cache, 0.125, None)
    expected = native.attention(q, codes_of(k, 64, 8)[1], codes_of(v, 64, 8)[1], 0.125)
    assert bits_of(found) == bits_of(expected)


def test_what_the_kernels_don_t_read_is_left_to_mlx_lm() -> None:
    q, k, v = (normal(i, 1, 2, 4, 64) for i in range(3))
    cache = SimpleNamespace(bits=2, group_size=64)
    codes = [mx.quantize(array, group_size=64, bits=2) for array in (k, v)]
    plain = [mx.dequantize(*one, group_size=64, bits=2) for one in codes]
    expected = exact(native.attention(q, *plain, 0.125, "causal"))
    # It scales the queries that it is given.
    found = attention_with_cache(q, *codes, cache, 0.125, "causal")
    assert np.abs(exact(found) - expected).max() < 1e-5


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"bits": 2}, "bits must be 4 or 8"),
    ({"group_size": 16}, "group_size must be 32, 64 or 128"),
    ({"group_size": 128}, "whole groups"),
    ({"k": 2}, "codes, scales and biases"),
    ({"q": normal(1, 1, 3, 4, 64)}, "don't fit together"),
    ({"v": [mx.zeros((1, 2, 5, 16), dtype=mx.uint32), *[mx.zeros((1, 2, 5, 1))] * 2]}, "don't fit"),
    ({"v": [mx.zeros((1, 2, 4, 16)), *[mx.zeros((1, 2, 4, 1))] * 2]}, "uint32"),
]


@pytest.mark.parametrize(("changes", "problem"), WRONG, ids=lambda one: str(one)[:30])
def test_what_does_not_fit_is_refused(changes: dict[str, Any], problem: str) -> None:
    codes, _ = codes_of(normal(1, 1, 2, 4, 64), 64, 8)
    given = {"q": normal(2, 1, 2, 4, 64), "k": codes, "v": codes, "group_size": 64, "bits": 8}
    given |= changes
    if given["k"] == 2:
        given["k"] = codes[:2]
    with pytest.raises(ValueError, match=problem):
        native.attention_on_codes(scale=0.125, **given)


def fused() -> Any:
    import mlx.nn as nn

    model = toy.model(hidden_size=256, intermediate_size=128)
    nn.quantize(model, group_size=64, bits=4)
    report = accelerate(model)
    assert report.blocks == 2
    return model


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("quantization", [KvQuantization(8, 64), KvQuantization(4, 32)], ids=str)
def test_a_block_writes_the_codes_of_mx_quantize(isa: str, quantization: KvQuantization) -> None:
    """And reads them as its plain self reads what they stand for."""
    with using(isa):
        model = fused()
        block = model.model.layers[0]
        x = normal(5, 1, 9, 256)
        cache = QuantizedCache(quantization)
        y = block(x, "causal", cache)
        assert cache.offset == 9 and cache.keys is not None and cache.values is not None
        q, k, v = block.native_block.enter(x, 0)
        sizes = {"group_size": quantization.group_size, "bits": quantization.bits}
        plain = []
        for codes, floats in ((cache.keys, k), (cache.values, v)):
            made = mx.quantize(floats, **sizes)
            found = [array[:, :, :9] for array in codes]
            for mine, theirs in zip(found, made, strict=True):
                assert bits_of(mine) == bits_of(theirs)
            plain.append(mx.dequantize(*made, **sizes))
        assert bits_of(y) == bits_of(block.native_block.leave(x, q, *plain, "causal"))


@pytest.mark.parametrize("isa", ISAS)
def test_the_same_bits_alone_in_pieces_and_in_a_batch(isa: str) -> None:
    quantization = KvQuantization(8, 64)
    with using(isa):
        model = fused()
        prompts = [toy.prompt(seed, length) for seed, length in ((1, 300), (2, 7), (3, 255))]
        alone = []
        for tokens in prompts:
            cache = [QuantizedCache(quantization) for _ in range(2)]
            model(mx.array([tokens]), cache=cache)
            alone.append([model(mx.array([[t]]), cache=cache)[0, -1] for t in (5, 6, 7)])
        rows = []
        for tokens in prompts:
            rows.append([QuantizedCache(quantization) for _ in range(2)])
            for start in range(0, len(tokens), 64):
                model(mx.array([tokens[start : start + 64]]), cache=rows[-1])
        shared = [QuantizedCache.merge(layer) for layer in zip(*rows, strict=True)]
        for step, token in enumerate((5, 6, 7)):
            logits = model(mx.array([[token]] * 3), cache=shared)[:, -1]
            for row in range(3):
                assert bits_of(logits[row]) == bits_of(alone[row][step])


def test_not_a_number_stays_one() -> None:
    """In its own token, and in nobody else's."""
    model = fused()
    block = model.model.layers[0].native_block
    for bad in (float("nan"), float("inf")):
        x = mx.zeros((1, 2, 256)) + 1
        x[0, 0, 3] = bad
        cache = QuantizedCache(KvQuantization(8, 64))
        y = model.model.layers[0](x, "causal", cache)
        assert cache.keys is not None
        assert bool(mx.all(mx.isnan(y[0, 0])).item())
        assert not bool(mx.any(mx.isnan(cache.keys[1][:, :, 1])).item())
    assert block.dtype_for(x) == mx.float32
