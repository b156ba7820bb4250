"""The steps of a runner on a tiny model: it computes what whole forward passes compute, whatever
shares the batch, wherever a text is cut, whatever the prompt cache holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import StepOutput
from mlx_serving.failures import Refused
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.chunk_policy import BORDER_TOKENS
from mlx_serving.mlx.grouping import Grouping
from mlx_serving.mlx.runner import play
from mlx_serving.mlx.sampling import Sampler

from toy import CONTEXT, END, VOCABULARY, Driver, greedy, model, prompt, request

SAMPLED: dict[str, Any] = {
    "temperature": 1.0,
    "seed": 11,
    "top_p": 0.9,
    "top_k": 30,
    "min_p": 0.01,
}
PENALIZED: dict[str, Any] = {
    **SAMPLED,
    "repetition_penalty": 1.3,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.4,
    "logit_bias": ((5, 2.0), (6, -100.0)),
}


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def test_greedy_text_is_that_of_whole_forward_passes(toy: Any) -> None:
    for length in (1, 2, 30, 200):
        ids = prompt(length, length)
        assert Driver(toy).run(request(1, ids))[1] == greedy(toy, ids, 12)


def test_neighbours_change_nothing(toy: Any, sampler: Sampler) -> None:
    requests = [
        request(i, prompt(i, 1 + 13 * i), 6 + i, **(PENALIZED if i % 2 else {})) for i in range(8)
    ]
    alone = {one.id: Driver(toy, sampler=sampler).run(one)[one.id] for one in requests}
    assert Driver(toy, sampler=sampler).run(*requests) == alone
    assert Driver(toy, max_batch=3, chunk_tokens=16, sampler=sampler).run(*requests) == alone
    late = Driver(toy, sampler=sampler)
    for one in requests:
        late.insert(one)
        late.step()
        late.step()
    late.run()
    assert late.tokens == alone


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    "sampled", [{}, SAMPLED, PENALIZED], ids=["greedy", "sampled", "penalized"]
)
def test_a_resume_goes_on_exactly_at_every_token(
    toy: Any, sampler: Sampler, deterministic: bool, sampled: dict[str, Any]
) -> None:
    ids = prompt(5, 150)

    def driver() -> Driver:
        return Driver(toy, deterministic=deterministic, sampler=sampler)

    whole = driver().run(request(0, ids, 12, **sampled))[0]
    for k in range(1, len(whole)):
        resumed = driver()
        rest = resumed.run(request(k, ids, 12, emitted=whole[:k], **sampled))[k]
        assert rest == whole[k:]
        assert resumed.prefills[k][-1].done == resumed.prefills[k][-1].total == len(ids) + k


@pytest.mark.parametrize("sampled", [SAMPLED, PENALIZED], ids=["sampled", "penalized"])
def test_a_resume_in_a_batch_draws_what_it_would_have_drawn(
    toy: Any, sampler: Sampler, sampled: dict[str, Any]
) -> None:
    ids = prompt(5, 40)
    whole = Driver(toy, sampler=sampler).run(request(0, ids, 12, **sampled))[0]
    neighbours = [
        request(100 + i, prompt(i, 9 * i + 3), 15, temperature=0.5 * i, seed=i) for i in range(4)
    ]
    for k in range(1, len(whole)):
        # The seed is the request's: its id, its place in the batch and the worker's age differ.
        resumed = request(k, ids, 12, emitted=whole[:k], **sampled)
        batch = [*neighbours[: k % 5], resumed, *neighbours[k % 5 :]]
        driver = Driver(toy, sampler=sampler)
        driver.insert(request(99, prompt(9, 5), 3 + k, temperature=1.0, seed=99))
        driver.step()
        assert driver.run(*batch)[k] == whole[k:]


def test_the_seed_matters_and_the_place_does_not(toy: Any) -> None:
    ids = prompt(1, 20)
    texts = [
        tuple(Driver(toy).run(request(1, ids, 12, temperature=1.5, seed=seed))[1])
        for seed in (1, 2, 3, 1)
    ]
    assert texts[0] == texts[3] and len(set(texts)) == 3
    mx.random.seed(99)
    assert tuple(Driver(toy).run(request(1, ids, 12, temperature=1.5, seed=1))[1]) == texts[0]


def test_progress_of_a_prefill(toy: Any) -> None:
    driver = Driver(toy, chunk_tokens=16)
    driver.run(request(1, prompt(1, 100)))
    done = [progress.done for progress in driver.prefills[1]]
    assert done == [16, 32, 48, 64, 80, 96, 99, 100]
    assert {progress.total for progress in driver.prefills[1]} == {100}


def test_fixed_borders_in_the_deterministic_profile(toy: Any) -> None:
    driver = Driver(toy, deterministic=True, chunk_tokens=1000)
    driver.run(request(1, prompt(1, 300)))
    assert [progress.done for progress in driver.prefills[1]] == [128, 256, 299, 300]


# --- ends ---


def test_ends(toy: Any) -> None:
    ids = prompt(2, 10)
    text = greedy(toy, ids, 12)
    driver = Driver(toy)
    driver.run(request(1, ids, 3), request(2, prompt(3, CONTEXT - 4), 50))
    assert driver.ends[1].finish == "length" and driver.tokens[1] == text[:3]
    assert driver.ends[2].finish == "length" and len(driver.tokens[2]) == 4
    biased = Driver(toy)
    biased.run(request(1, ids, 12, logit_bias=((END, 1000.0),)))
    assert biased.tokens[1] == [END] and biased.ends[1].finish == "stop"


def test_logprobs_are_the_models_own(toy: Any, sampler: Sampler) -> None:
    ids = prompt(4, 20)
    driver = Driver(toy, sampler=sampler)
    driver.run(request(1, ids, 5, logprobs=3, **PENALIZED), request(2, ids, 5))
    text = driver.tokens[1]
    for i, logprobs in enumerate(driver.logprobs[1]):
        logits = toy(mx.array([ids + text[:i]]))[0, -1]
        expected = logits - mx.logsumexp(logits)
        assert logprobs is not None
        assert logprobs.logprob == pytest.approx(float(expected[text[i]].item()), abs=1e-3)
        best = mx.argsort(-expected)[:3].tolist()
        assert [token for token, _ in logprobs.top] == best
    assert driver.logprobs[2] == [None] * 5


# --- prompts alone ---


def test_a_prompt_alone_is_kept_for_the_next(toy: Any) -> None:
    ids = prompt(2, 200)
    driver = Driver(toy, prefix_bytes=1 << 20, chunk_tokens=16)
    driver.run(request(1, ids, 0))
    assert driver.tokens[1] == [] and driver.ends[1].finish == "stop"
    last = driver.prefills[1][-1]
    assert (last.done, last.total, last.cached) == (200, 200, 0)
    # The same again, and what goes on from it.
    driver.run(request(2, ids, 0))
    assert driver.cached(2) == 199 and driver.ends[2].finish == "stop"
    longer = [*ids, *prompt(3, 20)]
    assert driver.run(request(3, ids))[3] == greedy(toy, ids, 12)
    assert driver.cached(3) == 199
    assert driver.run(request(4, longer))[4] == greedy(toy, longer, 12)
    assert driver.cached(4) >= 199


@pytest.mark.parametrize("length", [1, 2, 128, 129, 300])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_prompt_alone_of_any_length_ends(toy: Any, deterministic: bool, length: int) -> None:
    driver = Driver(toy, deterministic=deterministic, prefix_bytes=1 << 20)
    driver.run(request(1, prompt(1, length), 0))
    assert driver.tokens[1] == [] and driver.ends[1].finish == "stop"
    assert driver.prefills[1][-1].done == driver.prefills[1][-1].total == length


def test_prompts_alone_change_nothing_for_their_neighbours(toy: Any, sampler: Sampler) -> None:
    ids = prompt(5, 40)
    alone = Driver(toy, sampler=sampler).run(request(0, ids, 12, **SAMPLED))[0]
    driver = Driver(toy, max_batch=2, chunk_tokens=16, prefix_bytes=1 << 20, sampler=sampler)
    only = [request(i, prompt(i, 90), 0) for i in range(1, 4)]
    texts = driver.run(*only, request(0, ids, 12, **SAMPLED), request(4, prompt(7, 3), 5))
    assert texts[0] == alone and len(texts[4]) == 5
    assert all(driver.ends[one.id].finish == "stop" and texts[one.id] == [] for one in only)


def test_a_prompt_alone_gives_its_place_to_the_next(toy: Any) -> None:
    driver = Driver(toy, max_batch=1)
    driver.run(request(1, prompt(1, 50), 0), request(2, prompt(2, 50), 3))
    assert driver.tokens[2] == greedy(toy, prompt(2, 50), 3)
    driver.insert(request(3, prompt(3, 500), 0))
    driver.step()
    driver.runner.remove(3)
    assert driver.runner.delay_seconds() is None


# --- aborts ---


def test_removal_in_every_state(toy: Any) -> None:
    driver = Driver(toy, max_batch=2, deterministic=True)
    ids = prompt(6, 400)
    driver.insert(request(1, ids, 50))
    driver.insert(request(2, prompt(7, 5), 20))
    driver.insert(request(3, prompt(8, 5), 20))
    driver.runner.remove(1)
    driver.step()
    driver.step()
    driver.runner.remove(3)
    driver.step()
    driver.runner.remove(99)
    driver.run()
    assert driver.tokens[1] == [] and 1 not in driver.ends and 3 not in driver.ends
    assert driver.tokens[2] == greedy(toy, prompt(7, 5), 20)
    assert driver.runner.figures().kv_bytes == 0
    assert driver.runner.delay_seconds() is None


def test_rows_leave_and_the_others_go_on(toy: Any) -> None:
    driver = Driver(toy)
    for i in range(4):
        driver.insert(request(i, prompt(i, 3 + 20 * i), 15))
    for _ in range(5):
        driver.step()
    driver.runner.remove(3)
    driver.runner.remove(0)
    driver.run()
    for i in (1, 2):
        assert driver.tokens[i] == greedy(toy, prompt(i, 3 + 20 * i), 15)


def test_chunks_of_whole_units_change_nothing(toy: Any) -> None:
    """The last chunk is padded, and a prefix is used up to a whole unit."""
    ids = prompt(4, 150)
    driver = Driver(toy, unit_tokens=16, chunk_tokens=64, prefix_bytes=1 << 24)
    driver.insert(request(0, prompt(8, 5), 60))
    driver.step()
    text = driver.run(request(1, ids), request(2, prompt(2, 3)), request(3, [7]))[1]
    assert text == greedy(toy, ids, 12)
    assert driver.tokens[2] == greedy(toy, prompt(2, 3), 12)
    assert driver.tokens[3] == greedy(toy, [7], 12)
    assert {progress.done % 16 for progress in driver.prefills[1][:-2]} == {0}
    following = [*ids, *text, 5, 6]
    driver.run(request(4, following))
    assert driver.cached(4) == 160
    assert driver.tokens[4] == greedy(toy, following, 12)


def test_freed_buffers_are_given_back(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[int] = []
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 2 << 30)
    monkeypatch.setattr(mx, "clear_cache", lambda: cleared.append(1))
    Driver(toy, kv_budget=1e9).run(request(1, prompt(1, 20)), request(2, prompt(2, 20)))
    assert cleared == [1]
    Driver(toy, kv_budget=1e12).run(request(1, prompt(1, 20)))
    assert cleared == [1]


# --- groups ---

GROUPINGS = {
    "one": Grouping(),
    "by length": Grouping(bytes_per_token=1.0, padding_bytes_max=30.0),
    "alone": Grouping(alone=True),
}


@pytest.mark.parametrize("grouping", GROUPINGS.values(), ids=list(GROUPINGS))
def test_groups_change_nothing(toy: Any, sampler: Sampler, grouping: Grouping) -> None:
    lengths = (300, 4, 150, 7, 2, 301, 160, 5)
    requests = [
        request(i, prompt(i, length), 6 + 3 * i, **(PENALIZED if i % 3 == 1 else {}))
        for i, length in enumerate(lengths)
    ]
    alone = {one.id: Driver(toy, sampler=sampler).run(one)[one.id] for one in requests}
    together = Driver(toy, sampler=sampler, grouping=grouping)
    assert together.run(*requests) == alone
    late = Driver(toy, sampler=sampler, grouping=grouping)
    for one in requests:
        late.insert(one)
        late.step()
        late.step()
        late.step()
    late.run()
    assert late.tokens == alone


def test_a_long_row_has_a_pass_of_its_own(toy: Any) -> None:
    driver = Driver(toy, grouping=GROUPINGS["by length"])
    for i in range(4):
        driver.insert(request(i, prompt(i, 8), 40))
    driver.step()
    driver.step()
    short = driver.runner.figures().kv_bytes
    driver.insert(request(9, prompt(9, 400), 40))
    driver.step()
    driver.step()
    per_token = 2 * 2 * 2 * 8 * 4
    assert driver.runner.figures().kv_bytes <= short + 460 * per_token
    driver.runner.remove(9)
    assert driver.runner.figures().kv_bytes == short


def test_a_group_of_one_is_kept_for_the_next_turn(toy: Any) -> None:
    driver = Driver(toy, prefix_bytes=1 << 24, grouping=GROUPINGS["alone"])
    ids = prompt(9, 100)
    text = driver.run(request(1, ids), request(2, prompt(3, 20)))[1]
    driver.run(request(3, [*ids, *text, 5, 6]))
    assert driver.cached(3) == len(ids) + len(text)


# --- prefix cache ---


def test_a_repeated_prompt_is_cached_but_for_its_last_token(toy: Any) -> None:
    ids = prompt(9, 100)
    driver = Driver(toy, prefix_bytes=1 << 24)
    first = driver.run(request(1, ids))[1]
    assert driver.cached(1) == 0
    assert driver.run(request(2, ids))[2] == first and driver.cached(2) == 99
    turn = ids + first + prompt(3, 10)
    assert driver.run(request(3, turn))[3] == greedy(toy, turn, 12)
    assert driver.cached(3) >= 100 + len(first) - 1
    other = ids[:40] + prompt(4, 20)
    assert driver.run(request(4, other))[4] == greedy(toy, other, 12)
    assert driver.cached(4) >= 40


def test_hits_end_on_borders_in_the_deterministic_profile(toy: Any) -> None:
    ids = prompt(9, 300)
    driver = Driver(toy, prefix_bytes=1 << 24, deterministic=True)
    first = driver.run(request(1, ids))[1]
    assert driver.run(request(2, ids))[2] == first
    assert driver.cached(2) == 2 * BORDER_TOKENS
    assert [progress.done for progress in driver.prefills[2]] == [299, 300]
    short = ids[:200]
    assert driver.run(request(3, short))[3] == greedy(toy, short, 12)
    assert driver.cached(3) == BORDER_TOKENS


def test_a_resumed_prompt_counts_its_own_tokens_as_cached_only(toy: Any) -> None:
    ids = prompt(9, 50)
    driver = Driver(toy, prefix_bytes=1 << 24)
    text = driver.run(request(1, ids))[1]
    rest = driver.run(request(2, ids, 12, emitted=text[:6]))[2]
    assert rest == text[6:] and driver.cached(2) == 50


def test_nothing_is_shared_between_salts(toy: Any) -> None:
    ids = prompt(9, 50)
    driver = Driver(toy, prefix_bytes=1 << 24)
    for id, salt, cached in ((1, "a", 0), (2, "b", 0), (3, "a", 49), (4, "", 0)):
        one = replace(request(id, ids), salt=salt)
        assert driver.run(one)[id] == greedy(toy, ids, 12)
        assert driver.cached(id) == cached
    counts = driver.runner.figures().prefix_counts
    assert counts is not None
    assert (counts.hit, counts.other_salt, counts.never_seen) == (49, 98, 49)


@pytest.mark.parametrize("window", [None, 32])
def test_a_cancelled_prompt_is_kept_as_far_as_it_is_computed(window: int | None) -> None:
    windows = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": window}
    toy = model(**(windows if window else {}))
    driver = Driver(toy, prefix_bytes=1 << 24, chunk_tokens=48)
    ids = prompt(9, 400)
    driver.insert(request(1, ids))
    play(driver.runner._admission, StepOutput())
    prefill = driver.runner._prefill
    # Its cache, and two chunks.
    for plan in islice(prefill.schedule(), 3):
        prefill.postprocess(prefill.run(plan), StepOutput())
    driver.runner.remove(1)
    driver.host.prefills.clear()
    driver.run(request(2, ids))
    assert driver.cached(2) == 96
    assert driver.tokens[2] == greedy(toy, ids, 12)


def test_one_that_is_cancelled_while_it_decodes_is_kept_to_its_last_token(toy: Any) -> None:
    driver = Driver(toy, prefix_bytes=1 << 24)
    first, beside = request(1, prompt(9, 100), 30), request(2, prompt(4, 40), 30)
    for one in (first, beside):
        driver.insert(one)
    while len(driver.tokens.get(1, [])) < 10:
        driver.step()
    driver.runner.remove(1)
    ids = [*first.prompt, *driver.tokens[1]]
    following = [*ids, *prompt(5, 20)]
    assert driver.run(request(3, following))[3] == greedy(toy, following, 12)
    assert driver.cached(3) == len(ids)
    driver.prompt_cache.check()


@pytest.mark.parametrize("block_tokens", [16, 64, 100])
@pytest.mark.parametrize("grouping", GROUPINGS.values(), ids=list(GROUPINGS))
def test_blocks_of_any_size_change_nothing(toy: Any, block_tokens: int, grouping: Grouping) -> None:
    """Conversations that share their start, beside each other and one after another."""
    driver = Driver(toy, prefix_bytes=1 << 24, grouping=grouping, block_tokens=block_tokens)
    start = prompt(3, 210)
    first = [[*start, *prompt(seed, 20 + seed)] for seed in range(3)]
    texts = driver.run(*(request(id, ids) for id, ids in enumerate(first)))
    for id, ids in enumerate(first):
        assert texts[id] == greedy(toy, ids, 12)
        following = [*ids, *texts[id], *prompt(id + 7, 30)]
        assert driver.run(request(id + 10, following))[id + 10] == greedy(toy, following, 12)
        said = len(ids) + len(texts[id])
        assert driver.cached(id + 10) == said
    assert driver.run(request(20, [*start, 5]))[20] == greedy(toy, [*start, 5], 12)
    assert driver.cached(20) == 210


def test_a_hit_leaves_the_values_that_were_computed_to_the_bit(toy: Any) -> None:
    driver = Driver(toy, prefix_bytes=1 << 24, deterministic=True, block_tokens=64)
    ids = prompt(9, 330)
    without = Driver(toy, deterministic=True).run(request(1, ids, 12, logprobs=5))
    driver.run(request(1, [*ids[:290], 4, 4]), request(2, ids[:200]))
    assert driver.run(request(3, ids, 12, logprobs=5))[3] == without[1]
    assert driver.cached(3) == 2 * BORDER_TOKENS
    match = driver.prompt_cache.match(ids[:256], BORDER_TOKENS)
    assert match is not None
    computed = CacheFactory(toy).new()
    for start in (0, 128):
        toy(mx.array([ids[start : start + 128]]), cache=computed)
    for mine, theirs in zip(match.cache, computed, strict=True):
        for joined, whole in zip(mine.keys_and_values(), theirs.keys_and_values(), strict=True):
            assert mx.array_equal(joined.view(mx.uint32), whole.view(mx.uint32))


def test_the_byte_limit_holds(toy: Any) -> None:
    driver = Driver(toy, prefix_bytes=300_000)
    for i in range(6):
        driver.run(request(i, prompt(i, 300)))
        assert driver.runner.figures().prefix_cache_bytes <= 300_000
    assert driver.runner.figures().prefix_cache_bytes > 0


@pytest.mark.parametrize("prefix_bytes", [0, 1 << 24])
def test_a_model_with_a_sliding_window(prefix_bytes: int) -> None:
    toy = model(layer_types=["sliding_attention", "full_attention"], sliding_window=32)
    driver = Driver(toy, prefix_bytes=prefix_bytes, chunk_tokens=24)
    ids = prompt(5, 100)
    first = driver.run(request(1, ids), request(2, ids[:20]))
    assert first[1] == greedy(toy, ids, 12) and first[2] == greedy(toy, ids[:20], 12)
    again = driver.run(request(3, ids), request(4, [*ids, *first[1], 7, 8]))
    assert again[3] == first[1]
    assert again[4] == greedy(toy, [*ids, *first[1], 7, 8], 12)


# --- failures ---


class Failing:
    """The toy, but a prompt with a certain token raises."""

    def __init__(self, toy: Any, token: int, message: str) -> None:
        self._toy, self._token, self._message = toy, token, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[1] > 1 and any(self._token in row for row in inputs.tolist()):
            raise RuntimeError(self._message)
        return self._toy(inputs, cache=cache)


def test_a_failed_prefill_costs_its_request_alone(toy: Any) -> None:
    driver = Driver(Failing(toy, VOCABULARY - 1, "a broken kernel"))
    ids = prompt(1, 20)
    driver.run(request(1, ids), request(2, [3, VOCABULARY - 1, 4]), request(3, ids))
    assert driver.ends[2].finish == "failed" and driver.ends[2].code == "generation_error"
    assert "a broken kernel" in driver.ends[2].message
    assert driver.tokens[1] == driver.tokens[3] == greedy(toy, ids, 12)


def test_out_of_memory(toy: Any) -> None:
    failing = Failing(toy, VOCABULARY - 1, "[malloc_or_wait] Unable to allocate 1 bytes.")
    alone = Driver(failing)
    alone.run(request(1, [3, VOCABULARY - 1, 4]))
    assert alone.ends[1].code == "out_of_memory"
    together = Driver(failing)
    together.insert(request(1, prompt(1, 20)))
    together.step()
    together.insert(request(2, [3, VOCABULARY - 1, 4]))
    with pytest.raises(RuntimeError, match="allocate"):
        together.run()


def test_what_can_never_fit_is_refused(toy: Any) -> None:
    driver = Driver(toy, kv_budget=100 * 40)
    with pytest.raises(Refused) as caught:
        driver.insert(request(1, prompt(1, 30), 12))
    assert caught.value.code == "memory_budget_exceeded"
    driver.run(request(2, prompt(1, 28), 12))
    assert driver.ends[2].finish == "length"


def test_new_shapes_are_announced_where_they_are_compiled(toy: Any) -> None:
    driver = Driver(toy, on_gpu=True)
    driver.run(request(1, prompt(1, 20)))
    assert driver.host.busies == ["compilation", "compilation"]
    driver.run(request(2, prompt(2, 20)))
    assert len(driver.host.busies) == 2


def test_queued_chunks_change_no_text(toy: Any) -> None:
    ids = [prompt(i, 5 + 23 * i) for i in range(4)]
    expected = {i: greedy(toy, one, 12) for i, one in enumerate(ids)}
    driver = Driver(toy, chunk_tokens=16, on_gpu=True, queues_chunks=True)
    for i, one in enumerate(ids):
        driver.insert(request(i, one, 12))
        for _ in range(2 * i):
            driver.step()
    driver.run()
    assert {i: driver.tokens[i] for i in expected} == expected
