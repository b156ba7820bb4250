"""Hashes of a prompt's blocks: the orchestrator places a request by them on the worker that has
computed the longest part of its prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from ..tokens import pack_tokens

BLOCK_TOKENS: Final = 64
HASH_BYTES: Final = 8


def block_hashes(tokens: list[int], salt: str = "") -> list[str]:
    """One hash per full block of 64 tokens, each over everything before it too: two prompts share
    their first n hashes exactly when they share their first 64 n tokens, and their salt."""
    return [digest.hex() for digest in digests(salt.encode(), pack_tokens(tokens))]


def digests(previous: bytes, packed: bytes) -> Iterator[bytes]:
    """Of the blocks of packed tokens, after one whose digest is `previous`, or a salt."""
    step = BLOCK_TOKENS * 4
    for start in range(0, len(packed) - step + 1, step):
        previous = blake2b(previous + packed[start : start + step], digest_size=HASH_BYTES).digest()
        yield previous
