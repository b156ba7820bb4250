"""What every prompt cache promises. A new implementation is added to the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.flat_prompt_cache import FlatPromptCache
from mlx_serving.mlx.prompt_cache import Match, PromptCache, PromptCacheFigures

from prefixes import Trimmer, found, put

NewCache = Callable[[int], PromptCache]
"""Of so many bytes."""

IMPLEMENTATIONS: dict[str, NewCache] = {
    "flat": lambda bytes_max: FlatPromptCache(Trimmer(), bytes_max),
}
ids = st.lists(st.integers(0, 3), max_size=12)


@pytest.fixture(params=IMPLEMENTATIONS.values(), ids=list(IMPLEMENTATIONS), scope="module")
def new(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_an_empty_cache_finds_nothing(new: NewCache) -> None:
    cache = new(100)
    assert found(cache, [1, 2]) is None and found(cache, []) is None
    assert cache.figures() == PromptCacheFigures(0, 0, 100)


def test_a_beginning_of_what_is_kept_is_found(new: NewCache) -> None:
    cache = new(100)
    put(cache, [1, 2, 3, 4, 5])
    assert found(cache, [1, 2, 3, 9]) == [1, 2, 3]
    assert found(cache, [1, 2, 3, 9], unit_tokens=2) == [1, 2]
    assert found(cache, [1, 2, 3, 9], unit_tokens=4) is None
    assert found(cache, [1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5]
    assert found(cache, [2, 3]) is None


@given(st.lists(st.tuples(ids, st.integers(0, 40)), max_size=30), ids, st.integers(1, 4))
def test_its_limit_holds_and_whole_units_are_found(
    new: NewCache, puts: list[tuple[list[int], int]], wanted: list[int], unit_tokens: int
) -> None:
    cache = new(60)
    for tokens, size in puts:
        put(cache, tokens, size)
        figures = cache.figures()
        assert 0 <= figures.size_bytes <= figures.bytes_max == 60
    assert len(found(cache, wanted, unit_tokens) or []) % unit_tokens == 0


@given(st.lists(st.tuples(ids, st.booleans()), max_size=20), ids)
def test_what_cannot_be_cut_back_is_never_cut_back(
    new: NewCache, puts: list[tuple[list[int], bool]], wanted: list[int]
) -> None:
    cache = new(10_000)
    for tokens, whole in puts:
        put(cache, tokens, whole=whole)
    found(cache, wanted)


def test_a_match_is_the_callers_own(new: NewCache) -> None:
    cache = new(100)
    put(cache, [1, 2, 3])
    for _ in range(2):
        match = cache.match([1, 2, 3, 4], 1)
        assert isinstance(match, Match) and match.cache[0].tokens == [1, 2, 3]
        match.cache[0].tokens.append(99)
        match.cache[0].nbytes += 7
        cache.check()


def test_too_big_an_entry_drops_nothing(new: NewCache) -> None:
    cache = new(20)
    put(cache, [1], 20)
    put(cache, [2], 21)
    assert found(cache, [1]) and found(cache, [2]) is None


def test_what_cannot_be_shortened_is_found_as_a_whole_only(new: NewCache) -> None:
    cache = new(100)
    put(cache, [1, 2, 3], whole=True)
    assert found(cache, [1, 2, 4]) is None
    assert found(cache, [1, 2, 3, 4]) == [1, 2, 3]
    assert found(cache, [1, 2, 3, 4], unit_tokens=2) is None
    put(cache, [1, 2], whole=True)
    assert found(cache, [1, 2, 9]) == [1, 2]


def test_eviction_gives_back_what_is_asked_for_or_all_there_is(new: NewCache) -> None:
    cache = new(100)
    for token in range(4):
        put(cache, [token])
    assert found(cache, [0])
    assert cache.evict(0) == cache.evict(-5) == 0
    assert 11 <= cache.evict(11) < 40
    cache.check()
    # The least recently used ones.
    assert found(cache, [1]) is None and found(cache, [0])
    left = cache.figures().size_bytes
    assert cache.evict(1000) == left > 0 and cache.evict(1) == 0
    assert cache.figures() == PromptCacheFigures(0, 0, 100)
    assert found(cache, [0]) is None
