"""The flat prompt cache: which entries it finds, keeps and drops, to the entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.messages import pack_tokens
from mlx_serving.mlx.flat_prompt_cache import FlatPromptCache, common_tokens
from mlx_serving.mlx.prompt_cache import PromptCacheFigures

from prefixes import Trimmer, found, put

ids = st.lists(st.integers(0, 3), max_size=12)


def new(bytes_max: int, entries_max: int = 256) -> FlatPromptCache:
    return FlatPromptCache(Trimmer(), bytes_max, entries_max)


@given(ids, ids)
def test_common_tokens(a: list[int], b: list[int]) -> None:
    expected = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        expected += 1
    assert common_tokens(pack_tokens(a), pack_tokens(b)) == expected


@given(st.lists(st.tuples(ids, st.integers(0, 40)), max_size=30), ids, st.integers(1, 4))
def test_the_limit_holds_and_the_longest_prefix_is_found(
    puts: list[tuple[list[int], int]], wanted: list[int], unit_tokens: int
) -> None:
    cache = new(60, entries_max=4)
    for tokens, size in puts:
        put(cache, tokens, size)
        figures = cache.figures()
        assert figures.size_bytes <= figures.bytes_max == 60 and figures.entries <= 4
    kept = [entry.cache[0].tokens for entry in cache._entries.values()]
    best = max((common_tokens(pack_tokens(k), pack_tokens(wanted)) for k in kept), default=0)
    assert len(found(cache, wanted, unit_tokens) or []) == best - best % unit_tokens


def test_least_recently_used_goes_first() -> None:
    cache = new(20)
    put(cache, [1, 1])
    put(cache, [2, 2])
    assert found(cache, [1, 1, 5])
    put(cache, [3, 3])
    assert found(cache, [2, 2]) is None
    assert found(cache, [1, 1])


def test_longer_entries_stand_for_shorter_ones() -> None:
    cache = new(100)
    put(cache, [1, 2], 10)
    put(cache, [1, 2, 3], 15)
    assert cache.figures() == PromptCacheFigures(1, 15, 100)
    put(cache, [1], 5)
    assert cache.figures().entries == 1


def test_a_contradiction_is_told() -> None:
    cache = new(100)
    put(cache, [1, 2])
    cache._entries[pack_tokens([1, 2])].cache[0].nbytes = 11
    with pytest.raises(AssertionError, match="size"):
        cache.check()
