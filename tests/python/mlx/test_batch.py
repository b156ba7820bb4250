"""The pending step, that each row keeps what is its own of it, and rows that keep to a grammar."""

from __future__ import annotations

import re
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.messages import Admission
from mlx_serving.mlx import growth
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.batch import Batch, Pending
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.kv_room import ROOM_TOKENS_MIN
from mlx_serving.mlx.row import Row
from mlx_serving.mlx.sampling import LazyLogprobs, RowSampling, Sampler, StockSampler
from mlx_serving.text.reasoning_limit import ReasoningLimit

from toy import END, VOCABULARY, Driver, greedy, kept_to, model, prompt, request, spelled


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


PATTERNS = ["[a-z]{3}[0-9]{2}", "(yes|no)+", "[A-Z]([a-z_]*)[0-9]", "abc"]


@pytest.mark.parametrize("hot", [0.0, 1.0])
@pytest.mark.parametrize("deterministic", [False, True])
def test_rows_keep_to_their_grammars_and_others_to_nothing(
    toy: Any, sampler: Sampler, hot: float, deterministic: bool
) -> None:
    """Together, joining and leaving at different steps, as each alone."""
    options = {"sampler": sampler, "deterministic": deterministic}
    driver = Driver(toy, **options)
    for i in range(8):
        asked = request(i, prompt(i, 5 + i), 14, temperature=hot, seed=i)
        driver.insert(asked, kept_to(PATTERNS[i // 2]) if i % 2 else None)
        driver.step()
    driver.run()
    for i in range(8):
        tokens, end = driver.tokens[i], driver.ends[i]
        if i % 2 == 0:
            alone = Driver(toy, **options)
            asked = request(i, prompt(i, 5 + i), 14, temperature=hot, seed=i)
            assert alone.run(asked)[i] == tokens
        elif end.finish == "stop":
            assert re.fullmatch(PATTERNS[i // 2], spelled(tokens))
        else:
            assert end.finish == "length" and len(tokens) == 14 and END not in tokens
    assert driver.ends[1].finish == driver.ends[7].finish == "stop"


def test_all_that_can_follow_being_an_end_is_the_end(toy: Any, sampler: Sampler) -> None:
    driver = Driver(toy, sampler=sampler)
    driver.insert(request(1, prompt(1, 5), 3), kept_to("abc"))
    driver.run()
    # Also where the limit is reached with it.
    assert spelled(driver.tokens[1]) == "abc" and driver.ends[1].finish == "stop"


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("hot", [0.0, 0.9])
def test_an_answer_goes_on_where_it_was(
    toy: Any, sampler: Sampler, deterministic: bool, hot: float
) -> None:
    options = {"sampler": sampler, "deterministic": deterministic}
    pattern, sampled = "[a-z]{5}[A-Z]{5}[0-9]{2}", {"temperature": hot, "seed": 11}
    whole = Driver(toy, **options)
    whole.insert(request(1, prompt(3, 9), 20, **sampled), kept_to(pattern))
    whole.run()
    tokens = whole.tokens[1]
    for out in (1, 5, 11):
        emitted = tokens[:out]
        again = Driver(toy, **options)
        asked = request(1, prompt(3, 9), 20, emitted, **sampled)
        again.insert(asked, kept_to(pattern, emitted))
        again.run()
        assert emitted + again.tokens[1] == tokens or not deterministic
        assert re.fullmatch(pattern, spelled(emitted + again.tokens[1]))


def test_a_grammar_that_fails_fails_its_row_alone(toy: Any, sampler: Sampler) -> None:
    driver = Driver(toy, sampler=sampler)
    broken = kept_to("[a-z]+")
    driver.insert(request(1, prompt(1, 5), 9), broken)
    driver.insert(request(2, prompt(2, 5), 9), kept_to("[a-z]{9}"))
    for _ in range(4):
        driver.step()
    broken.error = "it has reached a limit"
    driver.run()
    end = driver.ends[1]
    assert (end.finish, end.code, end.message) == (
        "failed",
        "generation_error",
        "it has reached a limit",
    )
    assert re.fullmatch("[a-z]+", spelled(driver.tokens[1])) and len(driver.tokens[1]) < 9
    assert re.fullmatch("[a-z]{9}", spelled(driver.tokens[2]))


def test_one_that_fails_before_its_first_token_has_none(toy: Any) -> None:
    driver = Driver(toy)
    broken = kept_to("a+")
    broken.error = "it has reached a limit"
    driver.insert(request(1, prompt(1, 5), 9), broken)
    driver.run()
    assert driver.tokens[1] == [] and driver.ends[1].code == "generation_error"


def test_what_else_is_asked_of_a_draw_holds_within_the_grammar(toy: Any, sampler: Sampler) -> None:
    driver = Driver(toy, sampler=sampler)
    no_a = ((26, -100.0),)
    asked = request(1, prompt(1, 5), 9, logit_bias=no_a, logprobs=2, frequency_penalty=2.0)
    driver.insert(asked, kept_to("[ab]{9}"))
    driver.insert(request(2, prompt(1, 5), 9, logit_bias=no_a), kept_to("a{9}"))
    driver.run()
    assert spelled(driver.tokens[1]) == "b" * 9
    assert all(one is not None and len(one.top) == 2 for one in driver.logprobs[1])
    # Unlikely is not forbidden.
    assert spelled(driver.tokens[2]) == "a" * 9


class Closing:
    """Forces 60 and 61 after so many tokens of an answer, as a budget of reasoning does it."""

    def __init__(self, after: int, emitted: list[int] | None = None) -> None:
        self.limit = ReasoningLimit(after, (60, 61))
        self.taken: list[int] = []
        self.limit.begin(True)
        for index, token in enumerate(emitted or []):
            self.take(index, token)

    @property
    def forced(self) -> int | None:
        return self.limit.forced

    @property
    def may_force(self) -> bool:
        return self.limit.may_force

    def take(self, index: int, token: int) -> None:
        if index != len(self.taken):
            assert index < len(self.taken)
            return
        self.taken.append(token)
        in_reasoning = 61 not in self.taken
        self.limit.take(in_reasoning, in_reasoning, 0)


@pytest.mark.parametrize("hot", [0.0, 1.0])
@pytest.mark.parametrize("deterministic", [False, True])
def test_tokens_that_must_come_are_in_their_row_alone(
    toy: Any, sampler: Sampler, hot: float, deterministic: bool
) -> None:
    """Beside rows that join and leave, of which some keep to a grammar: these are as alone."""
    options = {"sampler": sampler, "deterministic": deterministic}

    def asked(i: int) -> Admission:
        return request(i, prompt(i, 5 + i), 14, temperature=hot, seed=i, logprobs=0)

    driver = Driver(toy, **options)
    bounded = {0: 0, 1: 1, 2: 5, 3: 100}
    forcings = {i: Closing(after) for i, after in bounded.items()}
    for i in range(8):
        matcher = kept_to("[a-z]{6}") if i == 7 else None
        driver.insert(asked(i), matcher, forcings.get(i))
        driver.step()
    driver.run()
    for i in range(7):
        tokens = driver.tokens[i]
        alone = Driver(toy, **options).run(asked(i))[i]
        after = bounded.get(i, 100)
        count = min(after, len(alone))
        # The draws before are the same ones.
        assert tokens[:count] == alone[:count]
        if count == len(alone):
            assert tokens == alone
        else:
            assert tokens[count : count + 2] == [60, 61] and len(tokens) <= 14
        if i in forcings:
            assert forcings[i].taken == tokens
    assert re.fullmatch("[a-z]{6}", spelled(driver.tokens[7]))


def test_forced_tokens_are_read_by_what_follows(toy: Any, sampler: Sampler) -> None:
    """They are in the cache, and not only said."""
    driver = Driver(toy, sampler=sampler)
    driver.insert(request(1, prompt(4, 9), 9), forcing=Closing(2))
    driver.run()
    tokens = driver.tokens[1]
    assert tokens[2:4] == [60, 61]
    assert greedy(toy, prompt(4, 9) + tokens[:4], len(tokens) - 4) == tokens[4:]


@pytest.mark.parametrize("hot", [0.0, 0.9])
def test_a_resume_forces_what_was_to_come(toy: Any, sampler: Sampler, hot: float) -> None:
    options = {"sampler": sampler, "deterministic": True}
    sampled = {"temperature": hot, "seed": 11}
    whole = Driver(toy, **options)
    whole.insert(request(1, prompt(3, 9), 14, **sampled), forcing=Closing(4))
    whole.run()
    tokens = whole.tokens[1]
    assert tokens[4:6] == [60, 61]
    for out in range(1, len(tokens)):
        emitted = tokens[:out]
        again = Driver(toy, **options)
        asked = request(1, prompt(3, 9), 14, emitted, **sampled)
        again.insert(asked, forcing=Closing(4, emitted))
        again.run()
        assert emitted + again.tokens[1] == tokens


PER_TOKEN = 2 * 2 * 2 * 8 * 4


def filled(toy: Any, id: int, tokens: int, max_tokens: int) -> Row:
    """A row whose prompt is computed, whatever it says."""
    asked = request(id, prompt(id, tokens + 1), max_tokens)
    cache = CacheFactory(toy).new()
    growth.reserve(cache, tokens)
    for layer in cache:
        layer.update_and_fetch(mx.zeros((1, 2, tokens, 8)), mx.zeros((1, 2, tokens, 8)))
    sampling = RowSampling(asked.sampling, asked.prompt, [], VOCABULARY)
    last = asked.prompt[-1]
    return Row(
        asked, sampling, asked.prompt[:-1], last, [], cache, tokens, 0, 0, 0, -1, max_tokens, 0
    )


@pytest.mark.parametrize("short", [3, 60, 200])
def test_memory_follows_the_tokens_that_are_there(toy: Any, short: int) -> None:
    """One row of 7,000 tokens beside fifteen short ones. A quarter more than their tokens take is
    allowed, but for the least that a short row grows by."""
    grouping = Grouping(PER_TOKEN, all_padding_bytes_max=4000 * PER_TOKEN)
    batch = Batch(toy, StockSampler(), grouping)
    batch.join([filled(toy, 0, 7000, 100)])
    for first in range(1, 16, 3):
        batch.join([filled(toy, first + i, short + i, 100) for i in range(3)])
    for _ in range(80):
        batch.step()
        tokens = sum(row.length for row in batch.rows)
        assert batch.kv_bytes <= 1.25 * tokens * PER_TOKEN
    assert batch.passes == (1, 15)
    batch.remove(batch.rows[:1])
    tokens = sum(row.length for row in batch.rows)
    assert batch.kv_bytes <= 1.25 * tokens * PER_TOKEN + 15 * ROOM_TOKENS_MIN * PER_TOKEN


def test_padding_that_finds_no_memory_is_not_made(toy: Any) -> None:
    batch = Batch(toy, StockSampler(), Grouping())
    lengths = [10, 50, 52, 100, 200, 300, 20]
    batch.join([filled(toy, i, tokens, 9) for i, tokens in enumerate(lengths)], spare_tokens=5)
    assert batch.padding_tokens <= 5 and batch.passes == (1, 2, 1, 1, 1, 1)
    batch.step()
    assert [len(row.generated) for row in batch.rows] == [0] * 7
    assert sorted(row.id for row in batch.rows) == list(range(7))
