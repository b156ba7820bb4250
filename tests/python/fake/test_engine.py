"""The fake engine through a real process: text, limits, resumes, faults."""

from __future__ import annotations

import signal
import time

import pytest
from mlx_serving.fake.text import END_TOKEN, VOCABULARY, token_at

from orchestrator import (
    FAKE_MODEL,
    Message,
    Run,
    Worker,
    admission,
    load_options,
    pack_tokens,
    unpack_tokens,
)

LENGTH = 70


def test_runs_to_the_token_limit() -> None:
    with Worker() as worker:
        assert worker.ready()["limits"]["contextMax"] == 131072
        run = worker.run(admission(1, "hello", max_tokens=50))[1]
        assert len(run.tokens) == 50
        assert run.end["finish"] == "length"
        assert run.prefills[-1]["done"] == run.prefills[-1]["total"] == 5


def test_text_depends_on_the_prompt_alone() -> None:
    requests = [admission(i, f"prompt {i % 4}", max_tokens=LENGTH) for i in range(8)]
    with Worker() as worker:
        worker.ready(maxBatch=3)
        together = worker.run(*requests)
    with Worker(epoch=8) as worker:
        worker.ready()
        alone = [worker.run(request)[request["id"]] for request in reversed(requests)]
    texts = [together[i].text for i in range(8)]
    assert texts == [run.text for run in reversed(alone)]
    assert len(set(texts)) == 4
    assert all(text.count(" ") > LENGTH / 2 for text in texts)


def test_a_resume_goes_on_exactly_at_every_token() -> None:
    with Worker() as worker:
        worker.ready(maxBatch=LENGTH + 1)
        whole = worker.run(admission(0, max_tokens=LENGTH))[0]
        resumed = worker.run(
            *(
                admission(k, emitted=whole.tokens[:k], max_tokens=LENGTH)
                for k in range(1, LENGTH + 1)
            )
        )
    for k, run in resumed.items():
        assert run.tokens == whole.tokens[k:]
        assert run.texts == whole.texts[k:]
        assert run.end["tail"] == whole.end["tail"]


def test_characters_come_whole() -> None:
    with Worker() as worker:
        worker.ready()
        for id, length in enumerate((20, 21, 22, 23, 24)):
            run = worker.run(admission(id, max_tokens=length))[id]
            assert all("\ufffd" not in text for text in run.texts)
            cut = length in (21, 22, 23)
            assert run.end["tail"] == ("\ufffd" if cut else "")
        character = worker.run(admission(9, max_tokens=24))[9].texts[20:]
        assert character[:3] == ["", "", ""] and len(character[3].encode()) == 4


def words(worker: Worker) -> Run:
    return worker.run(admission(1000, max_tokens=LENGTH))[1000]


def test_stop_strings_at_any_place() -> None:
    with Worker() as worker:
        worker.ready()
        whole = words(worker)
        text = whole.text
        for id in range(3, 60, 7):
            stop = text[id : id + 9]
            run = worker.run(admission(id, max_tokens=LENGTH, stop=[stop, "not there"]))[id]
            assert run.text == text[: text.index(stop)]
            assert run.end["finish"] == "stop"
            # The token that completes the stop string is logged; none after it.
            assert stop in "".join(whole.texts[: len(run.tokens)])
            assert stop not in "".join(whole.texts[: len(run.tokens) - 1])


def test_a_stopped_request_resumes_at_every_token() -> None:
    with Worker() as worker:
        worker.ready()
        text = words(worker).text
        stop = text[100:108]
        whole = worker.run(admission(0, max_tokens=LENGTH, stop=[stop]))[0]
        for k in range(1, len(whole.tokens) + 1):
            request = admission(k, emitted=whole.tokens[:k], max_tokens=LENGTH, stop=[stop])
            run = worker.run(request)[k]
            assert (run.texts, run.end["tail"]) == (whole.texts[k:], "")
            assert run.end["finish"] == "stop"


def test_what_is_already_at_its_end_ends_at_once() -> None:
    with Worker() as worker:
        worker.ready(contextMax=30)
        for id, request, finish in (
            (2, admission(2, emitted=[300] * 4, max_tokens=4), "length"),
            (3, admission(3, emitted=[300, END_TOKEN], max_tokens=40), "stop"),
            (4, admission(4, "x" * 20, emitted=[300] * 10, max_tokens=40), "length"),
        ):
            run = worker.run(request)[id]
            assert run.tokens == [] and run.end["finish"] == finish


def test_a_prompt_alone_is_computed_and_ends_without_a_token() -> None:
    with Worker() as worker:
        worker.ready(maxBatch=1)
        for id, stop in ((1, []), (2, ["x"])):
            run = worker.run(admission(id, "x" * 20, max_tokens=0, stop=stop))[id]
            assert [(one["done"], one["total"]) for one in run.prefills] == [(20, 20)]
            assert run.tokens == [] and run.text == ""
            assert run.end["finish"] == "stop"
        assert len(worker.run(admission(3, max_tokens=4))[3].tokens) == 4


def test_the_context_ends_a_text() -> None:
    with Worker() as worker:
        worker.ready(contextMax=30)
        run = worker.run(admission(1, "x" * 20, max_tokens=40))[1]
        assert len(run.tokens) == 10 and run.end["finish"] == "length"


def test_logprobs() -> None:
    with Worker() as worker:
        worker.ready()
        runs = worker.run(
            admission(1, max_tokens=6, logprobs=3), admission(2, max_tokens=6, logprobs=0)
        )
        assert [len(item["top"]) for item in runs[1].logprobs] == [3] * 6
        assert [len(item["top"]) for item in runs[2].logprobs] == [0] * 6
        for item, text in zip(runs[1].logprobs, runs[1].texts, strict=True):
            assert item["token"] == text and item["logprob"] < 0
            assert item["top"][0]["bytes"] == list(text.encode())


def test_speed_of_a_stream() -> None:
    with Worker() as worker:
        worker.ready(fakeTokensPerSecond=200)
        start = time.monotonic()
        worker.run(*(admission(i, max_tokens=40) for i in range(4)))
        assert time.monotonic() - start >= 39 / 200


def test_load_reports_progress() -> None:
    with Worker() as worker:
        assert worker.expect("hello")["backend"] == "fake"
        worker.send("load", model=FAKE_MODEL, options=load_options(fakeLoadMs=200))
        done = []
        message = worker.receive()
        while message["type"] == "loading":
            done.append(message["done"])
            assert message["total"] == 200
            message = worker.receive()
        assert message["type"] == "ready"
        assert len(done) >= 2 and done == sorted(done)


def test_prepare() -> None:
    with Worker() as worker:
        worker.ready(contextMax=400)
        chat = [{"role": "user", "content": [{"type": "text", "text": "hé"}]}]
        worker.send("prepare", id=1, input={"kind": "chat", "messages": chat})
        prompt = bytes(unpack_tokens(worker.expect("prepared")["tokens"])).decode()
        assert prompt == "<|user|>hé\n<|assistant|>"
        worker.send("prepare", id=2, input={"kind": "text", "text": "x" * 130})
        prepared = worker.expect("prepared")
        assert len(unpack_tokens(prepared["tokens"])) == 130
        assert len(prepared["blockHashes"]) == 2
        worker.send("prepare", id=3, input={"kind": "tokens", "tokens": pack_tokens([1, 2])})
        assert worker.expect("prepared")["tokens"] == pack_tokens([1, 2])


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"kind": "text", "text": "x" * 400}, "context_length_exceeded", "input"),
        ({"kind": "text", "text": "x" * 5_000_000}, "context_length_exceeded", "input"),
        ({"kind": "tokens", "tokens": pack_tokens([VOCABULARY])}, "invalid_prompt", "input"),
        ({"kind": "chat", "messages": [{"role": "wizard"}]}, "invalid_prompt", "messages"),
        ({"kind": "chat", "messages": [{}]}, "invalid_prompt", "messages"),
        (
            {"kind": "chat", "messages": [{"role": "user", "content": 3}]},
            "invalid_prompt",
            "messages",
        ),
        (
            {"kind": "chat", "messages": [{"role": "user", "content": "x" * 400}]},
            "context_length_exceeded",
            "messages",
        ),
        ({"kind": "chat", "messages": [{"role": "user"}] * 17_000}, "invalid_prompt", "messages"),
    ],
)
def test_refusals_name_the_field(body: dict[str, object], code: str, field: str) -> None:
    with Worker() as worker:
        worker.ready(contextMax=400)
        worker.send("prepare", id=1, input=body)
        refused = worker.expect("refused")
        assert (refused["code"], refused["field"]) == (code, field)
        if code == "context_length_exceeded":
            assert "399" in refused["message"]
        # It costs its sender an error and nobody else anything.
        assert worker.run(admission(2, max_tokens=3))[2].end["finish"] == "length"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (admission(1, ""), "prompt"),
        (admission(1, "x" * 400), "prompt"),
        (admission(1, [VOCABULARY]), "prompt"),
        (admission(1, emitted=[VOCABULARY]), "emitted"),
        (admission(1, logitBias=[[VOCABULARY, 1]]), "logit_bias"),
        (admission(1, stop=["x"] * 65), "stop"),
        (admission(1, stop=["x" * 4097]), "stop"),
    ],
)
def test_refused_admissions(request_: dict[str, object], field: str) -> None:
    with Worker() as worker:
        worker.ready(contextMax=400)
        runs = worker.run(request_, admission(2, max_tokens=3))
        assert runs[1].end["type"] == "refused" and runs[1].end["field"] == field
        assert runs[2].end["finish"] == "length"


def test_a_death_does_not_repeat_after_a_resume() -> None:
    emitted = [token_at(1, 1)] * 6
    with Worker(faults='{"dieAtToken": 5}') as worker:
        worker.ready()
        assert worker.run(admission(1, emitted=emitted))[1].end["finish"] == "length"


def test_faults_of_loading() -> None:
    with Worker(faults='{"loadFailed": "no such thing"}') as worker:
        worker.expect("hello")
        worker.send("load", model=FAKE_MODEL, options=load_options())
        failed = worker.expect("loadFailed")
        assert failed["message"] == "no such thing"
        assert worker.exit_code() == 1
    with Worker(faults='{"exitOnLoad": true}') as worker:
        worker.expect("hello")
        worker.send("load", model=FAKE_MODEL, options=load_options())
        assert worker.exit_code() == 1


def test_poison() -> None:
    with Worker(faults='{"poison": "arsenic"}') as worker:
        worker.ready()
        assert worker.run(admission(1, "tea", max_tokens=2))[1].end["finish"] == "length"
        worker.send("admit", requests=[admission(2, "some arsenic")])
        assert worker.exit_code() == -signal.SIGKILL


def test_an_exception_in_a_step_is_a_fault_and_the_end() -> None:
    with Worker(faults='{"raiseAtToken": 3}') as worker:
        worker.ready()
        worker.send("admit", requests=[admission(1)])
        fault = worker.wait_for("fault")
        assert "RuntimeError" in fault["message"]
        assert worker.exit_code() == 1


@pytest.mark.parametrize(
    "input",
    [
        {"kind": "text", "text": "7" * 400_000},
        {"kind": "chat", "messages": [{"role": "user", "content": "7" * 400_000}]},
        {"kind": "chat", "messages": [{"role": "user", "content": [{"text": "7" * 400_000}]}]},
    ],
)
def test_a_long_prompt_asks_for_patience_before_it_is_prepared(input: Message) -> None:
    """Tokenizing a million digits takes longer than the watchdog waits for one who says nothing."""
    with Worker() as worker:
        worker.ready(contextMax=1_000_000)
        worker.send("prepare", id=1, input={"kind": "text", "text": "short"})
        assert worker.receive()["type"] == "prepared"
        worker.send("prepare", id=2, input=input)
        busy = worker.receive()
        assert busy["type"] == "busy" and busy["allowanceMs"] >= 20_000
        assert worker.expect("prepared")["id"] == 2
