"""Rows of different length in one array: each row's tokens end at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

STEP_TOKENS: Final = 256
"""An array of tokens grows by so many at once, as mlx-lm's do, unless told otherwise."""


def padded(parts: Sequence[tuple[mx.array, int]], length: int, size: int) -> mx.array:
    """The rows of all arrays [rows, heads, tokens, width] in a new one of `size` tokens, so many
    tokens of each as it says before place `length`. The rest is zeros."""
    first = parts[0][0]
    rows = sum(array.shape[0] for array, _ in parts)
    written = mx.zeros((rows, first.shape[1], size, first.shape[3]), dtype=first.dtype)
    row = 0
    for array, tokens in parts:
        end = row + array.shape[0]
        if tokens:
            written[row:end, :, length - tokens : length] = array[..., :tokens, :]
        row = end
    return written
