"""Token ids as they travel: packed as little-endian u32."""

from __future__ import annotations

import sys
from array import array


def pack_tokens(tokens: list[int]) -> bytes:
    packed = array("I", tokens)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_tokens(data: bytes) -> list[int]:
    """The reverse of `pack_tokens`; `len(data)` must be a multiple of 4."""
    packed = array("I")
    packed.frombytes(data)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()
