"""Attention of many queries on packed keys and values: the same bits as without packing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest

from attention_cases import assert_close, case, causal, reference
from fast_cases import DTYPES, ISAS, bits_of, native, strided, using

SHAPES = [
    # batch, heads, kv heads, queries, keys, head, value
    (1, 9, 3, 8, 8, 64, 64),
    (1, 9, 3, 130, 130, 64, 64),
    (1, 9, 3, 67, 1300, 64, 64),
    (2, 4, 4, 25, 257, 80, 48),
    (1, 24, 1, 3, 511, 32, 96),
    (1, 7, 7, 49, 512, 16, 16),
    (3, 4, 2, 40, 41, 128, 128),
    (1, 2, 1, 300, 700, 256, 112),
    (1, 40, 1, 13, 300, 48, 64),
]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = native.uses_tiles()
    yield
    native.use_tiles(before)


def attention(
    tiles: bool, q: mx.array, k: mx.array, v: mx.array, mask: str | mx.array | None
) -> mx.array:
    native.use_tiles(tiles, always=True)
    y: mx.array = native.attention(q, k, v, q.shape[-1] ** -0.5, mask)
    mx.eval(y)
    return y


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mask", [None, "causal"])
def test_the_same_bits_and_near_float64(isa: str, shape: tuple[int, ...], mask: str | None) -> None:
    with using(isa):
        q, k, v = case(1, *shape)
        packed = attention(True, q, k, v, mask)
        assert bits_of(packed) == bits_of(attention(False, q, k, v, mask))
        added = causal(q.shape[2], k.shape[2]) if mask else np.zeros((1, 1))
        assert_close(packed, reference(q, k, v, q.shape[-1] ** -0.5, added))


@pytest.mark.parametrize("isa", ISAS)
def test_random_shapes(isa: str) -> None:
    random = np.random.default_rng(11)
    with using(isa):
        for seed in range(25):
            batch, kv_heads = random.integers(1, 3, size=2)
            heads = kv_heads * random.integers(1, 9)
            queries = random.integers(2, 90)
            keys = queries + random.choice([0, 1, random.integers(0, 900)])
            dims = 16 * random.integers(1, 9, size=2)
            shape = map(int, (batch, heads, kv_heads, queries, keys, *dims))
            q, k, v = case(seed, *shape)
            packed = attention(True, q, k, v, "causal")
            assert bits_of(packed) == bits_of(attention(False, q, k, v, "causal"))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cache", DTYPES)
@pytest.mark.parametrize("layout", ["dense", "transposed", "sliced"])
def test_types_and_strides(isa: str, dtype: mx.Dtype, cache: mx.Dtype, layout: str) -> None:
    with using(isa):
        q, k, v = case(1, 2, 6, 2, 20, 290, 64)
        q, k, v = q.astype(dtype), k.astype(cache), v.astype(cache)
        q, k, v = (strided(array, layout) for array in (q, k, v))
        packed = attention(True, q, k, v, "causal")
        assert packed.dtype == dtype
        assert bits_of(packed) == bits_of(attention(False, q, k, v, "causal"))
        assert_close(packed, reference(q, k, v, 0.125, causal(20, 290)))


@pytest.mark.parametrize("isa", ISAS)
def test_a_row_is_the_same_in_chunks_of_any_length(isa: str) -> None:
    with using(isa):
        length = 530
        q, k, v = case(1, 1, 6, 2, length, length, 64)
        whole = attention(True, q, k, v, "causal")
        for step in (1, 7, 8, 100, 256):
            for first in (0, 3, 255, length - step):
                end = first + step
                seen = k[:, :, :end], v[:, :, :end]
                part = attention(True, q[:, :, first:end], *seen, "causal")
                assert bits_of(part) == bits_of(whole[:, :, first:end])


@pytest.mark.parametrize("isa", ISAS)
def test_a_row_is_the_same_beside_others(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 3, 6, 2, 70, 400, 64)
        together = attention(True, q, k, v, "causal")
        for row in range(3):
            one = slice(row, row + 1)
            alone = attention(True, q[one], k[one], v[one], "causal")
            assert bits_of(alone) == bits_of(together[one])


@pytest.mark.parametrize("isa", ISAS)
def test_more_queries_than_keys_and_scores_far_apart(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 1, 4, 2, 40, 9, 32)
        packed = attention(True, q, k, v, "causal")
        assert (np.array(packed)[:, :, :31] == 0).all()
        assert bits_of(packed) == bits_of(attention(False, q, k, v, "causal"))
        q, k, v = case(1, 1, 4, 2, 40, 600, 32)
        packed = attention(True, 3000 * q, k, v, "causal")
        assert bits_of(packed) == bits_of(attention(False, 3000 * q, k, v, "causal"))


@pytest.mark.parametrize("isa", ISAS)
def test_a_window_and_other_masks_need_no_tiles(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 1, 4, 2, 60, 300, 32)
        ends, keys = mx.arange(241, 301)[:, None], mx.arange(300)[None]
        window = (keys < ends) & (keys >= ends - 50)
        y = attention(True, q, k, v, window)
        assert bits_of(y) == bits_of(attention(False, q, k, v, window))
        added = np.where(np.array(window), 0, -np.inf)
        assert_close(y, reference(q, k, v, 32**-0.5, added))


DIGEST = """
import mlx.core as mx
import krserve_mlx_ops as native
from hashlib import sha256
native.use_tiles(True, always=True)
mx.random.seed(3)
q = mx.random.normal((1, 9, 400, 64))
k, v = (mx.random.normal((1, 3, 900, 64)) for _ in range(2))
y = native.attention(q, k, v, 0.125, "causal")
print(native.threads(), sha256(bytes(memoryview(y))).hexdigest())
"""


def test_any_number_of_threads_gives_the_same_bits() -> None:
    digests = set()
    for threads in ("1", "2", "7"):
        environment = {**os.environ, "KRSERVE_THREADS": threads}
        command = [sys.executable, "-c", DIGEST]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        used, digest = done.stdout.split()
        assert used == threads
        digests.add(digest)
    assert len(digests) == 1
