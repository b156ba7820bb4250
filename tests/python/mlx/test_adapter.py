"""A model and its caches by way of mlx-lm. What is wrong in a folder: models/test_safety.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import Abilities
from mlx_serving.failures import LoadFailed
from mlx_serving.mlx.adapter import (
    CONTEXT_DEFAULT,
    CacheFactory,
    arrays_of,
    bytes_of,
    check_budget,
    context_max,
    import_libraries,
    load_weights,
)

from toy import model


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({}, CONTEXT_DEFAULT),
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024}, 1024),
        ({"max_seq_len": 512, "seq_length": 256}, 512),
        ({"max_position_embeddings": None, "text_config": {"n_positions": 77}}, 77),
        ({"max_position_embeddings": 0}, CONTEXT_DEFAULT),
        ({"max_position_embeddings": "2048", "text_config": None}, CONTEXT_DEFAULT),
    ],
)
def test_the_context_that_a_model_was_made_for(config: dict[str, Any], tokens: int) -> None:
    assert context_max(config) == tokens


@pytest.mark.parametrize(("prefix", "can"), [("part", True), ("whole", False), ("none", False)])
def test_a_cache_is_cut_back_only_where_that_was_seen_to_be_right(
    toy: Any, prefix: Any, can: bool
) -> None:
    caches = CacheFactory(toy, Abilities(prefix=prefix))
    cache = caches.new()
    toy(mx.array([[1, 2, 3, 4]]), cache=cache)
    assert caches.can_trim(cache) is can
    caches.trim(cache, 0)
    assert {layer.offset for layer in cache} == {4}
    if can:
        caches.trim(cache, 3)
        assert {layer.offset for layer in cache} == {1}


def test_a_model_that_is_larger_than_its_budget(embedded: Path) -> None:
    with pytest.raises(LoadFailed) as failure:
        load_weights(embedded, 1000, on_gpu=False)
    assert failure.value.code == "memory_budget_exceeded"
    assert "--memory-budget is 1 MiB" in str(failure.value)


def test_weights_that_fill_the_budget_leave_nothing_for_a_request(tmp_path: Path) -> None:
    check_budget(tmp_path, 99 << 20, 100 << 20)
    with pytest.raises(LoadFailed, match="take 100 MiB; --memory-budget is 100 MiB") as failure:
        check_budget(tmp_path, 100 << 20, 100 << 20)
    assert failure.value.code == "memory_budget_exceeded"


@pytest.mark.parametrize("spare", [True, False])
def test_halves_become_floats_on_a_cpu_where_there_is_room(toy: Any, spare: bool) -> None:
    from mlx_serving.mlx.adapter import _choose_dtype

    halved = model()
    halved.set_dtype(mx.float16)
    size = bytes_of(halved)
    _choose_dtype(halved, False, size if spare else size - 1)
    assert {array.dtype for array in arrays_of(halved)} == {mx.float32 if spare else mx.float16}
    assert bytes_of(toy) == 2 * size


def test_without_mlx_a_load_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx_lm.utils", None)
    with pytest.raises(LoadFailed) as failure:
        import_libraries()
    assert failure.value.code == "mlx_unavailable"
