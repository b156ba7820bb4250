"""Rows that decode together and keep their arrays, in the engine: texts, prompt cache, memory."""

from __future__ import annotations

import importlib.util
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_serving.fast import accelerate
from mlx_serving.kv.rows import RowsCache
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.rows_group import RowsGroup, lies_apart

from toy import Driver, model, prompt, request

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("krserve_mlx_ops") is None,
    reason="krserve_mlx_ops is not built (npx mlx-serving build-native)",
)
APART = Grouping(apart_tokens=16)
BLOCK = 8
PER_TOKEN = 2 * 2 * 2 * 64 * 4


@pytest.fixture(scope="module")
def fused() -> Any:
    made = model(hidden_size=256, intermediate_size=128)
    nn.quantize(made, group_size=64, bits=4)
    assert accelerate(made).blocks == 2
    return made


def driver(fused: Any, monkeypatch: Any, **options: Any) -> Driver:
    """Its rows lie apart from 16 tokens on, and blocks are read in place from 24 on."""
    monkeypatch.setattr("mlx_serving.mlx.adapter.IN_PLACE_TOKENS_MIN", 24)
    options = {"grouping": APART, "prefix_bytes": 1 << 26, "block_tokens": BLOCK, **options}
    return Driver(fused, kv_bytes_per_token=PER_TOKEN, **options)


def groups(one: Driver) -> list[Any]:
    found: list[Any] = one.runner._stages.batch._groups
    return found


def test_who_reads_in_place(fused: Any) -> None:
    assert CacheFactory(fused).reads_in_place
    assert not CacheFactory(model()).reads_in_place


def test_texts_are_the_same(fused: Any, monkeypatch: Any) -> None:
    """Of rows of all lengths, beginning alike or not, that come and go, drawn and greedy."""
    head = prompt(3, 40)
    requests = [
        request(1, prompt(1, 200), 30),
        request(2, [*head, 5, 6], 9, temperature=0.8, seed=4),
        request(3, prompt(2, 5), 20),
        request(4, [*head, *prompt(9, 30)], 25),
        request(5, [*head, 5, 6, 7], 14),
        request(6, prompt(4, 130), 3),
    ]
    alone = {one.id: Driver(fused, shares_passes=False).run(one)[one.id] for one in requests}
    together = driver(fused, monkeypatch)
    for _ in range(2):
        for one in requests:
            together.insert(one)
            together.step()
            together.step()
            together.runner.check()
        together.run()
        assert together.tokens == alone
        together.ends.clear()
    assert together.cached(5) == 42 and together.cached(1) == 199


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_conversation_goes_on_in_place(fused: Any, monkeypatch: Any, deterministic: bool) -> None:
    """Nothing is copied of what the prompt cache has, and its blocks may go meanwhile."""
    options: dict[str, Any] = {"max_batch": 1, "deterministic": deterministic}
    if deterministic:
        # It keeps whole borders alone.
        options["block_tokens"] = 128
    here = driver(fused, monkeypatch, **options)
    ids = prompt(5, 290)
    for turn in range(3):
        ids = [*ids, *here.run(request(turn, ids, 10))[turn], 7, turn]
        if turn:
            assert here.cached(turn) >= 256
    plain = Driver(fused, **{"prefix_bytes": 1 << 26, **options})
    again = prompt(5, 290)
    for turn in range(3):
        again = [*again, *plain.run(request(turn, again, 10))[turn], 7, turn]
    assert again == ids
    here.insert(request(9, ids, 20))
    here.step()
    here.step()
    (group,) = groups(here)
    assert isinstance(group, RowsGroup)
    pieces = group.cache[0].pieces[0]
    assert pieces is not None and pieces.tokens >= 256
    if not deterministic:
        assert here.prompt_cache.evict(1 << 30) > 0
    text = here.run()
    assert text == {} and len(here.tokens[9]) > 5
    assert here.tokens[9] == plain.run(request(9, ids, 20))[9]


def test_what_a_row_had_of_evicted_blocks_is_kept_again(fused: Any, monkeypatch: Any) -> None:
    here = driver(fused, monkeypatch)
    ids = prompt(6, 100)
    here.run(request(1, ids, 4))
    here.insert(request(2, [*ids, 1, 2, 3], 6))
    here.step()
    here.step()
    assert here.prompt_cache.evict(1 << 30) > 0
    here.run()
    here.run(request(3, [*ids, 1, 2, 3, 4], 4))
    assert here.cached(3) == 103
    assert here.tokens[3] == Driver(fused).run(request(3, [*ids, 1, 2, 3, 4], 4))[3]


def test_rows_that_lie_apart_are_not_padded(fused: Any, monkeypatch: Any) -> None:
    here = driver(fused, monkeypatch, prefix_bytes=0)
    for id, length in enumerate((400, 20, 90)):
        here.insert(request(id, prompt(id, length), 60))
    for _ in range(8):
        here.step()
    batch = here.runner._stages.batch
    assert batch.passes == (3,) and batch.padding_tokens == 0
    tokens = sum(row.length for row in batch.rows)
    assert here.runner.figures().kv_bytes <= (tokens + 3 * 50) * PER_TOKEN
    here.runner.remove(0)
    assert here.runner.figures().kv_bytes <= (tokens - 400 + 2 * 50) * PER_TOKEN


def test_short_rows_share_an_array_beside_them(fused: Any, monkeypatch: Any) -> None:
    here = driver(fused, monkeypatch, prefix_bytes=0)
    for id, length in enumerate((400, 6, 8)):
        here.insert(request(id, prompt(id, length), 40))
    for _ in range(8):
        here.step()
    assert sorted(here.runner._stages.batch.passes) == [1, 2]
    assert [lies_apart(group.cache) for group in groups(here)].count(True) == 1


def test_where_no_two_rows_share_a_pass_these_do_not_either(fused: Any, monkeypatch: Any) -> None:
    here = driver(fused, monkeypatch, grouping=Grouping(alone=True))
    ids = prompt(3, 60)
    here.run(request(1, ids, 4))
    for id in (2, 3):
        here.insert(request(id, [*ids, id], 30))
    for _ in range(6):
        here.step()
    assert here.runner._stages.batch.passes == (1, 1)
    assert all(lies_apart(group.cache) for group in groups(here))
    here.run()
    for id in (2, 3):
        assert here.tokens[id] == Driver(fused).run(request(id, [*ids, id], 30))[id]


def test_a_short_beginning_is_copied(fused: Any, monkeypatch: Any) -> None:
    """So short prompts may go on from it in one pass."""
    here = driver(fused, monkeypatch)
    ids = prompt(7, 20)
    here.run(request(1, ids, 4))
    match = here.prompt_cache.match([*ids, 1, 2], 1)
    assert match is not None and not lies_apart(match.cache)
    here.run(request(2, [*ids, *prompt(8, 30)], 4))
    match = here.prompt_cache.match([*ids, *prompt(8, 30)], 1)
    assert match is not None and all(isinstance(layer, RowsCache) for layer in match.cache)
    assert match.tokens == 50 and match.cache[0].length(0) == 50
    mx.eval([layer.state for layer in match.cache])
