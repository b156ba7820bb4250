"""The cache in which each row has its own arrays: what comes of its tokens, and of its memory."""

from __future__ import annotations

import importlib.util
from copy import deepcopy

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache
from mlx_serving.kv.rows import Arrays, Pieces, RowsCache

if importlib.util.find_spec("krserve_mlx_ops") is None:
    pytest.skip(
        "krserve_mlx_ops is not built (npx mlx-serving build-native)", allow_module_level=True
    )


def arrays(first: int, tokens: int, room: int = 0) -> Arrays:
    """The keys say which tokens these are, the values their negatives; nothing is in the room."""
    numbers = mx.concatenate([mx.arange(first, first + tokens), mx.full(room, 999)])
    keys = mx.broadcast_to(
        numbers[None, None, :, None].astype(mx.float32), (1, 2, tokens + room, 16)
    )
    return mx.contiguous(keys), mx.contiguous(-keys)


def row() -> RowsCache:
    """Of 5 + 3 + 4 tokens, of which 8 are in pieces, and room for 6."""
    pieces = Pieces.of([arrays(0, 5), arrays(5, 3, room=2)], [5, 3])
    return RowsCache.of(pieces, arrays(8, 4, room=6), 4)


def said(found: Arrays) -> list[int]:
    keys, values = found
    assert mx.array_equal(keys, -values) and keys.shape == values.shape
    return [int(n) for n in keys[0, 1, :, 3].tolist()]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("first,end", [(0, 12), (0, 5), (2, 4), (4, 6), (3, 11), (8, 12), (9, 10)])
def test_tokens_wherever_they_are(first: int, end: int) -> None:
    assert said(row().tokens(0, first, end)) == [*range(first, end)]


def test_a_piece_is_taken_as_it_is() -> None:
    cache = row()
    pieces = cache.pieces[0]
    assert pieces is not None
    found = cache.tokens(0, 0, 5)
    assert found is pieces.arrays[0] and cache.has_piece(0, found)
    assert not cache.has_piece(0, cache.tokens(0, 5, 8)), "it has room behind"
    assert not cache.has_piece(0, cache.tokens(0, 8, 12))


@pytest.mark.parametrize("tokens", [0, 1, 4, 5, 7, 9, 12])
def test_what_is_taken_off_its_end(tokens: int) -> None:
    cache = row()
    cache.trim(tokens)
    assert cache.length(0) == 12 - tokens == cache.offset
    if tokens < 12:
        assert said(cache.tokens(0, 0, 12 - tokens)) == [*range(12 - tokens)]


def test_rows_come_and_go_without_a_copy() -> None:
    shared = RowsCache()
    one, other = row(), RowsCache.of(None, arrays(0, 3), 3)
    shared.extend(one)
    shared.extend(other)
    assert [shared.length(place) for place in (0, 1)] == [12, 3] and shared.offset == 12
    assert shared.keys[0] is one.keys[0] and shared.keys[1] is other.keys[0]
    assert said(shared.extract(1).tokens(0, 0, 3)) == [0, 1, 2]
    shared.filter([1])
    assert shared.keys == [other.keys[0]] and shared.pieces == [None] and shared.used == [3]


def test_what_is_full_becomes_a_piece() -> None:
    cache = row()
    cache.step = 32
    own = cache.keys[0]
    cache.make_room(6)
    assert cache.keys[0] is own and not cache.is_full
    cache.used = [10]
    assert cache.is_full
    cache.make_room(1)
    assert cache.keys[0].shape[2] == 32 and cache.used == [0] and not cache.is_full
    pieces = cache.pieces[0]
    assert pieces is not None and pieces.lengths == (5, 3, 10) and pieces.arrays[2][0] is own
    assert cache.length(0) == 18
    cache.make_room(50)
    # Nothing was in it, so nothing is kept of it.
    assert cache.pieces[0] is pieces and cache.keys[0].shape[2] == 50


def test_a_copy_is_apart() -> None:
    cache = row()
    copy = deepcopy(cache)
    copy.make_room(7)
    copy.trim(2)
    assert cache.length(0) == 12 and copy.length(0) == 10
    assert said(cache.tokens(0, 0, 12)) == [*range(12)]


def test_memory_is_counted_as_held() -> None:
    token = 2 * 2 * 16 * 4
    assert row().nbytes == (5 + 5 + 10) * token


def test_as_mlx_lm_has_it() -> None:
    plain = row().plain()
    assert type(plain) is KVCache and plain.offset == 12
    assert said(plain.keys_and_values()) == [*range(12)]
    taken = RowsCache.taken(plain)
    assert taken.keys[0] is plain.keys and said(taken.tokens(0, 3, 9)) == [*range(3, 9)]
    assert RowsCache.taken(taken) is taken
