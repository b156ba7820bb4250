"""Rows of different length in one array."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_serving.kv.padded import padded


def test_each_row_ends_at_the_same_place() -> None:
    short = mx.full((1, 2, 4, 3), 1.0)
    long = mx.full((2, 2, 9, 3), 2.0)
    written = padded([(short, 3), (long, 5)], 6, 8)
    assert written.shape == (3, 2, 8, 3)
    seen = written[:, 0, :, 0].tolist()
    assert seen == [[0, 0, 0, 1, 1, 1, 0, 0], *[[0, 2, 2, 2, 2, 2, 0, 0]] * 2]


def test_rows_without_tokens_are_padding_alone() -> None:
    empty = mx.zeros((2, 1, 4, 1))
    filled = mx.ones((1, 1, 4, 1))
    assert padded([(empty, 0), (filled, 2)], 2, 2)[:, 0, :, 0].tolist() == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize("dtype", [mx.uint32, mx.float16, mx.bfloat16])
def test_the_type_stays(dtype: mx.Dtype) -> None:
    assert padded([(mx.ones((1, 1, 2, 1), dtype=dtype), 2)], 2, 4).dtype == dtype
