"""One token for every row: who joins, who ends, what is told."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import StepOutput
from mlx_serving.mlx.chunk_policy import FixedBorders
from mlx_serving.mlx.decode import DecodePlan
from mlx_serving.mlx.runner import play

from phases import Phases
from toy import END, greedy, model, prompt, request


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def ready(phases: Phases, *requests: Any) -> None:
    phases.wait(*requests)
    play(phases.admission, StepOutput())
    prefilled(phases)


def prefilled(phases: Phases) -> None:
    """Whatever a chunk may take: the machine's speed has a say in it. Beside rows its time is
    earned by steps of them, which are only told here."""
    budget, rows = phases.budget, len(phases.stages.batch.rows)
    while phases.stages.prefilling:
        play(phases.prefill, StepOutput())
        if rows:
            budget.stepped(budget.step_seconds, rows, alone=False)


def plans(phases: Phases) -> list[DecodePlan]:
    return list(phases.decode.schedule())


def step(phases: Phases) -> StepOutput:
    output = StepOutput()
    play(phases.decode, output)
    return output


def test_without_rows_there_is_no_plan(toy: Any) -> None:
    phases = Phases(toy)
    assert plans(phases) == []
    phases.wait(request(1, prompt(1, 5)))
    play(phases.admission, StepOutput())
    assert plans(phases) == []


def test_what_is_ready_joins_and_steps_at_once(toy: Any) -> None:
    phases = Phases(toy)
    ready(phases, request(1, prompt(1, 9), 3))
    [plan] = plans(phases)
    assert [row.id for row in plan.joining] == [1] and not plan.beside_prompts
    assert phases.stages.ready == [] and phases.stages.batch.rows == []
    ran = phases.decode.run(plan)
    assert [row.id for row in phases.stages.batch.rows] == [1] and ran.alone and ran.whole
    # The first step is fed with the prompt's last token.
    assert [(fed.index, fed.token) for fed in ran.fed] == [(-1, prompt(1, 9)[-1])]
    output = StepOutput()
    phases.decode.postprocess(ran, output)
    assert output.rows == [] and [progress.done for progress in output.prefills] == [9]


def test_tokens_and_ends(toy: Any) -> None:
    phases = Phases(toy)
    ids = prompt(2, 10)
    text = greedy(toy, ids, 3)
    ready(phases, request(1, ids, 3), request(2, ids, 9, logit_bias=((END, 1000.0),)))
    outputs = [step(phases) for _ in range(4)]
    rows = [[(id, index, token) for id, index, token, _ in output.rows] for output in outputs]
    assert rows[1] == [(1, 0, text[0]), (2, 0, END)]
    assert rows[2:] == [[(1, 1, text[1])], [(1, 2, text[2])]]
    ends = [[(end.id, end.finish) for end in output.ends] for output in outputs]
    assert ends == [[], [(2, "stop")], [], [(1, "length")]]
    assert phases.stages.is_empty and step(phases) == StepOutput()


def test_a_prompt_without_a_place_shares_no_step(toy: Any) -> None:
    phases = Phases(toy, max_batch=1)
    ready(phases, request(1, prompt(1, 9)), request(2, prompt(2, 9)))
    for _ in range(2):
        [plan] = plans(phases)
        assert not plan.beside_prompts
        phases.decode.postprocess(phases.decode.run(plan), StepOutput())


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_step_beside_prompts_is_waited_for_where_the_processor_is_shared(
    toy: Any, on_gpu: bool
) -> None:
    phases = Phases(toy, on_gpu=on_gpu)
    ready(phases, request(1, prompt(1, 9)))
    step(phases)
    phases.wait(request(2, prompt(2, 9)))
    play(phases.admission, StepOutput())
    phases.budget.begin(beside_rows=True)
    phases.budget.prefilled(8, 0, 0.001)
    [plan] = plans(phases)
    assert plan.beside_prompts
    ran = phases.decode.run(plan)
    assert not ran.alone and ran.whole != on_gpu


def test_on_a_gpu_a_step_tells_once_chunks_and_joins_are_behind_it(toy: Any) -> None:
    phases = Phases(toy, on_gpu=True)
    ready(phases, request(1, prompt(1, 9)))
    whole = []
    for chunk in (False, True, False, False, False):
        [plan] = plans(phases)
        ran = phases.decode.run(plan)
        whole.append(ran.whole)
        phases.budget.begin(beside_rows=True)
        if chunk:
            phases.budget.queued(8, 0)
    assert whole == [False, True, False, False, True]


def test_a_row_joins_once_its_last_chunk_is_behind_it(toy: Any) -> None:
    phases = Phases(toy, on_gpu=True, queues_chunks=True)
    ready(phases, request(1, prompt(1, 9), 20, logit_bias=((END, -1000.0),)))
    for _ in range(4):
        step(phases)
        play(phases.prefill, StepOutput())
    ready(phases, request(2, prompt(2, 9)))
    assert [row.id for row in phases.stages.ready] == [2]
    step(phases)
    assert [row.id for row in phases.stages.ready] == [2]
    play(phases.prefill, StepOutput())
    step(phases)
    assert phases.stages.ready == [] and len(phases.stages.batch.rows) == 2


def test_a_replay_is_progress_and_no_token(toy: Any) -> None:
    ids = prompt(5, 20)
    text = greedy(toy, ids, 6)
    phases = Phases(toy, policy=FixedBorders())
    ready(phases, request(1, ids, 6, emitted=text[:3]))
    outputs = [step(phases) for _ in range(5)]
    done = [[progress.done for progress in output.prefills] for output in outputs]
    assert done == [[20], [21], [22], [23], []]
    assert [(row[1], row[2]) for row in outputs[4].rows] == [(3, text[3])]


def test_an_answer_is_kept_with_its_prompt(toy: Any) -> None:
    phases = Phases(toy, prefix_bytes=1 << 24)
    ids = prompt(6, 30)
    ready(phases, request(1, ids, 2))
    while not phases.stages.is_empty:
        step(phases)
    text = greedy(toy, ids, 2)
    match = phases.prompt_cache.match([*ids, *text, 1], 1)
    assert match is not None and match.tokens == 32


def test_freed_buffers_wait_for_a_short_step(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[int] = []
    monkeypatch.setattr(mx, "clear_cache", lambda: cleared.append(1))
    phases = Phases(toy, buffer_bytes_max=100.0)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 150)
    ready(phases, request(1, prompt(1, 9), 20))
    step(phases)
    assert cleared == []
    phases.wait(request(2, prompt(2, 9), 20))
    play(phases.admission, StepOutput())
    step(phases)
    assert cleared == [], "a prompt shares the step"
    prefilled(phases)
    step(phases)
    assert cleared == [], "a row joins"
    for _ in range(5):
        step(phases)
    assert cleared == [1]
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 250)
    ready(phases, request(3, prompt(3, 9), 20))
    step(phases)
    assert cleared == [1, 1], "too many by far"
