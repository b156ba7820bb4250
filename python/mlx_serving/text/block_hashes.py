"""Hashes of a prompt's blocks: the orchestrator places a request by them on the worker that has
computed the longest part of its prompt.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from ..messages import pack_tokens

BLOCK_TOKENS: Final = 64
HASH_BYTES: Final = 8


def block_hashes(tokens: list[int], salt: str = "") -> list[str]:
    """One hash per full block of 64 tokens, each over everything before it too: two prompts share
    their first n hashes exactly when they share their first 64 n tokens, and their salt."""
    packed = pack_tokens(tokens)
    step = BLOCK_TOKENS * 4
    hashes: list[str] = []
    previous = salt.encode()
    for start in range(0, len(packed) - step + 1, step):
        previous = blake2b(previous + packed[start : start + step], digest_size=HASH_BYTES).digest()
        hashes.append(previous.hex())
    return hashes
