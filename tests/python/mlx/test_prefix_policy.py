"""Which prefixes are used and which caches are kept, asked of a prompt cache that remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mlx_serving.engine import PrefixCounts
from mlx_serving.messages import Admission, Sampling
from mlx_serving.mlx.caches import Cache
from mlx_serving.mlx.chunk_policy import ChunkPolicy, FixedBorders, FreeLengths, Units
from mlx_serving.mlx.prefix_policy import LEAVING_MAX, PrefixPolicy
from mlx_serving.mlx.prompt_cache import BlockChanges, Match, PromptCacheFigures, Source
from mlx_serving.mlx.row import Row
from mlx_serving.mlx.sampling import RowSampling

from toy import VOCABULARY


class Remembering:
    """A `PromptCache` with one answer."""

    def __init__(
        self, bytes_max: int = 100, match: Match | None = None, in_blocks: bool = False
    ) -> None:
        self._bytes_max, self._match, self.in_blocks = bytes_max, match, in_blocks
        self.asked: list[tuple[list[int], int, str]] = []
        self.kept: list[list[int]] = []
        self.salts: set[str] = set()
        self.sources: list[Source] = []

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        self.asked.append((list(tokens), unit_tokens, salt))
        return self._match.tokens if self._match else 0

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        self.asked.append((list(tokens), unit_tokens, salt))
        return self._match

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        self.kept.append(list(tokens))
        self.sources.append(source)
        self.salts.add(salt)

    def evict(self, size_bytes: int) -> int:
        raise AssertionError("nothing asks for memory here")

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(0, 7, self._bytes_max)

    def counts(self) -> PrefixCounts:
        return PrefixCounts(hit=5)

    def changes(self) -> BlockChanges:
        return BlockChanges([], [])

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

    def __init__(self, *rows: Row) -> None:
        self.rows = rows

    def source(self, of: Row) -> Any:
        return of


class Ending(OneRow):
    def source(self, of: Row) -> Any:
        return self

    def whole(self) -> Cache:
        return ["its copy"]


def row(done: int = 0, reused: int = 0, length: int = 300) -> Row:
    asked = Admission(1, list(range(length)), [], 12, Sampling(), salt="mine")
    sampling = RowSampling(asked.sampling, asked.prompt, [], VOCABULARY)
    tokens = asked.prompt
    return Row(
        request=asked,
        sampling=sampling,
        prefill=tokens[:-1],
        last=tokens[-1],
        forced=[],
        cache=["own"],
        done=done,
        reused=reused,
        cached=0,
        first=0,
        index=-1,
        end=5,
        observe_from=0,
        generated=[7, 8],
        kept=reused,
    )


def policy(prompt_cache: Remembering, chunks: ChunkPolicy) -> PrefixPolicy:
    return PrefixPolicy(prompt_cache, Caches(), chunks)


@pytest.mark.parametrize(
    ("chunks", "unit"), [(FreeLengths(), 1), (Units(64), 64), (FixedBorders(), 128)]
)
def test_the_last_token_is_left_and_units_are_asked_for(chunks: ChunkPolicy, unit: int) -> None:
    empty = Remembering()
    assert policy(empty, chunks).start([1, 2, 3], "mine") == (["new"], 0)
    assert policy(empty, chunks).peek([1, 2, 3], "mine") == 0
    assert empty.asked == [([1, 2], unit, "mine")] * 2
    full = Remembering(match=Match(["theirs"], 2))
    assert policy(full, chunks).start([1, 2, 3], "") == (["theirs"], 2)
    assert policy(full, chunks).peek([1, 2, 3], "") == 2


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
def test_a_record_is_made_where_a_prompt_is_cut(chunks: ChunkPolicy, done: int, kept: bool) -> None:
    prompt_cache, mine = Remembering(), row(done)
    policy(prompt_cache, chunks).keep_prompt(mine)
    assert prompt_cache.kept == ([list(range(done))] if kept else [])
    assert prompt_cache.salts == ({"mine"} if kept else set())
    # The row goes on with its own.
    copies = [source.whole() for source in prompt_cache.sources]
    assert all(copy == mine.cache and copy is not mine.cache for copy in copies)


def test_of_a_long_prompt_records_are_made_on_its_way() -> None:
    prompt_cache = Remembering()
    prefixes, mine = policy(prompt_cache, FreeLengths()), row(length=5000)
    for done in range(500, 5000, 500):
        mine.done = done
        prefixes.keep_prompt(mine)
    assert [len(tokens) for tokens in prompt_cache.kept] == [2500, 4500]


@pytest.mark.parametrize(
    ("chunks", "whole"), [(FreeLengths(), 299), (Units(64), 256), (FixedBorders(), 256)]
)
def test_blocks_are_kept_chunk_by_chunk_in_whole_units(chunks: ChunkPolicy, whole: int) -> None:
    prompt_cache = Remembering(in_blocks=True)
    prefixes, mine = policy(prompt_cache, chunks), row(128)
    prefixes.keep_prompt(mine)
    mine.done = 299
    prefixes.keep_prompt(mine)
    prefixes.keep_prompt(mine)
    # What fills no block comes with the answer, unless it is wanted now.
    assert [len(tokens) for tokens in prompt_cache.kept] == [128, 256]
    prefixes.keep_prompt(mine, wanted=True)
    assert mine.kept == whole == len(prompt_cache.kept[-1])


@pytest.mark.parametrize("in_blocks", [True, False])
def test_what_will_not_go_on_is_kept_as_far_as_it_is(in_blocks: bool) -> None:
    prompt_cache = Remembering(in_blocks=in_blocks)
    prefixes = policy(prompt_cache, FreeLengths())
    prefixes.keep_so_far(row(200))
    prefixes.keep_so_far(row(0))
    prefixes.keep_so_far(row(200, reused=200))
    assert [len(tokens) for tokens in prompt_cache.kept] == [200]


@pytest.mark.parametrize("in_blocks", [True, False])
def test_a_prompt_that_was_cached_is_not_kept_again(in_blocks: bool) -> None:
    prompt_cache = Remembering(in_blocks=in_blocks)
    policy(prompt_cache, FreeLengths()).keep_prompt(row(299, reused=299))
    assert prompt_cache.kept == []


@pytest.mark.parametrize("chunks", [FreeLengths(), Units(64), FixedBorders()], ids=repr)
def test_an_answer_is_kept_with_its_prompt(chunks: ChunkPolicy) -> None:
    prompt_cache = Remembering()
    batch: Any = OneRow()
    mine = row()
    policy(prompt_cache, chunks).keep_answer(mine, batch)
    assert prompt_cache.kept == ([[*range(300), 7, 8]] if chunks.keeps_answers else [])
    assert prompt_cache.sources == ([mine] if chunks.keeps_answers else [])


@pytest.mark.parametrize("in_blocks", [True, False])
def test_without_memory_nothing_is_copied(in_blocks: bool) -> None:
    prompt_cache = Remembering(bytes_max=0, in_blocks=in_blocks)
    without = policy(prompt_cache, FreeLengths())
    no_batch: Any = None
    without.keep_prompt(row(299))
    without.keep_so_far(row(299))
    without.keep_answer(row(), no_batch)
    assert prompt_cache.kept == [] and without.figures().size_bytes == 7
    assert without.counts().hit == 5


def test_where_cutting_takes_long_a_prompt_is_kept_while_it_decodes() -> None:
    kept = Remembering(in_blocks=True)
    prefixes = PrefixPolicy(kept, Caches(), Units(64), trickles=True)
    computed = row(done=299)
    prefixes.keep_prompt(computed)
    assert kept.kept == []
    batch: Any = OneRow(row(done=20, length=21), computed)
    for _ in range(4):
        prefixes.keep_some(batch)
    assert [len(tokens) for tokens in kept.kept] == [128, 256]
    assert kept.sources == [computed] * 2 and kept.salts == {"mine"}
    wanted = row(done=299, reused=64)
    prefixes.keep_prompt(wanted, wanted=True)
    prefixes.keep_some(batch)
    assert [len(tokens) for tokens in kept.kept] == [128, 256, 256]


@pytest.mark.parametrize("in_blocks", [True, False])
def test_elsewhere_nothing_is_kept_beside_decoding(in_blocks: bool) -> None:
    kept = Remembering(in_blocks=in_blocks)
    batch: Any = OneRow(row(done=299))
    for prefixes in (
        PrefixPolicy(kept, Caches(), FreeLengths(), trickles=not in_blocks),
        PrefixPolicy(Remembering(0, in_blocks=True), Caches(), FreeLengths(), trickles=True),
    ):
        prefixes.keep_some(batch)
    assert kept.kept == []


def test_where_cutting_takes_long_what_has_ended_is_kept_beside_the_others() -> None:
    kept = Remembering(in_blocks=True)
    prefixes = PrefixPolicy(kept, Caches(), Units(64), trickles=True)
    ended, other = row(done=299), row(done=20, length=21)
    batch: Any = Ending(ended, other)
    prefixes.keep_answer(ended, batch)
    assert kept.kept == []
    rest: Any = OneRow(other)
    prefixes.keep_some(rest)
    prefixes.keep_some(rest)
    assert [len(tokens) for tokens in kept.kept] == [128, 256]
    # Who goes on from it, of the same owner, finds all of it.
    assert prefixes.peek([*range(80)], "theirs") == 0
    assert [len(tokens) for tokens in kept.kept] == [128, 256]
    prefixes.peek([*range(80)], "mine")
    prefixes.keep_some(rest)
    assert [len(tokens) for tokens in kept.kept] == [128, 256, 302]
    for _ in range(LEAVING_MAX + 1):
        prefixes.keep_answer(ended, batch)
    assert [len(tokens) for tokens in kept.kept] == [128, 256, 302, 302]
    alone: Any = OneRow(ended)
    prefixes.keep_answer(ended, alone)
    assert len(kept.kept) == 5
    nobody: Any = OneRow()
    prefixes.keep_some(nobody)
    assert [len(tokens) for tokens in kept.kept[5:]] == [302] * LEAVING_MAX
    prefixes.keep_some(nobody)
    assert len(kept.kept) == 5 + LEAVING_MAX
