"""What prompt caches tell of the blocks that they hold: whoever listens knows all of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.mlx.held_blocks import HeldBlocks
from mlx_serving.mlx.prompt_cache import BlockChanges, PromptCache
from mlx_serving.mlx.whole_cache import WholePromptCache
from mlx_serving.text.block_hashes import BLOCK_TOKENS, block_hashes

from prefixes import Trimmer, put


def test_only_the_first_and_the_last_of_a_block_are_told() -> None:
    held = HeldBlocks()
    held.add(["a", "b"])
    held.add(["a"])
    assert held.changes() == BlockChanges(["a", "b"], [])
    held.drop(["a", "b"])
    assert held.changes() == BlockChanges([], ["b"])
    held.drop(["a"])
    assert held.changes() == BlockChanges([], ["a"])
    assert held.changes() == BlockChanges([], [])


def test_what_comes_and_goes_at_once_is_not_told() -> None:
    held = HeldBlocks()
    held.add(["a"])
    held.drop(["a"])
    assert held.changes() == BlockChanges([], [])
    held.add(["a"])
    held.changes()
    held.drop(["a"])
    held.add(["a"])
    assert held.changes() == BlockChanges([], [])


def in_blocks() -> PromptCache:
    return BlockPromptCache(Trimmer(), 160, BLOCK_TOKENS)


def in_records() -> PromptCache:
    return WholePromptCache(Trimmer(), 35, 4)


@pytest.mark.parametrize("new", [in_blocks, in_records])
def test_whoever_listens_knows_what_can_be_found(new: Callable[[], PromptCache]) -> None:
    random = Random(7)
    cache = new()
    listener: set[str] = set()
    prompts = [([i // 3] * random.randint(0, 200) + [i] * 200, f"{i % 2}") for i in range(12)]
    most = 0
    for _ in range(200):
        tokens, salt = random.choice(prompts)
        put(cache, tokens[: random.randint(1, len(tokens))], salt=salt)
        changes = cache.changes()
        assert not listener & set(changes.kept) and listener >= set(changes.evicted)
        listener = (listener | set(changes.kept)) - set(changes.evicted)
        most = max(most, len(listener))
        for known, its_salt in prompts:
            hashes = block_hashes(known, its_salt)
            told = next((i for i, one in enumerate(hashes) if one not in listener), len(hashes))
            found = cache.peek(known, BLOCK_TOKENS, its_salt)
            assert told * BLOCK_TOKENS == found
    assert cache.counts().evictions
    cache.evict(10**9)
    assert set(cache.changes().evicted) == listener and most > 3
