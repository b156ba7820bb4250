"""Bytes on their way to the socket: both ways of keeping them send the same."""

from __future__ import annotations

import itertools
import random
import socket
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.link.frames import FrameDecoder, Link, encode_frame
from mlx_serving.link.outgoing import STAGE_BYTES, Outgoing, PlainOutgoing, StagedOutgoing
from mlx_serving.native import fallback

Pool = fallback.CommandBufferPool
Frame = tuple[bytes, bytes]
SMALL_STAGE_BYTES = 4096
EPOCH = 3


class Trickle:
    """A socket that takes so many bytes at a time, in turn; 0: it is full for once."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = itertools.cycle(sizes)
        self.taken = bytearray()

    def send(self, data: memoryview) -> int:
        size = min(next(self._sizes), len(data))
        if size == 0:
            raise BlockingIOError
        self.taken += data[:size]
        return size


def staged(api: ModuleType, size: int = 4) -> tuple[StagedOutgoing, Pool]:
    pool = api.CommandBufferPool(size, backend="host", buffer_bytes=SMALL_STAGE_BYTES)
    return StagedOutgoing(pool, api.PoolExhausted), pool


def assert_all_are_back(pool: Pool) -> None:
    stats = pool.get_stats()
    assert stats.total_acquired == stats.total_released
    assert stats.available == stats.pool_size


def write(outgoing: Outgoing, sock: Any) -> None:
    with suppress(BlockingIOError):
        outgoing.write(sock)
        assert len(outgoing) == 0


def bytes_of(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count)


def made(sizes: list[tuple[int, int]]) -> list[Frame]:
    return [(bytes_of(a, i), bytes_of(b, -i)) for i, (a, b) in enumerate(sizes)]


FULL = SMALL_STAGE_BYTES - 16
payload_bytes = st.integers(0, 300) | st.integers(FULL - 1, FULL + 1) | st.integers(0, 10_000)
frames = st.lists(st.tuples(st.integers(1, 20), payload_bytes), max_size=40).map(made)
steps = st.lists(st.integers(0, 6000), max_size=5).map(lambda sizes: [*sizes, 700])


@given(frames, steps, st.integers(1, 12), st.integers(1, 3))
def test_both_send_the_same(
    api: ModuleType, frames: list[Frame], sizes: list[int], burst: int, pool_size: int
) -> None:
    outgoing, pool = staged(api, pool_size)
    plain, put = PlainOutgoing(), b""
    sock, other = Trickle(sizes), Trickle(sizes)
    for i, frame in enumerate(frames):
        put += b"".join(frame)
        for out, to in ((outgoing, sock), (plain, other)):
            out.put(*frame)
            if i % burst == 0:
                write(out, to)
            assert len(out) == len(put) - len(to.taken)
    for out, to in ((outgoing, sock), (plain, other)):
        while len(out):
            write(out, to)
        assert to.taken == put
    assert_all_are_back(pool)


@pytest.mark.parametrize("seed", range(4))
def test_a_socket_gets_whole_frames_in_order(api: ModuleType, seed: int) -> None:
    """Through a link and a real socket, whose other end reads little, at random."""
    chance = random.Random(seed)
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    outgoing, pool = staged(api, 2)
    link = Link(ours, EPOCH, outgoing)
    decoder, seen = FrameDecoder(EPOCH), []
    blocked = False
    with ours, theirs:
        bodies = [
            {"n": n, "x": chance.randbytes(chance.choice([0, 10, 1000, 4050, 9000]))}
            for n in range(300)
        ]
        for body in bodies:
            link.send("aborted", body)  # type: ignore[arg-type]
            link.flush()
            blocked = blocked or link.unsent_bytes > 0
            if chance.random() < 0.2:
                seen += [got for _, got in decoder.feed(theirs.recv(chance.randrange(1, 50_000)))]
        while len(seen) < len(bodies):
            link.flush()
            seen += [got for _, got in decoder.feed(theirs.recv(chance.randrange(1, 50_000)))]
    assert blocked and seen == bodies
    assert_all_are_back(pool)


def test_a_buffer_serves_again(api: ModuleType) -> None:
    outgoing, pool = staged(api)
    sock = Trickle([1_000_000])
    for _ in range(50):
        outgoing.put(b"head", b"x" * 1000)
        write(outgoing, sock)
    assert pool.get_stats().cache_hits == 50 and pool.get_stats().cache_misses == 0
    assert_all_are_back(pool)


def test_small_frames_share_a_buffer(api: ModuleType) -> None:
    outgoing, pool = staged(api)
    for _ in range(10):
        outgoing.put(b"head", b"x" * 100)
    assert pool.get_stats().total_acquired == 1


def test_a_frame_that_fits_into_no_buffer_goes_by_itself(api: ModuleType) -> None:
    outgoing, pool = staged(api)
    sock = Trickle([1_000_000])
    for header, size in ((b"a", 1), (b"b", SMALL_STAGE_BYTES * 2), (b"c", 1)):
        outgoing.put(header, header * size)
    assert pool.get_stats().available == pool.get_stats().pool_size - 2
    write(outgoing, sock)
    assert sock.taken == b"aa" + b"b" * (SMALL_STAGE_BYTES * 2 + 1) + b"cc"
    assert_all_are_back(pool)


def test_a_frame_of_exactly_a_buffer(api: ModuleType) -> None:
    outgoing, pool = staged(api)
    sock = Trickle([100])
    for i in range(3):
        outgoing.put(b"head", bytes_of(SMALL_STAGE_BYTES - 4, i))
    assert pool.get_stats().total_acquired == 3
    while len(outgoing):
        write(outgoing, sock)
    assert sock.taken == b"".join(b"head" + bytes_of(SMALL_STAGE_BYTES - 4, i) for i in range(3))
    assert_all_are_back(pool)


@pytest.mark.parametrize("size", [1, 2])
def test_an_exhausted_pool_loses_nothing(api: ModuleType, size: int) -> None:
    outgoing, pool = staged(api, size)
    frames = made([(16, SMALL_STAGE_BYTES // 2)] * size * 12)
    for frame in frames:
        outgoing.put(*frame)
    with pytest.raises(api.PoolExhausted):
        pool.acquire()
    sock = Trickle([1_000_000])
    write(outgoing, sock)
    assert sock.taken == b"".join(map(b"".join, frames))
    assert_all_are_back(pool)


def test_what_was_never_sent_gives_its_buffers_back(api: ModuleType) -> None:
    outgoing, pool = staged(api)
    outgoing.put(b"head", b"x" * 5000)
    outgoing.put(b"head", b"x" * 50)
    del outgoing
    assert_all_are_back(pool)


def test_a_stage_holds_a_step_of_a_full_batch() -> None:
    rows = [[id, 4_000_000, 150_000, " something"] for id in range(256)]
    header, payload = encode_frame(41, EPOCH, {"step": 4_000_000, "rows": rows})
    assert len(header) + len(payload) <= STAGE_BYTES
