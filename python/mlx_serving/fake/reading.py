"""What the fake engine reads: vectors and probabilities that depend on the tokens alone."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from ..engine import ReadResult, RowLogprobs
from ..messages import Embed, Reading
from ..tokens import pack_tokens
from .text import VOCABULARY

DIMENSIONS: Final = 32


def read(id: int, prompt: list[int], reading: Reading) -> ReadResult:
    if isinstance(reading, Embed):
        return ReadResult(id, vectors=_vectors(prompt, reading.lengths))
    scored = [(token, made_up(token, reading.top)) for token in prompt[1:]]
    return ReadResult(id, logprobs=[(prompt[0], None), *scored])


def made_up(token: int, count: int) -> RowLogprobs:
    """The token has 1/2, the next likely 1/4 and so on."""
    others = [((token + i) % VOCABULARY, -0.6931 * (i + 1)) for i in range(count)]
    return RowLogprobs(-0.6931, others)


def _vectors(prompt: list[int], lengths: Sequence[int]) -> bytes:
    out, begin = b"", 0
    for length in lengths:
        out += struct.pack(f"<{DIMENSIONS}f", *_vector(prompt[begin : begin + length]))
        begin += length
    return out


def _vector(tokens: list[int]) -> list[float]:
    """Of length 1; the same text has the same."""
    drawn = blake2b(pack_tokens(tokens), digest_size=DIMENSIONS).digest()
    numbers = [byte - 127.5 for byte in drawn]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]
