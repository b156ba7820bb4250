"""Token ids on the wire: little-endian u32, whatever machine it is."""

from __future__ import annotations

from mlx_serving.tokens import pack_tokens, unpack_tokens


def test_tokens_are_packed_as_little_endian_u32() -> None:
    assert pack_tokens([1, 0x01020304]) == b"\x01\0\0\0\x04\x03\x02\x01"
    assert pack_tokens([]) == b""


def test_they_come_back_as_they_were() -> None:
    tokens = [0, 1, 70_000, 0xFFFF_FFFF]
    assert unpack_tokens(pack_tokens(tokens)) == tokens
