"""The process: order of frames, violations, aborts in every state, acknowledgements, its ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlx_serving.messages import TO_WORKER_TYPES

from orchestrator import (
    FAKE_MODEL,
    PYTHON_ROOT,
    Message,
    Worker,
    admission,
    frame,
    load_options,
    until,
)

SLOW_PREFILL = '{"prefillMsPerToken": 5}'


def ids_running(worker: Worker) -> int:
    """What the worker says it runs, once it is idle or after its next telemetry."""
    return int(worker.wait_for("telemetry")["running"])


# --- violations ---


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"this is no frame", "bad_magic"),
        (frame(5, 8, {"step": 1}), "wrong_epoch"),
        (frame(99, 7, {}), "unknown_type"),
        (frame(5, 7, {"step": 1, "m": 2}), "bad_message"),
        (frame(5, 7, {"step": 1})[:-1] + b"\x7f", "bad_checksum"),
        (frame(TO_WORKER_TYPES["abort"], 7, {"ids": [1]}), "wrong_order"),
        (frame(TO_WORKER_TYPES["admit"], 7, {"requests": [admission(1)]}), "wrong_order"),
    ],
)
def test_a_violation_before_the_load(data: bytes, code: str) -> None:
    with Worker() as worker:
        worker.expect("hello")
        worker.sock.sendall(data)
        assert worker.expect("fault")["code"] == code
        assert worker.exit_code() == 3


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("load", {"model": FAKE_MODEL, "options": load_options()}, "wrong_order"),
        ("ack", {"step": 1}, "wrong_order"),
        ("admit", {"requests": [admission(1), admission(1)]}, "duplicate_id"),
    ],
)
def test_a_violation_of_the_order(name: str, body: dict[str, Any], code: str) -> None:
    with Worker() as worker:
        worker.ready(fakeTokensPerSecond=1)
        worker.send(name, **body)
        assert worker.wait_for("fault")["code"] == code
        assert worker.exit_code() == 3


# --- the process's ends ---


@pytest.mark.parametrize(
    "faults", ["", '{"hangAtToken": 3}', '{"prefillMsPerToken": 10000}', '{"prepareMs": 60000}']
)
def test_the_end_of_the_link_is_the_end(faults: str) -> None:
    """Whatever the engine thread is doing: computing, hanging, sleeping."""
    with Worker(faults=faults) as worker:
        worker.ready()
        worker.send("admit", requests=[admission(1, max_tokens=1_000_000)])
        worker.send("prepare", id=2, input={"kind": "text", "text": "x"})
        if "prefill" not in faults:
            worker.wait_for("step")
        time.sleep(0.3)
        worker.sock.close()
        assert worker.exit_code() == 0


def assert_link_answers(worker: Worker) -> None:
    """It answers the abort of a request that it never had."""
    worker.send("abort", ids=[0xFFFF])
    assert worker.expect("aborted")["id"] == 0xFFFF


def is_native_line_alone(stderr: str) -> bool:
    return re.fullmatch(r"worker: native .*\n", stderr) is not None


def test_stop_and_signals() -> None:
    with Worker() as worker:
        worker.ready()
        worker.process.send_signal(signal.SIGINT)
        assert_link_answers(worker)
        worker.send("stop")
        assert worker.exit_code() == 0
        assert is_native_line_alone(worker.stderr())
    with Worker() as worker:
        # What would be kept on disk is, by an engine that has it.
        worker.ready(prefixDiskFolder="/nowhere", prefixDiskBytes=1)
        worker.send("stop")
        assert worker.exit_code() == 0
    with Worker() as worker:
        worker.ready()
        worker.send("admit", requests=[admission(1, max_tokens=1_000_000)])
        worker.process.terminate()
        assert worker.exit_code() == -signal.SIGTERM
        assert is_native_line_alone(worker.stderr())


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_no_orphan_even_with_the_link_held_open() -> None:
    ours, theirs = socket.socketpair()
    parent = (
        "import subprocess, sys, time; fd = int(sys.argv[1]); import os; os.dup2(fd, 3);"
        "child = subprocess.Popen([sys.executable, '-m', 'mlx_serving', '--engine', 'fake',"
        " '--epoch', '7'], pass_fds=(3,)); print(child.pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PYTHON_ROOT)},
        text=True,
    )
    assert process.stdout is not None
    worker_pid = int(process.stdout.readline())
    assert ours.recv(16)
    process.kill()
    process.wait()
    process.stdout.close()
    # `theirs` is still open here, so the link has not ended.
    until(lambda: not _alive(worker_pid))
    ours.close()
    theirs.close()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_wrong_usage() -> None:
    for arguments in (["--engine", "fake"], ["--engine", "fake", "--epoch", "1"], ["--x"]):
        done = subprocess.run(
            [sys.executable, "-m", "mlx_serving", *arguments],
            env={**os.environ, "PYTHONPATH": str(PYTHON_ROOT)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 2


# --- aborts ---


def abort_answer(worker: Worker, id: int) -> Message:
    worker.send("abort", ids=[id])
    return worker.wait_for("aborted", id)


def test_abort_while_decoding() -> None:
    with Worker() as worker:
        worker.ready(fakeTokensPerSecond=100)
        worker.send("admit", requests=[admission(1, max_tokens=10_000), admission(2)])
        worker.wait_for("step")
        abort_answer(worker, 1)
        seen = []
        while (message := worker.receive())["type"] != "ended":
            if message["type"] == "step":
                seen += [row[0] for row in message["rows"]]
                worker.send("ack", step=message["step"])
        assert message["id"] == 2 and 1 not in seen
        assert ids_running(worker) == 0


def test_abort_while_prefilling_and_queued() -> None:
    with Worker(faults=SLOW_PREFILL) as worker:
        worker.ready(maxBatch=1, prefillChunkTokens=10)
        worker.send("admit", requests=[admission(1, "x" * 100_000), admission(2), admission(3)])
        assert worker.wait_for("prefill", 1)["done"] == 10
        abort_answer(worker, 3)
        answer = abort_answer(worker, 1)
        assert answer["id"] == 1
        assert worker.wait_for("ended")["id"] == 2


def test_abort_while_preparing() -> None:
    with Worker(faults='{"prepareMs": 200}') as worker:
        worker.ready()
        for id in (1, 2, 3):
            worker.send("prepare", id=id, input={"kind": "text", "text": "x"})
        abort_answer(worker, 1)
        abort_answer(worker, 2)
        assert worker.receive()["id"] == 3


def test_abort_after_the_end_gets_no_answer() -> None:
    with Worker() as worker:
        worker.ready()
        worker.run(admission(1, max_tokens=3), admission(2, ""))
        worker.send("prepare", id=3, input={"kind": "text", "text": "x"})
        worker.expect("prepared")
        worker.send("abort", ids=[1, 2, 3])
        assert_link_answers(worker)


def test_abort_of_what_never_came_is_answered() -> None:
    with Worker() as worker:
        worker.ready()
        assert abort_answer(worker, 77)["id"] == 77


def test_abort_while_the_acknowledgements_are_out() -> None:
    with Worker() as worker:
        worker.ready(unackedStepsMax=2)
        worker.send("admit", requests=[admission(1, max_tokens=1000)])
        worker.expect("prefill")
        worker.expect("step")
        worker.expect("step")
        worker.send("abort", ids=[1])
        worker.expect("aborted")


# --- flow ---


def test_unacknowledged_steps_are_bounded() -> None:
    with Worker() as worker:
        worker.ready(unackedStepsMax=3)
        worker.send("admit", requests=[admission(1, max_tokens=20)])
        worker.expect("prefill")
        steps = [worker.expect("step")["step"] for _ in range(3)]
        assert_link_answers(worker)
        worker.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            worker.expect("step")
        worker.sock.settimeout(60)
        worker.send("ack", step=steps[-1])
        steps += [worker.expect("step")["step"] for _ in range(3)]
        assert steps == list(range(1, 7))
        worker.send("ack", step=6)
        assert worker.wait_for("ended")["finish"] == "length"


def test_steps_of_stopped_requests_need_no_acknowledgement() -> None:
    """Rows made after a stop string are dropped, and with them whole steps: no credit is lost."""
    with Worker() as worker:
        worker.ready(unackedStepsMax=2)
        for id in range(1, 30):
            run = worker.run(admission(id, max_tokens=60, stop=[" "]))[id]
            assert run.end["finish"] == "stop"


def test_one_step_frame_for_the_whole_batch() -> None:
    with Worker() as worker:
        worker.ready(maxBatch=4)
        worker.send("admit", requests=[admission(i, max_tokens=5) for i in range(6)])
        sizes = []
        ended = 0
        while ended < 6:
            message = worker.receive()
            if message["type"] == "step":
                worker.send("ack", step=message["step"])
                ids = [row[0] for row in message["rows"]]
                assert len(set(ids)) == len(ids)
                sizes.append(len(ids))
            ended += message["type"] == "ended"
        assert sizes == [4] * 5 + [2] * 5


def test_telemetry_while_working_and_once_idle() -> None:
    with Worker() as worker:
        worker.ready(fakeTokensPerSecond=20)
        worker.send("admit", requests=[admission(1, max_tokens=30)])
        first = worker.wait_for("telemetry")
        assert first["running"] == 1
        last = worker.wait_for("telemetry")
        while last["running"]:
            last = worker.wait_for("telemetry")
        assert last["steps"] == 30 and last["waiting"] == 0 and last["kvBytes"] == 0


def test_a_hanging_engine_leaves_the_link_alive() -> None:
    with Worker(faults='{"hangAtToken": 2}') as worker:
        worker.ready()
        worker.send("admit", requests=[admission(1)])
        worker.wait_for("step")
        worker.send("abort", ids=[9])
        assert worker.wait_for("aborted")["id"] == 9
        worker.send("prepare", id=5, input={"kind": "text", "text": "x"})
        assert worker.wait_for("prepared")["id"] == 5


def test_nothing_heavy_is_imported_for_the_fake_engine() -> None:
    check = (
        "import sys, mlx_serving.__main__, mlx_serving.fake.engine, mlx_serving.mlx.engine;"
        "heavy = {'mlx', 'numpy', 'transformers', 'mlx_lm', 'huggingface_hub', 'jinja2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check],
        env={**os.environ, "PYTHONPATH": str(PYTHON_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
