"""A bounded reasoning through a real process: where it ends, what is counted, resumes at every
token.
"""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.fake.script import script_tokens
from mlx_serving.fake.text import REASONING_END

from orchestrator import WEATHER, Message, Run, Worker, admission, offer

CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
SAY = f"<think>The user wants it now.</think>Let me see.{CALL}"
MARK = len(REASONING_END)
THOUGHT = len(script_tokens("The user wants it now.")) - 1


def scripted(id: int, budget: int | None, say: str = SAY, **fields: Any) -> Message:
    given = {"fakeSay": say, "tools": offer(tools=[WEATHER])}
    reasoning = {} if budget is None else {"reasoning": {"maxTokens": budget}}
    return {**admission(id, **{"max_tokens": 1000, **fields}), **given, **reasoning}


def kinds(run: Run) -> tuple[int, int]:
    """Tokens of reasoning that were the model's own, and forced ones."""
    pieces = [[piece[0] for piece in said] for said in run.said if type(said) is list]
    forced = sum("forced" in said for said in pieces)
    return sum("reasoning" in said for said in pieces) - forced, forced


def turn(run: Run) -> list[list[Any]]:
    return [piece for piece in run.turn if piece[0] != "forced"]


def thought(run: Run) -> str:
    return "".join(piece[1] for piece in turn(run) if piece[0] == "reasoning")


@pytest.fixture(scope="module")
def worker() -> Any:
    with Worker() as worker:
        worker.ready(maxBatch=256)
        yield worker


def test_every_budget_from_nothing_to_enough(worker: Worker) -> None:
    enough = THOUGHT + MARK
    budgets = range(enough + 3)
    runs = worker.run(*(scripted(i, i) for i in budgets), scripted(1000, None))
    whole = runs.pop(1000)
    for budget, run in runs.items():
        own, forced = kinds(run)
        assert own <= budget and own + forced <= budget + MARK
        assert whole_thought().startswith(thought(run))
        # The answer goes on, with the call that it has.
        assert turn(run)[-4:] == whole.turn[-4:] and run.end["finish"] == "toolCalls"
        if budget >= enough:
            assert (run.tokens, run.said) == (whole.tokens, whole.said)
        else:
            assert forced > 0 and own == budget
    # What the model has said of the mark itself is not said again.
    for said in range(1, MARK):
        run = runs[THOUGHT + said]
        assert thought(run) == whole_thought() and kinds(run) == (THOUGHT + said, MARK - said)


def whole_thought() -> str:
    return "The user wants it now."


def test_a_resume_forces_the_same_at_every_token(worker: Worker) -> None:
    whole = worker.run(scripted(2000, 9))[2000]
    assert kinds(whole) == (9, MARK)
    count = len(whole.tokens)
    resumed = worker.run(
        *(scripted(2000 + k, 9, emitted=whole.tokens[:k]) for k in range(1, count + 1))
    )
    for id, run in resumed.items():
        k = id - 2000
        assert (run.tokens, run.said) == (whole.tokens[k:], whole.said[k:])
        assert (run.end["tail"], run.end["finish"]) == (whole.end["tail"], "toolCalls")


def test_a_limit_of_tokens_comes_before_a_budget(worker: Worker) -> None:
    say = "<think>The user wants it now."
    begin = len(script_tokens("<think>")) - 1
    run = worker.run(scripted(3000, 500, say, max_tokens=begin + 5))[3000]
    assert kinds(run) == (5, 0) and run.end["finish"] == "length"
    # In the middle of the mark.
    run = worker.run(scripted(3001, 2, say, max_tokens=begin + 5))[3001]
    assert kinds(run) == (2, 3) and run.end["finish"] == "length"


def test_reasoning_that_begins_later_and_again(worker: Worker) -> None:
    say = "Well, <think>one two three</think>then <think>four</think>done"
    run = worker.run(scripted(4000, 6, say))[4000]
    assert [piece[0] for piece in turn(run)] == ["content", "reasoning", "content"]
    content = "".join(piece[1] for piece in turn(run) if piece[0] == "content")
    assert content.replace(" ", "") == "Well,thendone"
    assert kinds(run) == (6, 2 * MARK)
    assert "one two three four".startswith(thought(run))


def test_reasoning_that_never_ends(worker: Worker) -> None:
    run = worker.run(scripted(5000, 4, "<think>on and on and on"))[5000]
    assert kinds(run) == (4, MARK) and run.end["finish"] == "stop"


def test_without_reasoning_nothing_is_forced(worker: Worker) -> None:
    runs = worker.run(scripted(6000, 0, "Just so."), scripted(6001, None, "Just so."))
    assert runs[6000].said == runs[6001].said


def test_stop_strings_and_neighbours_are_as_they_are(worker: Worker) -> None:
    runs = worker.run(
        scripted(7000, 3, stop=["me"]), scripted(7001, None), admission(7002, max_tokens=20)
    )
    alone = worker.run(admission(7003, max_tokens=20))[7003]
    assert turn(runs[7000])[-1] == ["content", "Let "] and runs[7000].end["finish"] == "stop"
    assert kinds(runs[7000]) == (3, MARK) and kinds(runs[7001])[1] == 0
    assert runs[7002].tokens == alone.tokens


def test_what_can_be_bounded_is_not_named(worker: Worker) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    input = {
        "kind": "chat",
        "messages": messages,
        "templateArgs": {},
        "reasoning": {"maxTokens": 3},
    }
    worker.send("prepare", id=8000, input=input)
    assert "unbounded" not in worker.wait_for("prepared", 8000)
