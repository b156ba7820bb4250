"""What every prompt cache promises. A new implementation is added to the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.mlx.prompt_cache import Match, PromptCache, PromptCacheFigures
from mlx_serving.mlx.whole_cache import WholePromptCache

from prefixes import Trimmer, found, put

NewCache = Callable[[int], PromptCache]
"""Of so many bytes."""

IMPLEMENTATIONS: dict[str, NewCache] = {
    "whole": lambda bytes_max: WholePromptCache(Trimmer(), bytes_max),
    "block": lambda bytes_max: BlockPromptCache(Trimmer(), bytes_max, 1, match_tokens_min=1),
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


def test_nothing_is_shared_under_another_salt(new: NewCache) -> None:
    cache = new(100)
    put(cache, [1, 2, 3], salt="a")
    assert found(cache, [1, 2, 3], salt="b") is None and found(cache, [1, 2, 3]) is None
    put(cache, [1, 2], salt="b")
    assert found(cache, [1, 2, 3], salt="b") == [1, 2]
    assert found(cache, [1, 2, 3], salt="a") == [1, 2, 3]


@given(
    st.lists(st.tuples(ids, st.integers(0, 40), st.sampled_from(["", "a"])), max_size=30),
    ids,
    st.integers(1, 4),
)
def test_its_limit_holds_and_whole_units_are_found(
    new: NewCache, puts: list[tuple[list[int], int, str]], wanted: list[int], unit_tokens: int
) -> None:
    cache = new(60)
    for tokens, size, salt in puts:
        put(cache, tokens, size, salt=salt)
        figures = cache.figures()
        assert 0 <= figures.size_bytes <= figures.bytes_max == 60
    assert len(found(cache, wanted, unit_tokens) or []) % unit_tokens == 0


def test_a_match_is_the_callers_own(new: NewCache) -> None:
    cache = new(100)
    put(cache, [1, 2, 3])
    for _ in range(2):
        match = cache.match([1, 2, 3, 4], 1)
        assert isinstance(match, Match) and match.cache[0].tokens == [1, 2, 3]
        match.cache[0].tokens.append(99)
        match.cache[0].nbytes += 7
        cache.check()


def test_to_ask_is_no_use(new: NewCache) -> None:
    cache = new(20)
    put(cache, [1])
    put(cache, [2])
    assert cache.peek([1, 5], 1) == 1 and cache.counts().hit == 0
    put(cache, [3])
    assert cache.peek([1, 5], 1) == 0 and cache.peek([2, 5], 1) == 1


def test_what_is_lent_is_left_to_others_until_it_is_given_back(new: NewCache) -> None:
    cache = new(40)
    for token in range(4):
        put(cache, [token])
    cache.lend(25)
    cache.check()
    kept = cache.figures()
    assert 0 < kept.size_bytes <= 15 and kept.bytes_max == 40
    assert found(cache, [0]) is None and found(cache, [3])
    put(cache, [4])
    cache.check()
    assert cache.figures().size_bytes <= 15 and found(cache, [4])
    cache.lend(1000)
    put(cache, [5])
    cache.check()
    assert cache.figures() == PromptCacheFigures(0, 0, 40)
    cache.lend(0)
    for token in range(4):
        put(cache, [token])
    assert all(found(cache, [token]) for token in range(4))


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
