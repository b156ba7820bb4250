"""Which prefixes are used and which caches are kept, asked of a prompt cache that remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mlx_serving.mlx.caches import Cache
from mlx_serving.mlx.chunk_policy import ChunkPolicy, FixedBorders, FreeLengths, Units
from mlx_serving.mlx.prefix_policy import PrefixPolicy
from mlx_serving.mlx.prompt_cache import Match, PromptCacheFigures
from mlx_serving.mlx.row import Row
from mlx_serving.mlx.sampling import RowSampling

from toy import VOCABULARY, request


class Remembering:
    """A `PromptCache` with one answer."""

    def __init__(self, bytes_max: int = 100, match: Match | None = None) -> None:
        self._bytes_max, self._match = bytes_max, match
        self.asked: list[tuple[list[int], int]] = []
        self.kept: list[list[int]] = []
        self.caches: list[Cache] = []

    def match(self, tokens: Sequence[int], unit_tokens: int) -> Match | None:
        self.asked.append((list(tokens), unit_tokens))
        return self._match

    def insert(self, tokens: Sequence[int], cache: Cache) -> None:
        self.kept.append(list(tokens))
        self.caches.append(cache)

    def evict(self, size_bytes: int) -> int:
        raise AssertionError("nothing asks for memory here")

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(0, 7, self._bytes_max)

    def check(self) -> None:
        pass


class Caches:
    model: Any = None

    def new(self) -> Cache:
        return ["new"]

    def can_trim(self, cache: Cache) -> bool:
        return True

    def trim(self, cache: Cache, tokens: int) -> None:
        raise AssertionError("a match is as long as it says")


class OneRow:
    """A `Batch`, as far as it is asked."""

    def extract(self, of: Row) -> Cache:
        return ["extracted"]


def row(done: int = 0, reused: int = 0, length: int = 300) -> Row:
    asked = request(1, list(range(length)))
    sampling = RowSampling(asked.sampling, asked.prompt, [], VOCABULARY)
    tokens = asked.prompt
    return Row(
        asked, sampling, tokens[:-1], tokens[-1], [], ["own"], done, reused, 0, 0, -1, 5, 0, [7, 8]
    )


def policy(prompt_cache: Remembering, chunks: ChunkPolicy) -> PrefixPolicy:
    return PrefixPolicy(prompt_cache, Caches(), chunks)


@pytest.mark.parametrize(
    ("chunks", "unit"), [(FreeLengths(), 1), (Units(64), 64), (FixedBorders(), 128)]
)
def test_the_last_token_is_left_and_units_are_asked_for(chunks: ChunkPolicy, unit: int) -> None:
    empty = Remembering()
    assert policy(empty, chunks).start([1, 2, 3]) == (["new"], 0)
    assert empty.asked == [([1, 2], unit)]
    full = Remembering(match=Match(["theirs"], 2))
    assert policy(full, chunks).start([1, 2, 3]) == (["theirs"], 2)


@pytest.mark.parametrize(
    ("chunks", "done", "kept"),
    [
        (FreeLengths(), 200, False),
        (FreeLengths(), 299, True),
        (Units(64), 256, False),
        (Units(64), 299, True),
        (FixedBorders(), 128, False),
        (FixedBorders(), 256, True),
        (FixedBorders(), 299, False),
    ],
)
def test_a_prompt_is_kept_where_it_is_cut(chunks: ChunkPolicy, done: int, kept: bool) -> None:
    prompt_cache, mine = Remembering(), row(done)
    policy(prompt_cache, chunks).keep_prompt(mine)
    assert prompt_cache.kept == ([list(range(done))] if kept else [])
    # The row goes on with its own.
    assert all(cache == mine.cache and cache is not mine.cache for cache in prompt_cache.caches)


def test_a_prompt_that_was_cached_is_not_kept_again() -> None:
    prompt_cache = Remembering()
    policy(prompt_cache, FreeLengths()).keep_prompt(row(299, reused=299))
    assert prompt_cache.kept == []


@pytest.mark.parametrize("chunks", [FreeLengths(), Units(64), FixedBorders()], ids=repr)
def test_an_answer_is_kept_with_its_prompt(chunks: ChunkPolicy) -> None:
    prompt_cache = Remembering()
    batch: Any = OneRow()
    policy(prompt_cache, chunks).keep_answer(row(), batch)
    assert prompt_cache.kept == ([[*range(300), 7, 8]] if chunks.keeps_answers else [])


def test_without_memory_nothing_is_copied() -> None:
    prompt_cache = Remembering(bytes_max=0)
    without = policy(prompt_cache, FreeLengths())
    no_batch: Any = None
    without.keep_prompt(row(299))
    without.keep_answer(row(), no_batch)
    assert prompt_cache.kept == [] and without.size_bytes == 7
