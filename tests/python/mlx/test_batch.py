"""The pending step, and that each row keeps what is its own of it."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.mlx.batch import Pending
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.sampling import LazyLogprobs, Sampler

from toy import Driver, model, prompt, request


def logprob(token: int) -> LazyLogprobs:
    return LazyLogprobs(mx.array(-1.0), mx.array([token]), mx.array([-1.0]))


def test_a_pending_step_moves_with_its_rows() -> None:
    drawn = Pending(mx.array([5, 6], dtype=mx.uint32), [logprob(5), None])
    both = drawn + Pending.known([7])
    assert both.read() == [5, 6, 7] and both.logprobs == [*drawn.logprobs, None]
    turned = both.at([2, 0])
    assert turned.read() == [7, 5] and turned.logprobs == [None, drawn.logprobs[0]]
    assert drawn.read() == [5, 6]


def test_without_rows_nothing_is_pending() -> None:
    none = Pending.known([1]).at([])
    assert none.read() == [] == none.logprobs
    assert none.tokens.dtype == mx.uint32
    assert (none + Pending.known([3])).read() == [3]


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


@pytest.mark.parametrize(
    "grouping",
    [Grouping(), Grouping(bytes_per_token=1.0, padding_bytes_max=30.0), Grouping(alone=True)],
    ids=["one", "by length", "alone"],
)
def test_logprobs_stay_with_their_row(toy: Any, sampler: Sampler, grouping: Grouping) -> None:
    """Rows join other groups, in another order, and leave them."""
    lengths = (60, 4, 61, 7, 2, 150)
    requests = [
        request(i, prompt(i, length), 4 + 2 * i, logprobs=i % 3 - 1)
        for i, length in enumerate(lengths)
    ]
    driver = Driver(toy, sampler=sampler, grouping=grouping)
    for one in requests:
        driver.insert(one)
        driver.step()
        driver.step()
    driver.run()
    for one in requests:
        alone = Driver(toy, sampler=sampler)
        alone.run(one)
        assert driver.tokens[one.id] == alone.tokens[one.id]
        for mine, truth in zip(driver.logprobs[one.id], alone.logprobs[one.id], strict=True):
            assert (mine is None) == (truth is None) == (one.sampling.logprobs < 0)
            if mine is not None and truth is not None:
                assert mine.logprob == pytest.approx(truth.logprob, abs=1e-3)
                assert [id for id, _ in mine.top] == [id for id, _ in truth.top]
