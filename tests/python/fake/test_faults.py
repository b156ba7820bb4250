"""Faults of the fake engine do what their names say, to the byte."""

from __future__ import annotations

import json
import signal
import struct
import zlib
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from mlx_serving.fake.link_faults import STRAY, UNKNOWN_TYPE
from mlx_serving.link.frames import HEADER, PAYLOAD_BYTES_MAX
from mlx_serving.messages import FROM_WORKER_TYPES

from orchestrator import Message, Worker, admission

TOKENS = 4


def faulty(**faults: Any) -> Worker:
    return Worker(faults=json.dumps(faults))


def all_bytes(worker: Worker, *requests: Message) -> bytes:
    """What comes behind `ready` until the worker is gone."""
    data = worker._buffer
    # Reset: it died before it read what it was sent.
    with suppress(ConnectionError):
        worker.send("admit", requests=list(requests))
        while chunk := worker.sock.recv(1 << 16):
            data += chunk
    return data


def frames_of(data: bytes) -> list[tuple[str, int]]:
    """Name and length of each frame."""
    names = {number: name for name, number in FROM_WORKER_TYPES.items()}
    frames = []
    while data:
        _, _, kind, _, length, _ = HEADER.unpack_from(data)
        frames.append((names[kind], HEADER.size + length))
        data = data[HEADER.size + length :]
    return frames


@pytest.fixture(scope="module")
def undisturbed() -> bytes:
    """All that a request of four tokens makes a worker say, to the end of `ended`."""
    with faulty(dieInFrame={"frame": "ended", "byte": 1 << 20}) as worker:
        worker.ready()
        return all_bytes(worker, admission(1, max_tokens=TOKENS))


def without_telemetry(data: bytes) -> bytes:
    """Its figures are measured, and differ."""
    out = b""
    for name, length in frames_of(data):
        out += data[:length] if name != "telemetry" else b""
        data = data[length:]
    return out


def test_the_frames_of_a_request(undisturbed: bytes) -> None:
    names = [name for name, _ in frames_of(undisturbed) if name != "telemetry"]
    assert names == ["prefill", *["step"] * TOKENS, "ended"]


@pytest.mark.parametrize("byte", [0, 1, 15, 16, 17, 40, 70])
def test_dies_at_a_byte(byte: int, undisturbed: bytes) -> None:
    with faulty(dieAtByte=byte) as worker:
        worker.ready()
        assert all_bytes(worker, admission(1, max_tokens=TOKENS)) == undisturbed[:byte]
        assert worker.exit_code() == -signal.SIGKILL


@pytest.mark.parametrize(("nth", "byte"), [(1, 0), (1, 1), (2, 20), (4, 999)])
def test_dies_in_a_frame(nth: int, byte: int) -> None:
    with faulty(dieInFrame={"frame": "step", "nth": nth, "byte": byte}) as worker:
        worker.ready()
        data = all_bytes(worker, admission(1, max_tokens=TOKENS))
        assert worker.exit_code() == -signal.SIGKILL
    whole = data[: len(data) - byte] if byte < 999 else data
    assert [name for name, _ in frames_of(whole)].count("step") == (nth if byte == 999 else nth - 1)


def test_counts_from_behind_an_end_if_asked_to() -> None:
    with faulty(dieInFrame={"frame": "step", "nth": 2}, afterEnded=1) as worker:
        worker.ready()
        assert worker.run(admission(1, max_tokens=TOKENS))[1].end["finish"] == "length"
        data = all_bytes(worker, admission(2, max_tokens=TOKENS))
        assert [name for name, _ in frames_of(data)].count("step") == 1
        assert worker.exit_code() == -signal.SIGKILL


def damaged(kind: str, undisturbed: bytes, byte: int = 0) -> tuple[bytes, bytes]:
    """The bytes from the second step on: as they should be, and as they come."""
    place = {"kind": kind, "frame": "step", "nth": 2, "byte": byte}
    with faulty(damage=place, dieInFrame={"frame": "ended", "byte": 0}) as worker:
        worker.ready()
        data = without_telemetry_before_damage(worker)
    whole = without_telemetry(undisturbed)
    start = sum(length for _, length in frames_of(whole)[:2])
    return whole[start:], data[start:]


def without_telemetry_before_damage(worker: Worker) -> bytes:
    data = all_bytes(worker, admission(1, max_tokens=TOKENS))
    telemetry = bytes([FROM_WORKER_TYPES["telemetry"]])
    head = struct.pack("<HB", 0x4D58, 1) + telemetry
    while (at := data.find(head)) >= 0:
        length = HEADER.unpack_from(data, at)[4]
        data = data[:at] + data[at + HEADER.size + length :]
    return data


def first(data: bytes) -> tuple[int, int, int, int, bytes]:
    """Type, epoch, length, checksum and payload."""
    _, _, kind, epoch, length, crc = HEADER.unpack_from(data)
    return kind, epoch, length, crc, data[HEADER.size : HEADER.size + length]


def test_stray_bytes_stand_where_they_should(undisturbed: bytes) -> None:
    for byte in (0, 5, 20):
        right, wrong = damaged("stray", undisturbed, byte)
        assert wrong[:byte] == right[:byte]
        assert wrong[byte:].startswith(STRAY + right[byte : byte + 10])


def test_damaged_frames(undisturbed: bytes) -> None:
    right, wrong = damaged("oversize", undisturbed)
    assert first(wrong)[2] == PAYLOAD_BYTES_MAX + 1
    right, wrong = damaged("checksum", undisturbed)
    assert first(wrong)[3] == first(right)[3] ^ 1 and first(wrong)[4] == first(right)[4]
    right, wrong = damaged("unknownType", undisturbed)
    assert first(wrong)[0] == UNKNOWN_TYPE
    right, wrong = damaged("olderEpoch", undisturbed)
    assert first(wrong)[1] == first(right)[1] - 1
    assert wrong[HEADER.size + first(wrong)[2] :].startswith(right[:40])
    right, wrong = damaged("order", undisturbed)
    kind, _, _, crc, payload = first(wrong)
    assert kind == FROM_WORKER_TYPES["step"] and crc == zlib.crc32(payload)
    assert msgpack.unpackb(payload)["rows"][0][1] == 2


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_dies_after_a_token(name: str) -> None:
    with faulty(dieAtToken=5, dieSignal=name) as worker:
        worker.ready()
        data = all_bytes(worker, admission(1))
        assert [kind for kind, _ in frames_of(data)].count("step") == 6
        assert worker.exit_code() == -signal.Signals[name]


def test_too_many_rows_are_out_of_memory() -> None:
    with faulty(outOfMemoryAtRows=2) as worker:
        worker.ready()
        runs = worker.run(admission(1, max_tokens=3), admission(2, max_tokens=3))
        assert [run.end["finish"] for run in runs.values()] == ["length"] * 2
        worker.send("admit", requests=[admission(i, max_tokens=3) for i in (3, 4, 5)])
        assert worker.wait_for("fault")["code"] == "out_of_memory"
        assert worker.exit_code() == 1


def test_too_long_a_prompt_is_out_of_memory() -> None:
    with faulty(outOfMemoryAtTokens=8) as worker:
        worker.ready()
        end = worker.run(admission(1, "x" * 9))[1].end
        assert (end["finish"], end["code"]) == ("failed", "out_of_memory")
        assert worker.run(admission(2, "x" * 8, max_tokens=3))[2].end["finish"] == "length"
        worker.send("admit", requests=[admission(3, "x" * 9), admission(4, "x")])
        assert worker.wait_for("fault")["code"] == "out_of_memory"


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ({"typo": 1}, "typo"),
        ({"dieInFrame": {"frame": "picture"}}, "picture"),
        ({"damage": {"kind": "rust", "frame": "step"}}, "rust"),
    ],
)
def test_unknown_faults_are_an_error(faults: dict[str, Any], named: str) -> None:
    with faulty(**faults) as worker:
        assert worker.exit_code() == 1
        assert named in worker.stderr()
