"""Chunk by chunk, each scheduled by what the one before has taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import StepOutput
from mlx_serving.mlx.chunk_policy import FreeLengths, Units, WholePrompts
from mlx_serving.mlx.prefill import Chunk, Computed, Failure, Ran, TakenOver
from mlx_serving.mlx.runner import play

from phases import Phases
from toy import END, model, prompt, request


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def admitted(phases: Phases, *lengths: int, max_tokens: int = 12) -> None:
    phases.wait(*(request(i, prompt(i, n), max_tokens) for i, n in enumerate(lengths)))
    play(phases.admission, StepOutput())


def scheduled(phases: Phases) -> list[Chunk]:
    """The chunks of a step, postprocessed one by one."""
    chunks = []
    for plan in phases.prefill.schedule():
        if isinstance(plan, Chunk):
            chunks.append(plan)
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    return chunks


def first(phases: Phases) -> Chunk:
    """The first chunk of a step, not run yet."""
    for plan in phases.prefill.schedule():
        if isinstance(plan, Chunk):
            return plan
        phases.prefill.postprocess(phases.prefill.run(plan), StepOutput())
    raise AssertionError("no chunk is due")


def test_one_prompt_after_another_the_shortest_first(toy: Any) -> None:
    phases = Phases(toy, chunk_tokens=16)
    admitted(phases, 461, 9, 201)
    turns: list[int] = []
    while phases.stages.prefilling:
        turns += [chunk.row.id for chunk in scheduled(phases)]
    assert turns == sorted(turns, key=[1, 2, 0].index)
    assert [row.id for row in phases.stages.ready] == [1, 2, 0]
    assert not phases.stages.prefilling


def test_a_better_class_goes_first(toy: Any) -> None:
    phases = Phases(toy, chunk_tokens=64, share=False)
    ids = [prompt(i, 30) for i in range(3)]
    phases.wait(request(0, ids[0]), replace(request(1, ids[1]), priority="batch"))
    phases.wait(replace(request(2, ids[2]), priority="interactive"))
    play(phases.admission, StepOutput())
    assert [chunk.row.id for chunk in scheduled(phases)] == [2, 0, 1]


def test_a_plan_computes_nothing_before_it_is_run(toy: Any) -> None:
    phases = Phases(toy, chunk_tokens=16)
    admitted(phases, 41)
    chunk = first(phases)
    assert (chunk.tokens, chunk.padding, chunk.row.done) == (16, 0, 0)
    ran = phases.prefill.run(chunk)
    assert isinstance(ran, Computed) and (ran.depth, chunk.row.done) == (0, 16)
    assert phases.host.prefills == [] and phases.budget.chunks == 0
    phases.prefill.postprocess(ran, StepOutput())
    assert [progress.done for progress in phases.host.prefills] == [16]
    assert phases.budget.chunks == 1 and phases.stages.prefilling[0] is chunk.row


def test_a_prompt_of_one_token_is_ready_at_once(toy: Any) -> None:
    phases = Phases(toy)
    admitted(phases, 1)
    [chunk] = scheduled(phases)
    assert chunk.tokens == 0 and phases.budget.chunks == 0
    assert [row.id for row in phases.stages.ready] == [0] and phases.host.prefills == []


def test_a_prompt_alone_ends_without_a_token(toy: Any) -> None:
    phases = Phases(toy)
    admitted(phases, 20, max_tokens=0)
    output = StepOutput()
    play(phases.prefill, output)
    assert [(end.id, end.finish) for end in output.ends] == [(0, "stop")]
    assert output.prefills[-1].done == output.prefills[-1].total == 20
    assert phases.stages.is_empty


def test_the_last_chunk_is_padded_where_the_cache_can_be_cut_back(toy: Any) -> None:
    phases = Phases(toy, policy=Units(16), chunk_tokens=32)
    admitted(phases, 38)
    chunks = scheduled(phases)
    assert [(chunk.tokens, chunk.padding) for chunk in chunks] == [(32, 0), (5, 11)]
    [row] = phases.stages.ready
    assert {layer.offset for layer in row.cache} == {37}


@pytest.mark.parametrize(("length", "padding"), [(12, 5), (18, 0)])
def test_a_window_that_padding_would_fill_is_not_padded(length: int, padding: int) -> None:
    windowed = model(layer_types=["sliding_attention", "full_attention"], sliding_window=24)
    phases = Phases(windowed, policy=Units(16), chunk_tokens=16)
    admitted(phases, length)
    assert scheduled(phases)[-1].padding == padding


def test_a_prompt_that_may_not_be_cut_is_one_chunk(toy: Any) -> None:
    phases = Phases(toy, policy=WholePrompts(FreeLengths()), chunk_tokens=16)
    admitted(phases, 300, 5)
    assert [chunk.tokens for chunk in scheduled(phases)] == [4, 299]


def test_without_prompts_no_time_is_saved_up(toy: Any) -> None:
    phases = Phases(toy)
    for _ in range(50):
        phases.budget.stepped(0.05, 4, alone=True)
        assert scheduled(phases) == []
    phases.budget.begin(beside_rows=True)
    assert phases.budget.seconds <= 2 * 0.05


def test_beside_rows_a_chunk_is_queued_and_the_steps_after_it_tell(toy: Any) -> None:
    phases = Phases(toy, queues_chunks=True, on_gpu=True)
    endless = {"logit_bias": ((END, -1000.0),)}
    phases.wait(request(0, prompt(0, 20), 40, **endless))
    play(phases.admission, StepOutput())
    scheduled(phases)
    assert not phases.stages.prefilling, "alone, all chunks are waited for"
    phases.wait(request(1, prompt(1, 30), 5))
    ran: list[Ran] = []
    for _ in range(6):
        play(phases.decode, StepOutput())
        play(phases.admission, StepOutput())
        for chunk in phases.prefill.schedule():
            ran.append(phases.prefill.run(chunk))
            phases.prefill.postprocess(ran[-1], StepOutput())
    computed = [one for one in ran if isinstance(one, Computed)]
    assert {type(one) for one in ran} == {TakenOver, Computed}
    assert all(one.seconds is None for one in computed)
    assert sum(one.chunk.tokens for one in computed) == 29
    assert len(phases.stages.batch.rows) == 2


class Broken:
    def __init__(self, toy: Any, message: str) -> None:
        self._toy, self._message = toy, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        raise RuntimeError(self._message)


def test_a_failure_is_a_value_until_it_is_told(toy: Any) -> None:
    phases = Phases(Broken(toy, "a broken kernel"))
    admitted(phases, 20, 20)
    chunk = first(phases)
    ran = phases.prefill.run(chunk)
    assert isinstance(ran, Failure) and ran.row is chunk.row
    output = StepOutput()
    phases.prefill.postprocess(ran, output)
    assert [(end.id, end.code) for end in output.ends] == [(0, "generation_error")]
    assert [row.id for row in phases.stages.prefilling] == [1]


@pytest.mark.parametrize("others", [0, 1])
def test_memory_that_others_use_too_is_nobodys_fault(toy: Any, others: int) -> None:
    phases = Phases(Broken(toy, "[malloc] Unable to allocate 1 bytes."))
    admitted(phases, *[20] * (1 + others))
    output = StepOutput()
    ran = phases.prefill.run(first(phases))
    if others:
        with pytest.raises(RuntimeError, match="allocate"):
            phases.prefill.postprocess(ran, output)
    else:
        phases.prefill.postprocess(ran, output)
        assert output.ends[0].code == "out_of_memory"
