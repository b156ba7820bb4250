"""Every request is in one stage, and can be removed from each."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.engine import Capabilities
from mlx_serving.mlx.batch import Batch
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.kv_room import KvRoom
from mlx_serving.mlx.row import Row
from mlx_serving.mlx.sampling import RowSampling, StockSampler
from mlx_serving.mlx.stages import Stages

from toy import VOCABULARY, Driver, greedy, model, prompt, request


class Layer:
    nbytes = 10


def row(id: int) -> Row:
    asked = request(id, [1, 2])
    sampling = RowSampling(asked.sampling, asked.prompt, [], VOCABULARY)
    return Row(asked, sampling, [1], 2, [], [Layer()], 0, 0, 0, 0, -1, 5, 0)


def stages(max_batch: int = 3) -> Stages:
    room = KvRoom(Capabilities(600, 100, 0, 0, 1e9, 1e9))
    return Stages(Batch(None, StockSampler(), Grouping()), max_batch, room)


def test_what_waits_has_no_place_and_what_is_computed_has_one() -> None:
    of = stages(max_batch=2)
    assert of.is_empty and of.places_left == 2 and not of.has_prompts
    of.waiting.append(request(1, [1, 2]))
    assert not of.is_empty and of.places_left == 2 and of.has_prompts
    of.prefilling.append(row(2))
    of.ready.append(row(3))
    assert of.places_left == 0 and of.has_prompts
    of.prefilling.clear()
    of.ready.append(row(4))
    # Prompts without a place don't share the step.
    assert of.places_left == 0 and not of.has_prompts


def test_removal_from_each_stage() -> None:
    of = stages()
    of.waiting.append(request(1, [1, 2]))
    of.prefilling.append(row(2))
    of.ready.append(row(3))
    assert of.kv_bytes == 20
    for id in (9, 1, 3, 2):
        assert not of.is_empty
        of.remove(id)
    assert of.is_empty and of.kv_bytes == 0


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def test_removal_between_the_last_chunk_and_the_first_token(toy: Any) -> None:
    driver = Driver(toy)
    driver.insert(request(1, prompt(1, 20)))
    driver.insert(request(2, prompt(2, 20)))
    driver.step()
    figures = driver.runner.figures()
    assert (figures.running, figures.waiting) == (2, 0) and figures.kv_bytes > 0
    driver.runner.remove(1)
    driver.run()
    assert driver.tokens[1] == [] and driver.tokens[2] == greedy(toy, prompt(2, 20), 12)
    assert driver.runner.figures().kv_bytes == 0
