"""Rows that have keys and values of their own, in pieces: the bits of each row alone."""

from __future__ import annotations

# First: it skips this file where the module is not built.
# isort: off
from fast_cases import ISAS, bits_of, native, using
# isort: on

from copy import deepcopy
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache, make_prompt_cache
from mlx_serving.fast import accelerate
from mlx_serving.kv.rows import Pieces, RowsCache
from mlx_serving.mlx.caches import Cache

import toy

# Lengths of the pieces of a common beginning: shorter than a chunk of keys, and longer.
BEGINNINGS = [(64, 64, 64, 64, 64), (5, 1, 300, 17), (256, 256), (700,)]


def fused(**changes: Any) -> Any:
    model = toy.model(**{"hidden_size": 256, "intermediate_size": 128, **changes})
    nn.quantize(model, group_size=64, bits=4)
    assert accelerate(model).blocks == 2
    return model


def in_pieces(cache: Cache, lengths: tuple[int, ...], used: int = 0) -> list[RowsCache]:
    """A row with copies of the first tokens of a cache, and `used` more in its own array."""
    rows = []
    for layer in cache:
        pieces, at = [], 0
        for length in lengths:
            keys, values = layer.keys[:, :, at : at + length], layer.values[:, :, at : at + length]
            pieces.append((mx.contiguous(keys), mx.contiguous(values)))
            at += length
        own = [mx.contiguous(a[:, :, at : at + used]) for a in (layer.keys, layer.values)]
        rows.append(RowsCache.of(Pieces.of(pieces, lengths), (own[0], own[1]), used))
    return rows


def together(rows: list[list[RowsCache]]) -> list[RowsCache]:
    shared = [RowsCache() for _ in rows[0]]
    for row in rows:
        for mine, theirs in zip(shared, row, strict=True):
            mine.extend(theirs)
    return shared


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("lengths", BEGINNINGS, ids=str)
@pytest.mark.parametrize("width", [{}, {"num_attention_heads": 6, "head_dim": 32}], ids=str)
def test_prefill_and_steps(isa: str, lengths: tuple[int, ...], width: dict[str, Any]) -> None:
    """Rows that go on from the same pieces, others of their own, and a plain one among them."""
    with using(isa):
        model = fused(**width)
        begun: Cache = make_prompt_cache(model)
        model(mx.array([toy.prompt(1, sum(lengths))]), cache=begun)
        shared = in_pieces(begun, lengths)
        alone: list[Cache] = [deepcopy(begun) for _ in range(3)]
        rows: list[list[RowsCache]] = [deepcopy(shared) for _ in range(2)]
        rows.append(in_pieces(begun, lengths[:1], used=3))
        for layer in alone[2]:
            layer.trim(sum(lengths[1:]) - 3)
        for seed, (plain, apart) in enumerate(zip(alone, rows, strict=True)):
            tail = mx.array([toy.prompt(seed + 2, 3 + 40 * seed)])
            assert bits_of(model(tail, cache=apart)) == bits_of(model(tail, cache=plain))
        alone.append(make_prompt_cache(model))
        model(mx.array([toy.prompt(9, 20)]), cache=alone[3])
        rows.append([RowsCache.taken(deepcopy(layer)) for layer in alone[3]])
        batch = together(rows)
        for token in range(40):
            logits = model(mx.array([[token + row] for row in range(4)]), cache=batch)
            for row, plain in enumerate(alone):
                expected = model(mx.array([[token + row]]), cache=plain)
                assert bits_of(logits[row]) == bits_of(expected[0])
        assert [batch[0].length(row) for row in range(4)] == [row[0].offset for row in alone]


def test_any_number_of_queries_beside_others() -> None:
    """Several rows with several tokens each, which the engine doesn't ask for yet."""
    model = fused()
    begun: Cache = make_prompt_cache(model)
    model(mx.array([toy.prompt(1, 300)]), cache=begun)
    rows = [in_pieces(begun, (64, 64, 64, 64), used=used) for used in (0, 44)]
    batch = together([deepcopy(row) for row in rows])
    fed = mx.array([toy.prompt(3, 7), toy.prompt(4, 7)])
    logits = model(fed, cache=batch)
    for row in range(2):
        assert bits_of(logits[row]) == bits_of(model(fed[row : row + 1], cache=rows[row])[0])


def test_what_others_use_is_not_written_to() -> None:
    model = fused()
    cache: Cache = make_prompt_cache(model)
    model(mx.array([toy.prompt(1, 130)]), cache=cache)
    rows = in_pieces(cache, (64,), used=66)
    model(mx.array([[1]]), cache=rows)
    kept = [layer.extract(0) for layer in rows]
    arrays = [a for layer in kept for a in (*layer.keys, *layer.values)]
    mx.eval(arrays)
    before = [bits_of(array) for array in arrays]
    first = [bits_of(model(mx.array([[token]]), cache=rows)) for token in (5, 6, 7)]
    assert [bits_of(array) for array in arrays] == before
    assert [bits_of(model(mx.array([[token]]), cache=kept)) for token in (5, 6, 7)] == first


def test_a_row_writes_into_its_own_memory() -> None:
    model = fused()
    cache: Cache = make_prompt_cache(model)
    model(mx.array([toy.prompt(1, 64)]), cache=cache)
    rows = in_pieces(cache, (64,))

    def places() -> list[int]:
        arrays = [a for layer in rows for a in (*layer.keys, *layer.values)]
        mx.eval(arrays)
        return [np.array(array, copy=False).ctypes.data for array in arrays]

    mx.eval(model(mx.array([[1]]), cache=rows))
    before = places()
    for token in range(30):
        mx.eval(model(mx.array([[token]]), cache=rows))
        assert places() == before


def test_steps_that_are_queued_before_others_are_done() -> None:
    model = fused()
    results = []
    for wait in (True, False):
        cache: Cache = make_prompt_cache(model)
        model(mx.array([toy.prompt(1, 64)]), cache=cache)
        rows = in_pieces(cache, (64,))
        for layer in rows:
            layer.step = 16
        token, logits = mx.array([[3]]), []
        for _ in range(40):
            step = model(token, cache=rows)
            token = mx.argmax(step, axis=-1)
            mx.async_eval(token)  # type: ignore[no-untyped-call]
            logits.append(step)
            if wait:
                mx.eval(token)
        results.append([bits_of(array) for array in logits])
    assert results[0] == results[1]


def array(*shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
    return mx.zeros(shape, dtype)


def test_pieces_that_do_not_fit_are_refused() -> None:
    good = array(1, 2, 8, 16)
    for keys, values, tokens in (
        ([], [], []),
        ([good], [good], [9]),
        ([good], [good], [0]),
        ([good], [good], [8, 8]),
        ([good, array(1, 2, 8, 32)], [good, good], [8, 8]),
        ([good], [array(1, 2, 8, 16, dtype=mx.float16)], [8]),
        ([array(2, 2, 8, 16)], [array(2, 2, 8, 16)], [8]),
    ):
        with pytest.raises(ValueError, match=r"there must be as many|must be of one row"):
            native.KvPieces(keys, values, tokens)
    assert native.KvPieces([good, good], [good, good], [8, 3]).tokens == 11


def test_rows_that_do_not_fit_are_refused() -> None:
    model = fused()
    block = model.model.layers[0].native_block
    x = array(2, 1, 256)
    good = array(1, 2, 8, 64)
    for pieces, keys, used in (
        ([None], [good], [0]),
        ([None, None], [good, good], [0]),
        ([None, None], [good, good], [0, 8]),
        ([None, None], [good, array(1, 2, 8, 32)], [0, 0]),
        ([None, None], [good, array(1, 2, 8, 64, dtype=mx.float16)], [0, 0]),
        ([None, native.KvPieces([array(1, 1, 8, 64)] * 1, [array(1, 1, 8, 64)], [8])],
         [good, good], [0, 0]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"for each row|be of this block"):
            native.step_rows(block, x, pieces, keys, keys, used)


def test_a_window_is_not_a_mask_for_rows() -> None:
    rows = RowsCache.taken(KVCache.from_state((array(1, 1, 4, 16), array(1, 1, 4, 16), 4)))
    assert rows.make_mask(1) is None and rows.make_mask(3) == "causal"
    with pytest.raises(NotImplementedError):
        rows.make_mask(3, window_size=2)
