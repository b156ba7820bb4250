"""Every type of quantized block, against llama.cpp's own arithmetic."""

from __future__ import annotations

import gguf
import mlx.core as mx
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from mlx_serving.models.gguf.codes import GROUP, Codes, codes_of

from gguf_models import HALVES, random_blocks

VALUES = 256 * 64
# Values that become codes of 8 bits are off by half a step of them.
RECODED = {Type.Q2_K, Type.Q3_K, Type.Q6_K}


@pytest.mark.parametrize("type", HALVES)
def test_values_are_llama_cpps(type: Type) -> None:
    blocks = random_blocks(type, VALUES)
    expected = gguf.quants.dequantize(blocks, type).reshape(-1, GROUP)
    codes = codes_of(type.name, blocks)
    values = codes.codes * codes.scales[:, None] + codes.biases[:, None]
    if type in RECODED:
        span = expected.max(axis=1) - expected.min(axis=1)
        assert codes.bits == 8
        assert np.all(np.abs(values - expected) <= 0.501 * span[:, None] / 255)
    else:
        assert np.array_equal(values, expected)


@pytest.mark.parametrize("type", HALVES)
def test_mlx_reads_them(type: Type) -> None:
    codes = codes_of(type.name, random_blocks(type, VALUES))
    rows = (64, -1)
    read = mx.dequantize(
        mx.array(codes.packed()).reshape(rows),
        mx.array(codes.scales).reshape(rows),
        mx.array(codes.biases).reshape(rows),
        group_size=GROUP,
        bits=codes.bits,
    )
    values = codes.codes * codes.scales[:, None] + codes.biases[:, None]
    assert np.array_equal(np.array(read).reshape(-1, GROUP), values)


def test_values_that_are_all_the_same_have_no_steps() -> None:
    blocks = random_blocks(Type.Q6_K, 256)
    blocks[:, 192:208] = 0
    assert not np.any(codes_of("Q6_K", blocks).codes)


def test_codes_lie_bit_after_bit() -> None:
    ascending = np.arange(32, dtype=np.uint8)[None]
    packed = Codes(5, ascending, np.ones(1, np.float32), np.zeros(1, np.float32)).packed()
    assert len(packed) == 5
    whole = int.from_bytes(packed.tobytes(), "little")
    assert [whole >> 5 * at & 31 for at in range(32)] == list(range(32))
