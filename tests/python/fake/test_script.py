"""A script through a real process: its turn in pieces, its ends, and resumes at every token."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.fake.script import script_tokens
from mlx_serving.fake.text import END_TOKEN, PIECES

from orchestrator import WEATHER, Message, Run, Worker, admission, offer

CITY = '{"city": "Oslo \U0001f30a", "days": 2}'
CALL = f'<tool_call>{{"name": "get_weather", "arguments": {CITY}}}</tool_call>'
SECOND = '<tool_call>{"name": "note", "arguments": {"input": "say \\"no\\"\\nplease"}}</tool_call>'
NOTE = {**WEATHER, "name": "note", "custom": True}
SCRIPT = f"<think>The user wants it.\n</think>Let me see.\n{CALL}\n{SECOND}"
TOOLS = offer(tools=[WEATHER, NOTE])
TURN = [
    ["reasoning", "The user wants it."],
    ["content", "Let me see."],
    ["call", "get_weather"],
    ["arguments", CITY],
    ["callEnd", True],
    ["call", "note"],
    ["arguments", 'say "no"\nplease'],
    ["callEnd", True],
]


def scripted(id: int, say: str = SCRIPT, tools: Message | None = TOOLS, **fields: Any) -> Message:
    """`max_tokens`, `emitted` and what is sampled as `admission` has them."""
    given = {"fakeSay": say} if tools is None else {"fakeSay": say, "tools": tools}
    return {**admission(id, **{"max_tokens": 1000, **fields}), **given}


def test_tokens_are_words_and_bytes() -> None:
    for say in ("", "the other", SCRIPT, "another. 🌊,\r\n\x00"):
        tokens = script_tokens(say)
        assert b"".join(PIECES[token] for token in tokens).decode() == say
        assert tokens[-1] == END_TOKEN and END_TOKEN not in tokens[:-1]
    assert len(script_tokens("one of the other people")) == 3 + 4 + 1


def test_a_turn_with_reasoning_and_two_calls() -> None:
    with Worker() as worker:
        worker.ready()
        run = worker.run(scripted(1))[1]
    assert run.turn == TURN
    assert run.end["finish"] == "toolCalls"
    assert run.tokens == script_tokens(SCRIPT)


def test_a_resume_goes_on_exactly_at_every_token() -> None:
    with Worker() as worker:
        worker.ready(maxBatch=256)
        whole = worker.run(scripted(0))[0]
        count = len(whole.tokens)
        resumed = worker.run(*(scripted(k, emitted=whole.tokens[:k]) for k in range(1, count + 1)))
    for k, run in resumed.items():
        assert run.tokens == whole.tokens[k:]
        assert run.said == whole.said[k:]
        assert (run.end["tail"], run.end["finish"]) == (whole.end["tail"], "toolCalls")


@pytest.mark.parametrize("at", range(0, len(script_tokens(SCRIPT)), 9))
def test_a_worker_that_dies_at_a_token(at: int) -> None:
    """What it has sent and what another one goes on with are the whole turn."""
    with Worker(faults=f'{{"dieAtToken": {at}}}') as worker:
        worker.ready(unackedStepsMax=1024)
        worker.send("admit", requests=[scripted(1)])
        before = Run()
        with pytest.raises(EOFError):
            while True:
                message = worker.receive()
                if message["type"] == "step":
                    for _, _, token, said in message["rows"]:
                        before.tokens.append(token)
                        before.said.append(said)
    assert len(before.tokens) == at + 1
    with Worker(epoch=8) as worker:
        worker.ready()
        after = worker.run(scripted(1, emitted=before.tokens))[1]
    whole = Run()
    whole.said, whole.ended = before.said + after.said, after.ended
    assert whole.turn == TURN and after.end["finish"] == "toolCalls"


def test_reasoning_tokens_are_counted_by_their_pieces() -> None:
    """Each token that is read inside of reasoning has one, also where no text became certain."""
    with Worker() as worker:
        worker.ready()
        say = "<think>the   time</think>now"
        run = worker.run(scripted(1, say, None))[1]
    inside = [any(p[0] == "reasoning" for p in said) for said in run.said if type(said) is list]
    assert all(inside)
    assert len(inside) == len(script_tokens("the   time</think>")) - 1
    assert run.turn == [["reasoning", "the   time"], ["content", "now"]]
    assert run.end["finish"] == "stop"


def test_without_tools_a_call_is_text() -> None:
    with Worker() as worker:
        worker.ready()
        for id, tools in enumerate((None, offer(choice="none"), offer(tools=[]))):
            run = worker.run(scripted(id, CALL, tools))[id]
            assert run.text == CALL and run.end["finish"] == "stop"


def test_one_call_where_one_is_wanted() -> None:
    with Worker() as worker:
        worker.ready()
        one = {**TOOLS, "parallel": False}
        run = worker.run(scripted(1, tools=one))[1]
        assert run.turn == TURN[:5] and run.end["finish"] == "toolCalls"
        assert len(run.tokens) < len(script_tokens(SCRIPT))
        # As it would have been, wherever it is resumed: at its last token too.
        again = worker.run(scripted(2, tools=one, emitted=run.tokens))[2]
        assert (again.turn, again.end["finish"]) == ([], "toolCalls")


def test_a_call_that_is_cut_off() -> None:
    with Worker() as worker:
        worker.ready()
        begun = CALL.index("days")
        for id, (room, turn) in enumerate(
            (
                (begun, [["call", "get_weather"], ["arguments", '{"city": "Oslo 🌊", "']]),
                (20, []),
            )
        ):
            limit = len(script_tokens(CALL[:room])) - 1
            run = worker.run(scripted(id, CALL, max_tokens=limit))[id]
            assert run.turn == [*turn, *([["callEnd", False]] if turn else [])]
            assert run.end["finish"] == "length"


def test_stop_strings_are_looked_for_in_the_message_alone() -> None:
    say = f"<think>Oslo</think>In Oslo it is.{CALL}"
    with Worker() as worker:
        worker.ready()
        run = worker.run(scripted(1, say, stop=["Oslo it"]))[1]
        assert run.turn == [["reasoning", "Oslo"], ["content", "In "]]
        assert run.end["finish"] == "stop"
        run = worker.run(scripted(2, f"<think>Oslo</think>Well{CALL}", stop=["Oslo", "lx"]))[2]
        assert run.turn[:3] == [["reasoning", "Oslo"], ["content", "Well"], ["call", "get_weather"]]
        assert run.end["finish"] == "toolCalls"
        # After a call it is a stop, and not the call's end.
        run = worker.run(scripted(3, f"{CALL} and so on", stop=["so"]))[3]
        assert run.turn[-1] == ["content", "and "] and run.end["finish"] == "stop"


def test_log_probabilities_stay_with_the_message() -> None:
    with Worker() as worker:
        worker.ready()
        run = worker.run(scripted(1, f"<think>the time</think>of it{CALL}", logprobs=0))[1]
    told = b"".join(bytes(item["bytes"]) for item in run.logprobs).decode()
    assert "of it" in told and "time" not in told and "Oslo" not in told


def test_tools_without_a_script_get_the_usual_text() -> None:
    with Worker() as worker:
        worker.ready()
        usual = worker.run(admission(1))[1]
        offered = worker.run({**admission(2), "tools": TOOLS, "reasoning": {"enabled": True}})[2]
    assert (offered.tokens, offered.said) == (usual.tokens, usual.said)
    assert all(type(said) is str for said in offered.said)
