"""Whatever comes over the link, a worker takes it, refuses the request that it names or says
Violation, holds no more than a frame, and ends with its code."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_serving.failures import Violation
from mlx_serving.link.frames import (
    HEADER,
    MAGIC,
    PAYLOAD_BYTES_MAX,
    READ_BYTES,
    VERSION,
    FrameDecoder,
)
from mlx_serving.link.parse import Admissions, UnreadableRequest, parse
from mlx_serving.messages import TO_WORKER_TYPES

from orchestrator import Worker, admission, frame

from .test_parse import GOOD

EPOCH = 7
FRAMES = [frame(TO_WORKER_TYPES[name], EPOCH, body) for name, body in GOOD.items()]
STREAM = b"".join(FRAMES)
EXIT_VIOLATION = 3


def received(data: bytes, cuts: list[int]) -> tuple[list[tuple[int, Any]], Violation | None, int]:
    """What was decoded, what ended it, and how many bytes are held then."""
    decoder = FrameDecoder(EPOCH)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    out: list[tuple[int, Any]] = []
    try:
        for start, end in pairwise(edges):
            out.extend(decoder.feed(data[start:end]))
    except Violation as violation:
        return out, violation, len(decoder._buffer)
    return out, None, len(decoder._buffer)


cuts = st.lists(st.integers(0, 1 << 16), max_size=8)


def flip(data: bytes, at: int, extra: bytes) -> bytes:
    return data[:at] + bytes([data[at] ^ (extra[0] | 1)]) + data[at + 1 :]


def add(data: bytes, at: int, extra: bytes) -> bytes:
    return data[:at] + extra + data[at:]


def lose(data: bytes, at: int, extra: bytes) -> bytes:
    return data[:at] + data[at + len(extra) :]


def repeat(data: bytes, at: int, extra: bytes) -> bytes:
    return data[: at + len(extra)] + data[at:]


mutations = st.lists(
    st.tuples(
        st.sampled_from([flip, add, lose, repeat]),
        st.integers(0, 1 << 16),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)
Mutations = list[tuple[Callable[[bytes, int, bytes], bytes], int, bytes]]


def mutated(data: bytes, changes: Mutations) -> bytes:
    for change, at, extra in changes:
        if data:
            data = change(data, at % len(data), extra)
    return data


@given(st.binary(max_size=400), cuts)
@settings(max_examples=300)
def test_any_bytes(data: bytes, at: list[int]) -> None:
    _, violation, held = received(data, at)
    assert held <= HEADER.size + PAYLOAD_BYTES_MAX
    if len(data) >= HEADER.size and data[:2] != MAGIC.to_bytes(2, "little"):
        assert violation is not None


def common_bytes(one: bytes, other: bytes) -> int:
    """Length of what both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


@given(mutations, cuts)
@settings(max_examples=500)
def test_damaged_frames(changes: Mutations, at: list[int]) -> None:
    data = mutated(STREAM, changes)
    frames, violation, _ = received(data, at)
    again, same, _ = received(data, [])
    assert frames == again and str(violation) == str(same)
    intact = common_bytes(data, STREAM)
    sent, _, _ = received(STREAM, [])
    whole = len(received(STREAM[:intact], [])[0])
    assert frames[:whole] == sent[:whole]
    # The checksum does not cover the type.
    bodies = [body for _, body in sent]
    assert all(body in bodies for _, body in frames)
    for type_byte, body in frames:
        with contextlib.suppress(Violation):
            answered(parse(type_byte, body))


def framed(payload: bytes, type_byte: int = 6) -> bytes:
    crc = zlib.crc32(payload)
    return HEADER.pack(MAGIC, VERSION, type_byte, EPOCH, len(payload), crc) + payload


payloads = st.one_of(
    st.binary(max_size=300),
    st.builds(mutated, st.sampled_from([f[HEADER.size :] for f in FRAMES]), mutations),
)


@given(st.integers(0, 255), payloads)
@settings(max_examples=1000)
def test_any_payload_with_a_right_checksum(type_byte: int, payload: bytes) -> None:
    frames, _, _ = received(framed(payload, type_byte), [])
    for kind, body in frames:
        with contextlib.suppress(Violation):
            answered(parse(kind, body))


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=8),
        st.datetimes(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers(), st.binary()), inner),
    ),
    max_leaves=12,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, Any]:
    """A good body in which something, at any depth, is something else."""
    name = draw(st.sampled_from(sorted(GOOD)))
    return name, draw(replaced(GOOD[name]))


def replaced(body: Any) -> st.SearchStrategy[Any]:
    if isinstance(body, dict) and body:
        within = [
            replaced(value).map(lambda new, key=key: {**body, key: new})
            for key, value in body.items()
        ]
        return st.one_of(anything, *within)
    if isinstance(body, list) and body:
        return st.one_of(anything, *[replaced(item).map(lambda new: [new]) for item in body])
    return anything


@given(bodies())
@settings(max_examples=1000)
def test_any_body(named: tuple[str, Any]) -> None:
    name, body = named
    with contextlib.suppress(Violation):
        answered(parse(TO_WORKER_TYPES[name], body))


def answered(message: object) -> None:
    """Every refusal can be sent, and names a request."""
    for one in message.requests if isinstance(message, Admissions) else [message]:
        if isinstance(one, UnreadableRequest):
            assert 0 <= one.id <= 0xFFFF_FFFF
            msgpack.packb([one.refusal.code, one.refusal.field, str(one.refusal)])


@pytest.mark.parametrize(
    "payload",
    [
        b"\x91" * 1_000_000,
        b"\x81" * 1_000_000,
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xdf\xff\xff\xff\xff\x01\x01",
        b"\xc6\xff\xff\xff\xff\x01",
        b"\xdb\xff\xff\xff\xff\x01",
        b"\xdc\xc3\x50" * 20_000,
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\xd6\xff\xff\xff\xff\xff",
    ],
)
def test_payloads_that_claim_too_much(payload: bytes) -> None:
    frames, violation, held = received(framed(payload), [])
    assert held == 0
    for kind, body in frames:
        with pytest.raises(Violation):
            parse(kind, body)
    assert frames and violation is None


def test_a_frame_is_held_until_it_is_whole() -> None:
    decoder = FrameDecoder(EPOCH)
    data = framed(msgpack.packb(bytes(PAYLOAD_BYTES_MAX - 5)))
    for at in range(0, len(data) - READ_BYTES, READ_BYTES):
        assert list(decoder.feed(data[at : at + READ_BYTES])) == []
        assert len(decoder._buffer) <= HEADER.size + PAYLOAD_BYTES_MAX
    assert len(list(decoder.feed(data[-(len(data) % READ_BYTES or READ_BYTES) :]))) == 1
    assert len(decoder._buffer) == 0


# --- the process ---


def garbage(seed: int) -> bytes:
    """Begins like a frame or not, is none, and is long enough to be seen as such."""
    random_ = random.Random(seed)
    good = random_.choice(FRAMES)
    noise = random_.randbytes(64)
    return random_.choice(
        [
            noise,
            good[: HEADER.size] + noise,
            b"%" + good,
            good[:8] + b"\xff\xff\xff\x7f" + good[12:],
            framed(b"\xc1" + noise, TO_WORKER_TYPES["admit"]),
            frame(random_.randrange(9, 256), EPOCH, {}),
        ]
    ) + bytes(1 << 16)


@st.composite
def unreadable(draw: st.DrawFn) -> tuple[int, bytes]:
    """The id of a request, and a `prepare` of it whose payload names it and is broken behind."""
    id = draw(st.integers(0, 0xFFFF_FFFF))
    head = b"\x82" + msgpack.packb("id") + msgpack.packb(id) + msgpack.packb("input")
    text = msgpack.packb({"kind": "text", "text": "@" * draw(st.integers(1, 90))})
    spoilt = draw(
        st.sampled_from([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf8"])
    )
    tail = draw(
        st.one_of(
            st.just(text.replace(b"@" * len(spoilt), spoilt, 1)),
            st.integers(0, len(text) - 1).map(lambda cut: text[:cut]),
            st.binary(min_size=1, max_size=20).map(lambda extra: text + extra),
            st.just(b"\xc1" + text),
            st.just(b"\x91" * 5000),
        )
    )
    return id, head + tail


@given(unreadable())
@settings(max_examples=500)
def test_whoever_is_named_is_refused(named: tuple[int, bytes]) -> None:
    id, payload = named
    frames, violation, held = received(framed(payload, TO_WORKER_TYPES["prepare"]), [])
    assert violation is None and held == 0
    message = parse(*frames[0])
    if isinstance(message, UnreadableRequest):
        assert message.id == id
        answered(message)
    else:  # fewer bytes of text than the spoilt ones
        assert b"@" in payload


@pytest.mark.parametrize("seed", range(24))
def test_a_process_ends_with_its_code_and_says_why(seed: int) -> None:
    with Worker(epoch=EPOCH) as worker:
        worker.ready()
        with contextlib.suppress(ConnectionError):
            worker.sock.sendall(garbage(seed))
        fault = worker.expect("fault")
        assert fault["code"] in {
            "bad_magic",
            "bad_version",
            "bad_checksum",
            "bad_message",
            "bad_payload",
            "too_long",
            "unknown_type",
            "wrong_epoch",
        }
        assert worker.exit_code() == EXIT_VIOLATION
        assert f"worker: {fault['code']}: " in worker.stderr()


def spoilt(name: str, body: Any) -> bytes:
    """A frame in which every `@@@` is half of a surrogate pair instead."""
    payload = msgpack.packb(body).replace(b"@@@", b"\xed\xa0\x80")
    return framed(payload, TO_WORKER_TYPES[name])


def test_a_process_refuses_what_it_cannot_read_and_serves_the_rest() -> None:
    with Worker(epoch=EPOCH) as worker:
        worker.ready()
        chat = {"kind": "chat", "messages": [{"role": "user", "content": "@@@"}]}
        text = {"kind": "text", "text": "a@@@"}
        for id, input in enumerate((chat, text, {"kind": "nothing"}), 10):
            worker.sock.sendall(spoilt("prepare", {"id": id, "input": input}))
            refused = worker.expect("refused")
            assert (refused["id"], refused["code"]) == (id, "invalid_request")
        good = [admission(id, max_tokens=3) for id in (1, 3)]
        bad = admission(2, stop=["@@@"])
        worker.sock.sendall(spoilt("admit", {"requests": [good[0], bad, good[1]]}))
        assert worker.wait_for("refused")["id"] == 2
        assert {worker.wait_for("ended")["id"] for _ in range(2)} == {1, 3}
        worker.send("prepare", id=20, input=chat)
        assert worker.wait_for("prepared")["id"] == 20
