"""The prefix cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.messages import pack_tokens
from mlx_serving.mlx.prefix import PrefixCache, common_tokens

ids = st.lists(st.integers(0, 3), max_size=12)


@given(ids, ids)
def test_common_tokens(a: list[int], b: list[int]) -> None:
    expected = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        expected += 1
    assert common_tokens(pack_tokens(a), pack_tokens(b)) == expected


@given(st.lists(st.tuples(ids, st.integers(0, 40)), max_size=30), ids)
def test_the_limit_holds_and_the_longest_prefix_is_found(
    puts: list[tuple[list[int], int]], wanted: list[int]
) -> None:
    cache: PrefixCache[list[int]] = PrefixCache(bytes_max=60, entries_max=4)
    for tokens, size in puts:
        cache.put(tokens, tokens, size, whole=False)
        assert cache.size_bytes <= 60 and len(cache) <= 4
    kept = [entry.value for entry in cache._entries.values()]
    assert cache.size_bytes == sum(entry.size_bytes for entry in cache._entries.values())
    best = max((common_tokens(pack_tokens(k), pack_tokens(wanted)) for k in kept), default=0)
    found = cache.longest(wanted)
    assert (found[1] if found else 0) == best


def test_least_recently_used_goes_first() -> None:
    cache: PrefixCache[str] = PrefixCache(bytes_max=20)
    cache.put([1, 1], "a", 10, whole=False)
    cache.put([2, 2], "b", 10, whole=False)
    assert cache.longest([1, 1, 5]) is not None
    cache.put([3, 3], "c", 10, whole=False)
    assert cache.longest([2, 2]) is None
    assert cache.longest([1, 1]) is not None


def test_too_big_an_entry_drops_nothing() -> None:
    cache: PrefixCache[str] = PrefixCache(bytes_max=20)
    cache.put([1], "a", 20, whole=False)
    cache.put([2], "b", 21, whole=False)
    assert cache.longest([1]) is not None and cache.longest([2]) is None


def test_longer_entries_stand_for_shorter_ones() -> None:
    cache: PrefixCache[str] = PrefixCache(bytes_max=100)
    cache.put([1, 2], "short", 10, whole=False)
    cache.put([1, 2, 3], "long", 15, whole=False)
    assert len(cache) == 1 and cache.size_bytes == 15
    cache.put([1], "shorter", 5, whole=False)
    assert len(cache) == 1


def test_what_cannot_be_shortened_is_found_as_a_whole_only() -> None:
    cache: PrefixCache[str] = PrefixCache(bytes_max=100)
    cache.put([1, 2, 3], "state", 10, whole=True)
    assert cache.longest([1, 2, 4]) is None
    found = cache.longest([1, 2, 3, 4])
    assert found is not None and found[1] == 3
    cache.put([1, 2], "earlier", 10, whole=True)
    found = cache.longest([1, 2, 9])
    assert found is not None and found[0].value == "earlier"
