"""Frames as bytes: what is accepted, what of a payload can be made out, what breaks the link."""

from __future__ import annotations

import socket
import threading
import time
import zlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.failures import Violation
from mlx_serving.link.frames import (
    HEADER,
    MAGIC,
    PAYLOAD_BYTES_MAX,
    VERSION,
    FrameDecoder,
    Link,
    encode_frame,
)
from mlx_serving.link.garbled import Garbled
from mlx_serving.messages import FROM_WORKER_TYPES

EPOCH = 5


def encode(type_byte: int, epoch: int, body: object) -> bytes:
    return b"".join(encode_frame(type_byte, epoch, body))


def decoded(data: bytes) -> list[tuple[int, object]]:
    return list(FrameDecoder(EPOCH).feed(data))


def header(
    magic: int = MAGIC, version: int = VERSION, epoch: int = EPOCH, length: int = 1, crc: int = 0
) -> bytes:
    return HEADER.pack(magic, version, 6, epoch, length, crc)


def test_header_layout() -> None:
    frame = encode(6, 0x01020304, {"n": 1})
    assert frame[:8] == bytes.fromhex("584d 01 06 04030201")
    assert len(frame) == 16 + int.from_bytes(frame[8:12], "little")


bodies = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**32 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(st.tuples(st.integers(0, 255), bodies), max_size=5), st.integers(1, 64))
def test_frames_survive_any_cut(frames: list[tuple[int, object]], size: int) -> None:
    data = b"".join(encode(kind, EPOCH, body) for kind, body in frames)
    decoder = FrameDecoder(EPOCH)
    out = [frame for i in range(0, len(data), size) for frame in decoder.feed(data[i : i + size])]
    assert out == frames


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (header(magic=0x4D59), "bad_magic"),
        (header(version=2), "bad_version"),
        (header(epoch=6), "wrong_epoch"),
        (header(length=PAYLOAD_BYTES_MAX + 1), "too_long"),
        (header(length=1, crc=1) + b"\xc0", "bad_checksum"),
        (encode(6, EPOCH, {})[:-1] + b"\xc1", "bad_checksum"),
        (b"this is no frame", "bad_magic"),
    ],
)
def test_violations(data: bytes, code: str) -> None:
    with pytest.raises(Violation) as caught:
        decoded(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("payload", "body", "whole"),
    [
        (b"", {}, False),
        (b"\xc1", {}, False),
        (b"\x81\xa1", {}, False),
        (b"\xc0\xc0", {}, False),
        (b"\x82\xa2id\x07\xa5input\xc1", {"id": 7}, False),
        (b"\x81\xa2id\x07\x00", {"id": 7}, False),
        (b"\x81\xa2id\xa1\xff", {"id": "\udcff"}, True),
        (b"\x81\xa2id\xa3\xed\xa0\x80", {"id": "\udced\udca0\udc80"}, True),
        (b"\x81\x01\x02", {1: 2}, True),
        (b"\xd4\x00\x00", msgpack.ExtType(0, b"\x00"), True),
    ],
)
def test_payloads_that_are_no_msgpack(payload: bytes, body: object, whole: bool) -> None:
    """They are handed on with what can be made out, and the frame after them is read."""
    crc = zlib.crc32(payload)
    frame = HEADER.pack(MAGIC, VERSION, 2, EPOCH, len(payload), crc) + payload
    (type_byte, garbled), after = decoded(frame + encode(5, EPOCH, {"step": 1}))
    assert type_byte == 2 and after == (5, {"step": 1})
    assert isinstance(garbled, Garbled)
    assert (garbled.body, garbled.whole) == (body, whole)


def test_the_oversize_length_is_seen_before_its_payload() -> None:
    decoder = FrameDecoder(EPOCH)
    with pytest.raises(Violation):
        list(decoder.feed(header(length=0xFFFF_FFFF)))


def test_too_long_a_payload_is_not_sent() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        encode(36, EPOCH, b"\0" * (PAYLOAD_BYTES_MAX + 1))


def test_sends_what_the_socket_takes_and_keeps_the_rest() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours, EPOCH)
        for n in range(20_000):
            link.send("aborted", {"id": n})
        link.flush()
        assert link.unsent_bytes > 0
        decoder = FrameDecoder(EPOCH)
        seen: list[object] = []
        while len(seen) < 20_000:
            seen += [body for _, body in decoder.feed(theirs.recv(1 << 16))]
            link.flush()
        assert seen == [{"id": n} for n in range(20_000)]


def test_the_end_of_the_link() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        link = Link(ours, EPOCH)
        assert list(link.receive()) == []
        theirs.sendall(encode(5, EPOCH, {"step": 1}))
        assert list(link.receive()) == [(5, {"step": 1})]
        theirs.close()
        with pytest.raises(EOFError):
            list(link.receive())
        link.send("aborted", {"id": 1})
        with pytest.raises(EOFError):
            link.flush()
    assert FROM_WORKER_TYPES["aborted"] == 38


def filled() -> tuple[Link, socket.socket]:
    """A link with more to say than its socket takes."""
    ours, theirs = socket.socketpair()
    link = Link(ours, EPOCH)
    link.send("fault", {"code": "internal", "message": "x" * 4_000_000})
    return link, theirs


def test_last_words_reach_whoever_listens() -> None:
    link, theirs = filled()
    decoder = FrameDecoder(EPOCH)
    seen: list[object] = []

    def listen() -> None:
        while not seen:
            seen.extend(body for _, body in decoder.feed(theirs.recv(100_000)))

    listener = threading.Thread(target=listen)
    listener.start()
    link.flush_blocking(30)
    listener.join(30)
    assert link.unsent_bytes == 0
    assert seen == [{"code": "internal", "message": "x" * 4_000_000}]
    theirs.close()


def test_last_words_wait_for_nobody_who_is_deaf_gone_or_slow() -> None:
    link, theirs = filled()
    start = time.monotonic()
    link.flush_blocking(0.2)
    assert 0.2 <= time.monotonic() - start < 5 and link.unsent_bytes > 0
    done = threading.Event()

    def sip() -> None:
        while not done.wait(0.05):
            theirs.recv(10_000)

    sipper = threading.Thread(target=sip)
    sipper.start()
    start = time.monotonic()
    link.flush_blocking(0.4)
    assert time.monotonic() - start < 5 and link.unsent_bytes > 0
    done.set()
    sipper.join()
    theirs.close()
    link.flush_blocking(30)
    assert time.monotonic() - start < 10
