"""Faults on the link do what their names say, to the byte."""

from __future__ import annotations

import signal
import struct
import zlib

import msgpack
import pytest
from mlx_serving.fake.link_faults import STRAY, UNKNOWN_TYPE
from mlx_serving.link.frames import HEADER, PAYLOAD_BYTES_MAX
from mlx_serving.messages import FROM_WORKER_TYPES

from faulty import all_bytes, faulty, frames_of
from orchestrator import Worker, admission

TOKENS = 4


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
