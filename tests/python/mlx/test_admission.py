"""Requests get their places in order, each as a row that knows what is computed already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mlx_serving.engine import End, StepOutput
from mlx_serving.failures import Refused
from mlx_serving.mlx.caches import size_bytes
from mlx_serving.mlx.chunk_policy import ChunkPolicy, FixedBorders, FreeLengths, WholePrompts
from mlx_serving.mlx.row import Row
from mlx_serving.mlx.runner import play

from phases import Phases
from toy import CONTEXT, model, prompt, request


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


def row_of(phases: Phases, *asked: Any) -> Row:
    row = phases.admission.run(request(*asked))
    assert isinstance(row, Row)
    return row


def test_places_are_given_in_order_as_far_as_they_go(toy: Any) -> None:
    phases = Phases(toy, max_batch=2)
    phases.wait(*(request(i, prompt(i, 5)) for i in range(4)))
    output = StepOutput()
    play(phases.admission, output)
    assert [row.id for row in phases.stages.prefilling] == [0, 1]
    assert [waiting.id for waiting in phases.stages.waiting] == [2, 3]
    phases.stages.remove(0)
    play(phases.admission, output)
    assert [row.id for row in phases.stages.prefilling] == [1, 2] and output == StepOutput()


@pytest.mark.parametrize(
    ("tokens", "max_tokens", "fits"),
    [(28, 12, True), (29, 12, False), (40, 0, True), (1, 40, False)],
)
def test_what_can_never_fit_is_refused(toy: Any, tokens: int, max_tokens: int, fits: bool) -> None:
    phases = Phases(toy, kv_budget=100 * 40)
    asked = request(1, prompt(1, tokens), max_tokens)
    if fits:
        phases.admission.check(asked)
        return
    with pytest.raises(Refused) as caught:
        phases.admission.check(asked)
    assert (caught.value.code, caught.value.field) == ("memory_budget_exceeded", "max_tokens")


def test_no_text_is_longer_than_the_context(toy: Any) -> None:
    phases = Phases(toy, kv_budget=100 * CONTEXT)
    phases.admission.check(request(1, prompt(1, 10), 10 * CONTEXT))
    assert row_of(phases, 1, prompt(1, 10), 10 * CONTEXT).end == CONTEXT - 10


def test_all_but_the_last_token_is_prefilled(toy: Any) -> None:
    row = row_of(Phases(toy), 1, [4, 5, 6])
    assert (row.prefill, row.last, row.left, row.total) == ([4, 5], 6, 2, 3)
    assert row_of(Phases(toy), 1, [4]).left == 0


@pytest.mark.parametrize(
    "policy", [FreeLengths(), FixedBorders(), WholePrompts(FreeLengths())], ids=repr
)
def test_a_resume_is_prefilled_or_replayed(toy: Any, policy: ChunkPolicy) -> None:
    row = row_of(Phases(toy, policy=policy), 1, [4, 5], 12, [7, 8, 9])
    if policy.replays:
        assert (row.prefill, row.last, row.forced, row.index) == ([4], 5, [7, 8, 9], -1)
    else:
        assert (row.prefill, row.last, row.forced, row.index) == ([4, 5, 7, 8], 9, [], 2)
    assert row.first == 3 and row.total == 5


def test_a_cached_prefix_is_known_and_not_copied_yet(toy: Any) -> None:
    phases = Phases(toy, prefix_bytes=1 << 24, chunk_tokens=512)
    ids = prompt(3, 129)
    phases.wait(request(1, ids))
    play(phases.admission, StepOutput())
    play(phases.prefill, StepOutput())
    again = row_of(phases, 2, ids)
    assert (again.available, again.missing_tokens) == (128, 0)
    assert (again.done, again.cached) == (0, 0) and size_bytes(again.cache) == 0
    phases.wait(request(3, ids[:20], 12, ids[20:]))
    play(phases.admission, StepOutput())
    play(phases.prefill, StepOutput())
    resumed = phases.stages.ready[-1]
    assert (resumed.id, resumed.done, resumed.cached) == (3, 128, 20)


def test_prompts_of_another_salt_have_nothing_in_common(toy: Any) -> None:
    phases = Phases(toy, prefix_bytes=1 << 24, chunk_tokens=512)
    ids = prompt(3, 200)
    phases.wait(replace(request(1, ids), salt="mine"))
    play(phases.admission, StepOutput())
    play(phases.prefill, StepOutput())
    for salt, available in [("mine", 192), ("yours", 0), ("", 0)]:
        row = phases.admission.run(replace(request(2, ids), salt=salt))
        assert isinstance(row, Row) and row.available == available


def test_what_fails_is_told_and_takes_no_place(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = Phases(toy, max_batch=1)

    def fail(tokens: list[int], salt: str) -> Any:
        raise RuntimeError("[malloc] no memory for a copy")

    with monkeypatch.context() as patched:
        patched.setattr(phases.admission._prefixes, "peek", fail)
        phases.wait(request(1, [1, 2]), request(2, [1, 2]))
        output = StepOutput()
        play(phases.admission, output)
    assert [(end.id, end.finish, end.code) for end in output.ends] == [
        (1, "failed", "out_of_memory"),
        (2, "failed", "out_of_memory"),
    ]
    assert isinstance(output.ends[0], End) and phases.stages.is_empty
