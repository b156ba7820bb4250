"""Hashes of a prompt's blocks."""

from __future__ import annotations

from mlx_serving.text.block_hashes import BLOCK_TOKENS, block_hashes


def test_one_hash_per_full_block() -> None:
    tokens = list(range(3 * BLOCK_TOKENS + 5))
    assert len(block_hashes(tokens)) == 3
    assert block_hashes(tokens[:-6]) == block_hashes(tokens)[:2] + block_hashes(tokens[:-6])[2:]
    assert all(len(digest) == 16 for digest in block_hashes(tokens))
    assert block_hashes(tokens[: BLOCK_TOKENS - 1]) == []


def test_hashes_are_chained() -> None:
    a = [1] * (3 * BLOCK_TOKENS)
    b = [2, *a[1:]]
    assert all(x != y for x, y in zip(block_hashes(a), block_hashes(b), strict=True))
    assert len(set(block_hashes(a))) == 3
