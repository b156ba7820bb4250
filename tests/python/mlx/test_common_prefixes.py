"""What prompts have in common, in whole blocks, and what of it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from mlx_serving.mlx.common_prefixes import BLOCK_TOKENS, CommonPrefixes


@dataclass(eq=False)
class Prompt:
    chain: list[int] = field(default_factory=list)
    done: int = 0
    available: int = 0


def tokens(common: int, own: int, seed: int) -> list[int]:
    return [*range(common), *(100_000 * seed + i for i in range(own))]


@pytest.fixture
def common() -> CommonPrefixes:
    return CommonPrefixes(unit_tokens=1)


def test_common_are_whole_blocks_that_the_source_has_computed(common: CommonPrefixes) -> None:
    source = Prompt(common.chain(tokens(300, 200, 1)))
    prompt = Prompt(common.chain(tokens(300, 50, 2)))
    for done, usable in [(0, 0), (63, 0), (64, 64), (200, 192), (300, 256), (500, 256)]:
        source.done = done
        assert common.usable_tokens(prompt, source) == usable


def test_a_block_is_a_multiple_of_the_unit() -> None:
    for unit, block in [(1, BLOCK_TOKENS), (64, 64), (128, 128), (96, 192)]:
        assert len(CommonPrefixes(unit).chain(tokens(1_000, 0, 0))) == 1_000 // block


def test_equal_blocks_after_a_difference_are_not_common(common: CommonPrefixes) -> None:
    source = Prompt(common.chain([7, *range(1, 300)]), done=300)
    assert common.usable_tokens(Prompt(common.chain(list(range(300)))), source) == 0


def test_owners_have_nothing_in_common(common: CommonPrefixes) -> None:
    ids = tokens(300, 0, 0)
    mine, yours = (Prompt(common.chain(ids, owner), done=300) for owner in ("me", "you"))
    assert common.usable_tokens(mine, yours) == 0
    common.computed(yours, [mine])
    assert mine.available == 0 and common.best_source(mine, [yours]) is None


def test_one_that_comes_knows_what_the_others_have(common: CommonPrefixes) -> None:
    others = [
        Prompt(common.chain(tokens(200, 100, 1)), done=150),
        Prompt(common.chain(tokens(100, 100, 2)), done=200),
    ]
    prompt = Prompt(common.chain(tokens(200, 20, 3)))
    common.came(prompt, others)
    assert prompt.available == 128
    kept = Prompt(prompt.chain, available=190)
    common.came(kept, others)
    assert kept.available == 190


def test_what_one_computes_is_available_to_those_that_begin_alike(common: CommonPrefixes) -> None:
    source = Prompt(common.chain(tokens(300, 200, 1)))
    alike = Prompt(common.chain(tokens(256, 100, 2)))
    short = Prompt(common.chain(tokens(70, 0, 2)))
    different = Prompt(common.chain(tokens(0, 400, 3)))
    alone = Prompt()
    others = [alike, short, different, alone]
    seen = []
    for done in (50, 64, 200, 256, 500):
        source.done = done
        common.computed(source, others)
        seen.append([other.available for other in others])
    assert seen == [[0, 0, 0, 0], [64, 64, 0, 0], [192, 64, 0, 0], *[[256, 64, 0, 0]] * 2]


def test_the_source_is_the_one_that_has_most(common: CommonPrefixes) -> None:
    prompt = Prompt(common.chain(tokens(300, 20, 1)))
    less = Prompt(common.chain(tokens(300, 20, 2)), done=100)
    more = Prompt(common.chain(tokens(300, 20, 3)), done=200)
    assert common.best_source(prompt, [less, more]) is more
    prompt.done = 192
    assert common.best_source(prompt, [less, more]) is None
    assert common.best_source(prompt, []) is None


def test_the_block_that_comes_next(common: CommonPrefixes) -> None:
    one, other = (Prompt(common.chain(tokens(130, 100, seed))) for seed in (1, 2))
    for done in (0, 63, 64, 127):
        assert common.block_at(one, done) == common.block_at(other, done) is not None
    assert common.block_at(one, 128) != common.block_at(other, 128)
    assert common.block_at(one, 230) is None and common.block_at(Prompt(), 0) is None
    assert [common.is_block_between(*pair) for pair in ((0, 63), (10, 64), (64, 127))] == [
        False,
        True,
        False,
    ]
