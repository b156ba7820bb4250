"""Blocks of quantized values as MLX has them: codes, and a scale and a bias for each 32 of them.

llama.cpp's plain types and two of its K types are such affine quantizations in another order of
bits: they lose nothing here. The other K types scale each 16 values, for which MLX has no kernels:
their values become codes of 8 bits. What stands where in a block: ggml-common.h and ggml-quants.c
of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

# numpy's types forget the width of what is computed.
Bytes = np.ndarray[Any, Any]
Floats = np.ndarray[Any, Any]

GROUP: Final = 32
RECODED_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Codes:
    """A value is `codes * scale + bias` of its group; `codes`: [groups, 32], one in each byte."""

    bits: int
    codes: Bytes
    scales: Floats
    biases: Floats

    def packed(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """As MLX's kernels read them: bit after bit, the lowest first."""
        if self.bits == 8:
            data = np.ascontiguousarray(self.codes)
        elif self.bits == 4:
            data = self.codes[:, 0::2] | self.codes[:, 1::2] << 4
        else:
            bits = np.unpackbits(self.codes[..., None], axis=-1, count=self.bits, bitorder="little")
            data = np.packbits(bits.reshape(len(bits), -1), axis=-1, bitorder="little")
        return data.reshape(-1).view("<u4")


def codes_of(name: str, blocks: Bytes) -> Codes:
    """`blocks`: [blocks, bytes] of a type that is codes, or is recoded."""
    match name:
        case "Q4_0":
            return _centred(4, _half(blocks, 0), _nibbles(blocks[:, 2:]))
        case "Q4_1":
            return _codes(4, _nibbles(blocks[:, 4:]), _half(blocks, 0), _half(blocks, 2))
        case "Q5_0":
            codes = _nibbles(blocks[:, 6:]) | _bits(blocks[:, 2:6]) << 4
            return _centred(5, _half(blocks, 0), codes)
        case "Q5_1":
            codes = _nibbles(blocks[:, 8:]) | _bits(blocks[:, 4:8]) << 4
            return _codes(5, codes, _half(blocks, 0), _half(blocks, 2))
        case "Q8_0":
            return _centred(8, _half(blocks, 0), blocks[:, 2:] ^ 0x80)
        case "Q4_K":
            return _in_groups(4, blocks, _four_bits(blocks[:, 16:]))
        case "Q5_K":
            high = blocks[:, 16:48, None] >> np.arange(8, dtype=np.uint8) & 1
            codes = _four_bits(blocks[:, 48:]) | high.transpose(0, 2, 1) << 4
            return _in_groups(5, blocks, codes)
        case "Q2_K":
            return _recoded(_values_q2(blocks))
        case "Q3_K":
            return _recoded(_values_q3(blocks))
        case "Q6_K":
            return _recoded(_values_q6(blocks))
    raise AssertionError(f"{name} is no type of codes")


def _codes(bits: int, codes: Bytes, scales: Floats, biases: Floats) -> Codes:
    return Codes(bits, codes.reshape(-1, GROUP), scales.reshape(-1), biases.reshape(-1))


def _centred(bits: int, scales: Floats, codes: Bytes) -> Codes:
    """Codes whose middle stands for 0."""
    return _codes(bits, codes, scales, scales * -float(1 << (bits - 1)))


def _half(blocks: Bytes, at: int) -> Floats:
    """[blocks, 1]: the 16-bit number that stands there in each."""
    halves = np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2")
    return halves.astype(np.float32)


def _nibbles(data: Bytes) -> Bytes:
    """Of 16 bytes 32 values: the low halves, then the high ones."""
    return np.concatenate([data & 15, data >> 4], axis=1)


def _bits(data: Bytes) -> Bytes:
    return np.unpackbits(np.ascontiguousarray(data), axis=1, bitorder="little")


def _four_bits(data: Bytes) -> Bytes:
    """[blocks, 8, 32]: of each 32 bytes the low halves, then the high ones."""
    runs = data.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8)[:, None] & 15
    return runs.reshape(-1, 8, 32)


def _in_groups(bits: int, blocks: Bytes, codes: Bytes) -> Codes:
    """Eight groups to a block, whose scales and minima are numbers of 6 bits."""
    first, second, third = (blocks[:, at : at + 4] for at in (4, 8, 12))
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    return _codes(bits, codes, _half(blocks, 0) * scales, -_half(blocks, 2) * minima)


def _recoded(values: Floats) -> Codes:
    groups = values.reshape(-1, GROUP)
    low = groups.min(axis=1)
    step = (groups.max(axis=1) - low) / np.float32(2**RECODED_BITS - 1)
    codes = np.rint((groups - low[:, None]) / np.where(step == 0, 1, step)[:, None])
    return Codes(RECODED_BITS, codes.astype(np.uint8), step, low)


def _two_bits(data: Bytes) -> Bytes:
    """[blocks, 16, 16]: of each 32 bytes the lowest two bits, then the next ones."""
    runs = data.reshape(len(data), -1, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    return runs.reshape(len(data), 16, 16)


def _values_q2(blocks: Bytes) -> Floats:
    scales, codes = blocks[:, :16], _two_bits(blocks[:, 16:80])
    steps, minima = _half(blocks, 80) * (scales & 15), _half(blocks, 82) * (scales >> 4)
    values: Floats = steps[..., None] * codes - minima[..., None]
    return values


def _values_q3(blocks: Bytes) -> Floats:
    low, high = blocks[:, 96:104], blocks[:, 104:108]
    fours = np.concatenate([low & 15, low >> 4], axis=1)
    twos = np.concatenate([high >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    scales = (fours | twos << 4).astype(np.int8) - 32
    signs = (blocks[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 16, 16)
    # A bit that is not set takes 4 off.
    codes = _two_bits(blocks[:, 32:96]).astype(np.int8) - ((signs ^ 1) << 2).astype(np.int8)
    values: Floats = (_half(blocks, 108) * scales)[..., None] * codes
    return values


def _values_q6(blocks: Bytes) -> Floats:
    count = len(blocks)
    runs = blocks[:, :128].reshape(count, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & 15
    high = _two_bits(blocks[:, 128:192]).reshape(count, 16, 16)
    codes = (runs.reshape(count, 16, 16) | high << 4).astype(np.int8) - 32
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    return (_half(blocks, 208) * scales)[..., None] * codes
