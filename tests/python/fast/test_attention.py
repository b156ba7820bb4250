"""Attention over the KV cache against float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from attention_cases import assert_close, case, causal, reference
from fast_cases import DTYPES, ISAS, bits_of, exact, native, normal, strided, using


def hidden(seen: mx.array) -> np.ndarray:
    return np.where(np.array(seen), 0, -np.inf)


SHAPES = [
    # batch, heads, kv heads, queries, keys, head, value
    (1, 1, 1, 1, 1, 16, 16),
    (1, 9, 3, 1, 37, 64, 64),
    (3, 4, 2, 1, 300, 64, 64),
    (2, 4, 1, 5, 5, 80, 80),
    (1, 2, 2, 33, 70, 128, 128),
    (1, 6, 2, 70, 600, 32, 48),
    (2, 8, 8, 2, 257, 96, 16),
    (1, 40, 1, 3, 9, 48, 48),
    (1, 2, 1, 1, 1111, 256, 256),
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_mask_and_causal(isa: str, shape: tuple[int, ...]) -> None:
    with using(isa):
        q, k, v = case(1, *shape)
        scale = shape[5] ** -0.5
        assert native.can_attend(q, k, v)
        nothing = np.zeros((1, 1))
        assert_close(native.attention(q, k, v, scale), reference(q, k, v, scale, nothing))
        mask = causal(q.shape[2], k.shape[2])
        assert_close(native.attention(q, k, v, scale, "causal"), reference(q, k, v, scale, mask))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cache", DTYPES)
def test_types(isa: str, dtype: mx.Dtype, cache: mx.Dtype) -> None:
    with using(isa):
        q, k, v = case(1, 2, 6, 2, 3, 50, 64)
        q, k, v = q.astype(dtype), k.astype(cache), v.astype(cache)
        y = native.attention(q, k, v, 0.125, "causal")
        assert y.dtype == dtype
        assert_close(y, reference(q, k, v, 0.125, causal(3, 50)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("keys", [5, 256, 257, 700])
def test_bool_masks(isa: str, keys: int) -> None:
    with using(isa):
        q, k, v = case(1, 3, 4, 2, 4, keys, 32)
        random = mx.array(np.random.default_rng(1).random((3, 1, 4, keys)) < 0.4)
        random[..., 0] = True
        per_head = mx.array(np.random.default_rng(2).random((4, 4, keys)) < 0.7)
        per_head[..., -1] = True
        padding = mx.arange(keys)[None] >= mx.array([0, 1, keys - 1])[:, None]
        for mask in (random, per_head, padding[:, None, None], random[0, 0], random[0, 0, 0]):
            y = native.attention(q, k, v, 0.2, mask)
            assert_close(y, reference(q, k, v, 0.2, hidden(mask)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_added_masks(isa: str, dtype: mx.Dtype) -> None:
    with using(isa):
        q, k, v = case(1, 2, 4, 2, 3, 300, 32)
        bias = normal(9, 1, 4, 3, 300, dtype=dtype)
        bias[..., 50:200] = -mx.inf
        y = native.attention(q, k, v, 0.2, bias)
        assert_close(y, reference(q, k, v, 0.2, exact(bias)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("keys", [10, 600])
def test_a_query_that_sees_nothing_gives_zeros(isa: str, keys: int) -> None:
    with using(isa):
        q, k, v = case(1, 2, 4, 2, 3, keys, 32)
        seen = mx.ones((2, 1, 3, keys), dtype=mx.bool_)
        seen[0, 0, 1] = False
        y = native.attention(q, k, v, 0.2, seen)
        assert (exact(y)[0, :, 1] == 0).all()
        assert_close(y, reference(q, k, v, 0.2, hidden(seen)))
        nothing = mx.where(seen, 0.0, -mx.inf)
        assert_close(native.attention(q, k, v, 0.2, nothing), exact(y))


@pytest.mark.parametrize("isa", ISAS)
def test_hidden_keys_may_hold_anything_but_not_values_that_are_no_numbers(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 1, 2, 2, 1, 40, 32)
        seen = mx.arange(40) >= 7
        before = native.attention(q, k, v, 0.2, seen)
        k[:, :, :7] = mx.nan
        v[:, :, :7] = 1e30
        assert bits_of(native.attention(q, k, v, 0.2, seen)) == bits_of(before)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", ["dense", "transposed", "sliced"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_strides(isa: str, layout: str, dtype: mx.Dtype) -> None:
    with using(isa):
        q, k, v = (strided(array, layout) for array in case(1, 2, 4, 2, 3, 20, 32, dtype=dtype))
        mask = strided(mx.array(np.random.default_rng(1).random((2, 4, 3, 20))), layout) < 0.6
        assert_close(native.attention(q, k, v, 0.2, mask), reference(q, k, v, 0.2, hidden(mask)))


@pytest.mark.parametrize("isa", ISAS)
def test_part_of_a_cache_that_is_longer(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 3, 4, 2, 1, 512, 64)
        part = k[..., 3:300, :], v[..., 3:300, :]
        assert_close(
            native.attention(q, *part, 0.125), reference(q, *part, 0.125, np.zeros((1, 1)))
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("keys", [40, 300, 900])
def test_a_row_is_the_same_alone_padded_and_in_a_prefill(isa: str, keys: int) -> None:
    with using(isa):
        q, k, v = case(1, 1, 6, 2, keys, keys, 64)
        whole = native.attention(q, k, v, 0.125, "causal")
        for at in (0, 1, keys // 2, keys - 1):
            end = at + 1
            one = native.attention(q[:, :, at:end], k[:, :, :end], v[:, :, :end], 0.125)
            assert bits_of(one) == bits_of(whole[:, :, at:end])
            padding = 13
            wide = [mx.pad(x[:, :, :end], [(0, 0), (0, 0), (padding, 0), (0, 0)]) for x in (k, v)]
            batch = [mx.concatenate([x, x + 1]) for x in wide]
            seen = mx.arange(end + padding)[None] >= mx.array([padding, 0])[:, None]
            rows = mx.concatenate([q[:, :, at:end], q[:, :, at:end] + 1])
            padded = native.attention(rows, *batch, 0.125, seen[:, None, None])
            assert bits_of(padded[:1]) == bits_of(one)


@pytest.mark.parametrize("isa", ISAS)
def test_scores_far_apart(isa: str) -> None:
    with using(isa):
        q, k, v = case(1, 1, 2, 1, 2, 600, 32)
        assert_close(native.attention(q, k, v, 300.0), reference(q, k, v, 300.0, np.zeros((1, 1))))


def test_what_is_not_covered() -> None:
    q, k, v = case(1, 1, 2, 1, 1, 5, 40)
    assert not native.can_attend(q, k, v)
    with pytest.raises(ValueError, match="not covered"):
        native.attention(q, k, v, 1.0)
    q, k, v = case(1, 1, 2, 1, 1, 5, 32)
    assert native.can_attend(q, k, v)
    assert not native.can_attend(q, k.astype(mx.float16), v)
    assert not native.can_attend(q[:, :, 0], k, v)
    assert not native.can_attend(q.astype(mx.int32), k, v)
    with pytest.raises(ValueError, match="mask"):
        native.attention(q, k, v, 1.0, "sliding")
    with pytest.raises(ValueError):
        native.attention(q, k, v, 1.0, mx.ones((7,), dtype=mx.bool_))
    with pytest.raises(ValueError, match="mask"):
        native.attention(q, k, v, 1.0, mx.ones((5,), dtype=mx.int32))


def test_no_keys_at_all() -> None:
    q, k, v = case(1, 1, 2, 1, 1, 0, 32)
    assert (exact(native.attention(q, k, v, 1.0)) == 0).all()
