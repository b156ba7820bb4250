"""The prompt cache of whole records: which it finds, keeps and drops, to the record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.engine import PrefixCounts
from mlx_serving.mlx.prompt_cache import PromptCacheFigures
from mlx_serving.mlx.whole_cache import CHAIN_MAX, WholePromptCache, common_tokens
from mlx_serving.tokens import pack_tokens

from prefixes import Trimmer, found, put

ids = st.lists(st.integers(0, 3), max_size=12)


def new(bytes_max: int, records_max: int = 256) -> WholePromptCache:
    return WholePromptCache(Trimmer(), bytes_max, records_max)


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
    cache = new(60, records_max=4)
    for tokens, size in puts:
        put(cache, tokens, size)
        figures = cache.figures()
        assert figures.size_bytes <= figures.bytes_max == 60 and figures.entries <= 4
    kept = [record.cache[0].tokens for record in cache._records.values()]
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


def test_longer_records_stand_for_shorter_ones() -> None:
    cache = new(100)
    put(cache, [1, 2], 10)
    put(cache, [1, 2, 3], 15)
    assert cache.figures() == PromptCacheFigures(1, 15, 100)
    assert put(cache, [1], 5) == []
    assert cache.figures().entries == 1
    # Not under another salt.
    put(cache, [1], 5, salt="other")
    assert cache.figures().entries == 2


@given(st.lists(st.tuples(ids, st.booleans()), max_size=20), ids)
def test_what_cannot_be_cut_back_is_never_cut_back(
    puts: list[tuple[list[int], bool]], wanted: list[int]
) -> None:
    cache = new(10_000)
    for tokens, whole in puts:
        put(cache, tokens, whole=whole)
    found(cache, wanted)


def test_too_big_a_record_drops_nothing() -> None:
    cache = new(20)
    put(cache, [1], 20)
    put(cache, [2], 21)
    assert found(cache, [1]) and found(cache, [2]) is None


def test_what_cannot_be_shortened_is_found_as_a_whole_only() -> None:
    cache = new(100)
    put(cache, [1, 2, 3], whole=True)
    assert found(cache, [1, 2, 4]) is None
    assert found(cache, [1, 2, 3, 4]) == [1, 2, 3]
    assert found(cache, [1, 2, 3, 4], unit_tokens=2) is None
    put(cache, [1, 2], whole=True)
    assert found(cache, [1, 2, 9]) == [1, 2]
    # What is there is not copied again.
    assert put(cache, [1, 2], whole=True) == []


def test_a_chain_has_few_records_and_they_are_far_apart() -> None:
    cache = new(1000)
    for end in (20, 40, 41, 60, 80, 82):
        put(cache, list(range(end)), whole=True)
    lengths = sorted(record.tokens for record in cache._records.values())
    assert len(lengths) == CHAIN_MAX and lengths == [20, 40, 60, 82]
    # Another conversation with the same beginning has its own chain.
    put(cache, [*range(40), 7, 7], whole=True)
    assert found(cache, [*range(40), 7, 7, 1]) == [*range(40), 7, 7]
    assert found(cache, list(range(70))) == list(range(60))


def test_tokens_are_counted_with_their_reasons() -> None:
    cache = new(20)
    assert cache.match([1, 2, 3, 4], 1) is None
    put(cache, [1, 2, 3], whole=True)
    assert cache.match([1, 2, 3, 4], 1) and not cache.match([1, 2, 9], 1)
    assert not cache.match([1, 2, 3], 1, "other")
    counts = PrefixCounts(hit=3, never_seen=4 + 1 + 1, below_block=2, other_salt=3)
    assert cache.counts() == counts
    put(cache, [5], 20)
    assert not cache.match([1, 2, 3, 4], 1)
    assert (counts := cache.counts()).evicted == 3 and counts.evictions == 1


def test_a_contradiction_is_told() -> None:
    cache = new(100)
    put(cache, [1, 2])
    cache._records["", pack_tokens([1, 2])].cache[0].nbytes = 11
    with pytest.raises(AssertionError, match="size"):
        cache.check()
