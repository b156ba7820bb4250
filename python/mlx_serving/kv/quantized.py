"""KV caches whose keys and values are codes of 8 or 4 bits, for one row and for a batch.

As mlx-lm's models use a cache: with `bits` and `group_size`, by which its attention, or ours, knows
that keys and values are quantized: each is the three arrays that `mx.quantize` gives, codes, scales
and biases. mlx-lm's own quantized cache has no form for a batch.

A token is quantized when it is written, once, by itself: what is kept of it depends on no other
token, so a cache may be cut, joined, merged and trimmed like one that isn't quantized.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask
from mlx_lm.models.cache import create_attention_mask

from .padded import STEP_TOKENS, padded

Bits = Literal[4, 8]
Codes = list[mx.array]
"""Codes, scales and biases, each [rows, heads, tokens, …]."""
GROUP_SIZES: Final = (64, 32)
"""Elements that share a scale and a bias; the first that heads are made of is taken."""


@dataclass(frozen=True, slots=True)
class KvQuantization:
    bits: Bits
    group_size: int


@dataclass(frozen=True, slots=True)
class Heads:
    """What keys and values are like before they are quantized."""

    rows: int
    count: int
    key_dim: int
    value_dim: int
    dtype: mx.Dtype


class _Quantized(ABC):
    step: int = STEP_TOKENS

    def __init__(self, quantization: KvQuantization) -> None:
        self.quantization = quantization
        self.keys: Codes | None = None
        self.values: Codes | None = None

    @property
    def bits(self) -> int:
        return self.quantization.bits

    @property
    def group_size(self) -> int:
        return self.quantization.group_size

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @property
    @abstractmethod
    def used(self) -> int:
        """Tokens that are in the arrays, padding too."""

    @abstractmethod
    def _advance(self, tokens: int) -> None: ...

    def size(self) -> int:
        return self.used

    def empty(self) -> bool:
        return self.keys is None

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in [*(self.keys or []), *(self.values or [])])

    def make_room(self, heads: Heads, tokens: int) -> None:
        """So that as many more can be written behind what is there."""
        if self.keys is None or self.values is None:
            size = -(-tokens // self.step) * self.step
            self.keys = self._zeros(heads, heads.key_dim, size)
            self.values = self._zeros(heads, heads.value_dim, size)
        elif self.used + tokens > self.keys[0].shape[2]:
            size = self.used + -(-tokens // self.step) * self.step
            self.keys = [padded([(array, self.used)], self.used, size) for array in self.keys]
            self.values = [padded([(array, self.used)], self.used, size) for array in self.values]

    def _zeros(self, heads: Heads, dim: int, tokens: int) -> Codes:
        shape = (heads.rows, heads.count, tokens)
        groups = dim // self.group_size
        return [
            mx.zeros((*shape, dim * self.bits // 32), dtype=mx.uint32),
            mx.zeros((*shape, groups), dtype=heads.dtype),
            mx.zeros((*shape, groups), dtype=heads.dtype),
        ]

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[Codes, Codes]:
        rows, count, tokens, dim = keys.shape
        self.make_room(Heads(rows, count, dim, values.shape[3], keys.dtype), tokens)
        start, end = self.used, self.used + tokens
        for kept, new in ((self.keys, keys), (self.values, values)):
            codes = mx.quantize(new, group_size=self.group_size, bits=self.bits)
            for array, written in zip(cast(Codes, kept), codes, strict=True):
                array[..., start:end, :] = written
        self._advance(tokens)
        return self.keys_and_values()

    def keys_and_values(self) -> tuple[Codes, Codes]:
        return _first(cast(Codes, self.keys), self.used), _first(
            cast(Codes, self.values), self.used
        )

    def is_trimmable(self) -> bool:
        return True

    def trim(self, n: int) -> int:
        n = min(self.used, n)
        self._advance(-n)
        return n


def _first(codes: Codes, tokens: int) -> Codes:
    if tokens == codes[0].shape[2]:
        return codes
    return [array[..., :tokens, :] for array in codes]


class QuantizedCache(_Quantized):
    """Of one row."""

    def __init__(self, quantization: KvQuantization) -> None:
        super().__init__(quantization)
        self.offset = 0

    def wrote(self, keys: Codes, values: Codes, offset: int, tokens: int) -> None:
        """Takes what an operation of our own made of the arrays: so many tokens more, behind
        `used`, and the offset that follows."""
        self.keys, self.values, self.offset = keys, values, offset

    @property
    def rows(self) -> int:
        return 1

    @property
    def used(self) -> int:
        return self.offset

    def _advance(self, tokens: int) -> None:
        self.offset += tokens

    @property
    def state(self) -> tuple[Codes | None, Codes | None, int]:
        return self.keys, self.values, self.offset

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> Any:
        return create_attention_mask(
            n, offset=self.offset, return_array=return_array, window_size=window_size
        )

    @classmethod
    def merge(cls, caches: Sequence[QuantizedCache]) -> BatchQuantizedCache:
        return BatchQuantizedCache.of(caches)


class BatchQuantizedCache(_Quantized):
    """Of rows whose tokens end at the same place, `used`: before a row's first one is as much
    padding as `left_padding` says. `offset`: each row's own number of tokens."""

    def __init__(self, quantization: KvQuantization, left_padding: Sequence[int]) -> None:
        super().__init__(quantization)
        self.left_padding = mx.array(list(left_padding))
        self.offset = -self.left_padding
        self._idx = 0

    def wrote(self, keys: Codes, values: Codes, offset: mx.array, tokens: int) -> None:
        """As that of one row."""
        self.keys, self.values, self.offset = keys, values, offset
        self._idx += tokens

    @classmethod
    def of(cls, caches: Sequence[QuantizedCache]) -> BatchQuantizedCache:
        length = max(cache.offset for cache in caches)
        batch = cls(caches[0].quantization, [length - cache.offset for cache in caches])
        if length:
            batch.keys, batch.values = _padded(caches, length, length)
            batch._advance(length)
        return batch

    @property
    def rows(self) -> int:
        return self.offset.shape[0]

    @property
    def used(self) -> int:
        return self._idx

    def _advance(self, tokens: int) -> None:
        self._idx += tokens
        self.offset = self.offset + tokens

    @property
    def state(self) -> tuple[Codes | None, Codes | None, mx.array, mx.array]:
        return self.keys, self.values, self.offset, self.left_padding

    def make_mask(self, n: int, return_array: bool = False, **kwargs: Any) -> Any:
        return create_causal_mask(n, offset=self._idx, left_padding=self.left_padding, **kwargs)

    def extend(self, other: BatchQuantizedCache, room_tokens: int = STEP_TOKENS) -> None:
        """Takes the rows of `other` in, after its own. All is written once, with room for so many
        tokens more."""
        length = max(self._idx, other._idx)
        both = (self, other)
        if length:
            size = length + max(1, room_tokens)
            self.keys, self.values = _padded(both, length, size)
        self.left_padding = mx.concatenate(
            [cache.left_padding + (length - cache._idx) for cache in both]
        )
        self.offset = mx.concatenate([cache.offset for cache in both])
        self._idx = length

    def filter(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order, and no more padding than they need."""
        places = mx.array(list(rows))
        self.offset = self.offset[places]
        self.left_padding = self.left_padding[places]
        spare = min(cast(list[int], self.left_padding.tolist()))
        if self.keys is not None and self.values is not None:
            self.keys = [array[places][..., spare:, :] for array in self.keys]
            self.values = [array[places][..., spare:, :] for array in self.values]
        self._idx -= spare
        self.left_padding = self.left_padding - spare

    def extract(self, row: int) -> QuantizedCache:
        """A copy of one row."""
        cache = QuantizedCache(self.quantization)
        if self.keys is None or self.values is None:
            return cache
        padding = cast(list[int], self.left_padding.tolist())[row]
        cache.keys, cache.values = (
            [mx.contiguous(array[row : row + 1, :, padding : self._idx]) for array in codes]
            for codes in (self.keys, self.values)
        )
        cache.offset = self._idx - padding
        return cache


def _padded(caches: Sequence[_Quantized], length: int, size: int) -> tuple[Codes, Codes]:
    """Keys and values of all caches in one; those without any have rows of padding alone."""
    keys = [cache.keys for cache in caches]
    values = [cache.values for cache in caches]
    return _padded_codes(keys, caches, length, size), _padded_codes(values, caches, length, size)


def _padded_codes(
    codes: Sequence[Codes | None], caches: Sequence[_Quantized], length: int, size: int
) -> Codes:
    like = next(arrays for arrays in codes if arrays is not None)
    written: Codes = []
    for place, array in enumerate(like):
        parts = [
            (mx.zeros((cache.rows, *array.shape[1:]), dtype=array.dtype), 0)
            if arrays is None
            else (arrays[place], cache.used)
            for arrays, cache in zip(codes, caches, strict=True)
        ]
        written.append(padded(parts, length, size))
    return written
