"""The prompt cache in blocks: what it takes of a source, what it gives, what it counts."""

from __future__ import annotations

from mlx_serving.engine import PrefixCounts
from mlx_serving.mlx.block_cache import MATCH_TOKENS_MIN, BlockPromptCache
from mlx_serving.mlx.prompt_cache import PromptCacheFigures

from prefixes import Trimmer, found, put


def new(bytes_max: int = 1000) -> BlockPromptCache:
    return BlockPromptCache(Trimmer(), bytes_max, 4, match_tokens_min=1)


def test_only_what_is_new_is_copied() -> None:
    cache = new()
    ids = list(range(20))
    assert put(cache, ids[:3]) == [(0, 3)]
    # A longer block takes the place of what there was of it.
    assert put(cache, ids[:9]) == [(0, 9)]
    assert cache.figures().entries == 3
    assert put(cache, ids[:9]) == put(cache, ids[:7]) == []
    assert put(cache, ids[:11]) == [(8, 11)]
    assert put(cache, ids[:18]) == [(8, 18)]
    assert put(cache, [*ids[:8], 99, *ids[9:]]) == [(8, 20)]
    # The shared beginning is there once.
    assert cache.figures() == PromptCacheFigures(8, 80, 1000)
    assert put(cache, ids[:8], salt="other") == [(0, 8)]
    assert cache.figures().entries == 10


def test_nothing_is_copied_for_which_there_never_is_room() -> None:
    cache = new(bytes_max=25)
    ids = list(range(40))
    assert put(cache, ids[:12]) == [(0, 12)]
    assert put(cache, ids) == []
    assert found(cache, ids) == ids[:8]
    tiny = new(bytes_max=9)
    assert put(tiny, ids) == [(0, 40)]
    assert put(tiny, ids) == [] and tiny.figures().entries == 0


def test_a_match_leaves_room_for_the_rest_of_the_prompt() -> None:
    caches = Trimmer()
    cache = BlockPromptCache(caches, 1000, 4)
    put(cache, list(range(8)))
    assert cache.match(list(range(30)), 1) is not None
    assert caches.rooms == [23]


def test_blocks_and_units_need_not_agree() -> None:
    cache = new()
    ids = list(range(40))
    put(cache, ids)
    expected = {1: 39, 2: 38, 4: 36, 6: 36, 8: 32, 10: 30, 16: 32, 40: 0}
    assert {unit: len(found(cache, ids[:39], unit) or []) for unit in expected} == expected


def test_a_prompt_is_found_to_the_token_where_it_parts_from_others() -> None:
    cache = BlockPromptCache(Trimmer(), 1000, 16)
    ids = list(range(40))
    assert put(cache, ids[:15]) == [(0, 15)]
    assert found(cache, [*ids[:11], 99, 98]) == ids[:11]
    assert put(cache, ids) == [(0, 40)]
    assert found(cache, [*ids, 99]) == ids
    assert found(cache, [*ids[:30], 99]) == ids[:30]
    assert found(cache, [*ids[:30], 99], 16) == ids[:16]
    assert cache.figures().entries == 3


def test_a_few_tokens_are_not_worth_the_joining() -> None:
    cache = BlockPromptCache(Trimmer(), 1000, 64)
    ids = list(range(100))
    put(cache, ids)
    assert found(cache, ids[: MATCH_TOKENS_MIN - 1]) is None
    assert found(cache, ids[:MATCH_TOKENS_MIN]) == ids[:MATCH_TOKENS_MIN]


def test_tokens_are_counted_with_their_reasons() -> None:
    cache = new(bytes_max=40)
    ids = list(range(10, 26))
    assert cache.match(ids, 1) is None
    assert cache.counts() == PrefixCounts(never_seen=16)
    put(cache, ids)
    # Four are no unit of three blocks, and three are of no whole block.
    assert cache.match(ids, 12) and cache.match([*ids[:10], 99, 98, 97], 1)
    assert cache.counts() == PrefixCounts(hit=22, never_seen=18, below_block=5)
    assert cache.match(ids[:8], 1, "other") is None
    assert cache.counts().other_salt == 8
    put(cache, [1, 2, 3, 4])
    assert cache.counts().evictions == 1
    assert cache.match(ids, 1) and cache.counts().evicted == 4
    # To ask is no use.
    before = (cache.counts().hit, cache.peek(ids, 1))
    assert before == (cache.counts().hit, 12)
