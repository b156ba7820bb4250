"""Quantized caches against a list of what each row has: every token quantized once, by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.base import quantized_scaled_dot_product_attention
from mlx_lm.models.cache import KVCache
from mlx_serving.kv.quantized import (
    BatchQuantizedCache,
    Codes,
    Heads,
    KvQuantization,
    QuantizedCache,
)

HEADS = 2
KEY_DIM, VALUE_DIM = 64, 128
SIZES = [KvQuantization(8, 64), KvQuantization(4, 64), KvQuantization(8, 32), KvQuantization(4, 32)]
Tokens = list[tuple[mx.array, mx.array]]
"""Keys and values of a row's tokens, [heads, width] each."""


def new_token(seed: int) -> tuple[mx.array, mx.array]:
    key = mx.random.key(seed)
    both = mx.random.normal((HEADS, KEY_DIM + VALUE_DIM), key=key)
    return both[:, :KEY_DIM], both[:, KEY_DIM:]


def stacked(rows: Sequence[Tokens]) -> tuple[mx.array, mx.array]:
    """[rows, heads, tokens, width]"""
    keys, values = (
        mx.stack([mx.stack([token[part] for token in row], axis=1) for row in rows])
        for part in (0, 1)
    )
    return keys, values


def same(one: Any, other: Any) -> bool:
    return all(bool(mx.array_equal(a, b)) for a, b in zip(one, other, strict=True))


def check(cache: Any, rows: Sequence[Tokens]) -> None:
    """The codes of each row are those of its tokens quantized alone."""
    batch = isinstance(cache, BatchQuantizedCache)
    lengths = [len(row) for row in rows]
    assert cache.rows == len(rows) and cache.used == max(lengths)
    if batch:
        assert cache.offset.tolist() == lengths
        assert cache.left_padding.tolist() == [max(lengths) - length for length in lengths]
    if not cache.used:
        assert cache.empty() and cache.nbytes == 0
        return
    found = cache.keys_and_values()
    sizes = {"group_size": cache.group_size, "bits": cache.bits}
    for i, row in enumerate(rows):
        for part, codes in zip((0, 1), found, strict=True):
            mine = [array[i : i + 1, :, cache.used - len(row) :] for array in codes]
            if row:
                assert same(mine, mx.quantize(stacked([row])[part], **sizes))


class Walk:
    """Rows of random length that come, go, grow and are cut back."""

    def __init__(self, quantization: KvQuantization, seed: int) -> None:
        self.random = random.Random(seed)
        self.quantization = quantization
        self.next = seed * 1000
        self.rows = [self.some(self.random.choice([0, 1, 5, 30])) for _ in range(3)]
        self.cache = QuantizedCache.merge([self.single(row) for row in self.rows])

    def some(self, count: int) -> Tokens:
        self.next += count
        return [new_token(self.next - i) for i in range(count)]

    def single(self, row: Tokens) -> QuantizedCache:
        """In pieces, as a prompt is prefilled."""
        cache = QuantizedCache(self.quantization)
        start = 0
        while start < len(row):
            end = start + self.random.randint(1, len(row) - start)
            cache.update_and_fetch(*stacked([row[start:end]]))
            start = end
        check(cache, [row])
        return cache

    def step(self) -> None:
        name = self.random.choice(["write", "write", "trim", "extend", "filter", "extract"])
        getattr(self, name)()
        check(self.cache, self.rows)

    def write(self) -> None:
        count = self.random.choice([1, 1, 3, 250])
        new = [self.some(count) for _ in self.rows]
        self.cache.update_and_fetch(*stacked(new))
        self.rows = [row + more for row, more in zip(self.rows, new, strict=True)]

    def trim(self) -> None:
        count = self.random.randint(0, min(map(len, self.rows)))
        assert self.cache.trim(count) == count
        self.rows = [row[: len(row) - count] for row in self.rows]

    def extend(self) -> None:
        coming = [self.some(self.random.choice([0, 2, 9, 300])) for _ in range(2)]
        self.cache.extend(QuantizedCache.merge([self.single(row) for row in coming]))
        self.rows += coming

    def filter(self) -> None:
        keep = self.random.sample(range(len(self.rows)), self.random.randint(1, len(self.rows)))
        if max(len(self.rows[i]) for i in keep):
            self.cache.filter(keep)
            self.rows = [self.rows[i] for i in keep]

    def extract(self) -> None:
        place = self.random.randrange(len(self.rows))
        check(self.cache.extract(place), [self.rows[place]])


@pytest.mark.parametrize("quantization", SIZES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_random_walks(quantization: KvQuantization, seed: int) -> None:
    walk = Walk(quantization, seed)
    check(walk.cache, walk.rows)
    for _ in range(14):
        walk.step()


def test_rows_that_are_empty_at_first() -> None:
    cache = QuantizedCache.merge([QuantizedCache(SIZES[0])] * 2)
    cache.extend(QuantizedCache.merge([QuantizedCache(SIZES[0])]))
    check(cache, [[], [], []])
    rows = [[new_token(i)] for i in range(3)]
    cache.update_and_fetch(*stacked(rows))
    check(cache, rows)


def test_a_cache_that_is_filled_takes_in_empty_rows() -> None:
    rows: list[Tokens] = [[new_token(i) for i in range(5)], [], []]
    empty = QuantizedCache(SIZES[0])
    cache = QuantizedCache.merge([empty, empty])
    cache.extend(QuantizedCache.merge([Walk(SIZES[0], 1).single(rows[0])]))
    check(cache, [rows[1], rows[2], rows[0]])


def test_a_copy_is_not_written_into() -> None:
    row = [new_token(i) for i in range(7)]
    cache = Walk(SIZES[0], 1).single(row)
    copy = deepcopy(cache)
    cache.trim(3)
    cache.update_and_fetch(*stacked([[new_token(99)]]))
    check(copy, [row])


def test_the_same_masks_as_those_of_mlx_lm() -> None:
    plain = [KVCache(), KVCache()]
    ours = [QuantizedCache(SIZES[0]), QuantizedCache(SIZES[0])]
    for i, count in enumerate((3, 6)):
        keys, values = stacked([[new_token(n) for n in range(count)]])
        plain[i].update_and_fetch(keys, values)
        ours[i].update_and_fetch(keys, values)
    shared = KVCache.merge(plain), QuantizedCache.merge(ours)
    for pair in (*zip(plain, ours, strict=True), shared):
        for n in (1, 4):
            for options in ({"return_array": True}, {"window_size": 2}):
                options = {"return_array": False, "window_size": None, **options}
                theirs, mine = (cache.make_mask(n, **options) for cache in pair)
                assert theirs is mine is None or mx.array_equal(theirs, mine)
    assert ours[0].make_mask(1) is None and ours[0].make_mask(5) == "causal"


def attended(codes: tuple[Codes, Codes], mask: Any, row: int, cache: Any) -> mx.array:
    queries = mx.random.normal((1, HEADS, 1, KEY_DIM), key=mx.random.key(row))
    return quantized_scaled_dot_product_attention(
        queries,
        *(tuple(array[row : row + 1] for array in part) for part in codes),
        scale=KEY_DIM**-0.5,
        mask=None if mask is None else mask[row : row + 1],
        group_size=cache.group_size,
        bits=cache.bits,
    )


def test_mlx_lm_attends_to_a_row_as_alone() -> None:
    rows = [[new_token(10 * n + i) for i in range(n)] for n in (4, 9)]
    walk = Walk(SIZES[0], 1)
    shared = QuantizedCache.merge([walk.single(row) for row in rows])
    mask = shared.make_mask(1)
    shared.update_and_fetch(*stacked([[new_token(1)], [new_token(2)]]))
    for place, row in enumerate(rows):
        single = walk.single([*row, new_token(place + 1)])
        alone = QuantizedCache.merge([single, single])
        expected = attended(alone.keys_and_values(), None, place, alone)
        found = attended(shared.keys_and_values(), mask, place, shared)
        assert mx.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.28125), (4, 0.15625)])
def test_what_it_takes(bits: Any, share: float) -> None:
    """Of float32; of 16-bit floats 0.53 and 0.28."""
    row = [new_token(i) for i in range(256)]
    plain, cache = KVCache(), QuantizedCache(KvQuantization(bits, 64))
    for one in (plain, cache):
        one.update_and_fetch(*stacked([row]))
    assert cache.nbytes == share * plain.nbytes


def test_room_is_made_by_steps() -> None:
    cache = QuantizedCache(SIZES[0])
    heads = Heads(1, HEADS, KEY_DIM, VALUE_DIM, mx.float16)
    cache.make_room(heads, 1)
    assert cache.keys is not None and cache.used == 0
    assert [array.shape[2] for array in cache.keys] == [256] * 3
    assert [array.dtype for array in cache.keys] == [mx.uint32, mx.float16, mx.float16]
    before = cache.keys[0]
    cache.make_room(heads, 256)
    assert cache.keys[0] is before
    cache.offset = 256
    cache.make_room(heads, 1)
    assert cache.keys[0].shape[2] == 512
