"""Bytes on their way to the socket: both ways of keeping them send the same."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving import native
from mlx_serving.native import twins
from mlx_serving.outgoing import STAGE_BYTES, Outgoing, PlainOutgoing, StagedOutgoing

Pool = twins.CommandBufferPool
SMALL_STAGE_BYTES = 4096


class Trickle:
    """A socket that takes some bytes, then none for once."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.taken = bytearray()
        self.calls = 0

    def send(self, data: bytes) -> int:
        self.calls += 1
        size = self.sizes[self.calls % len(self.sizes)] if self.sizes else len(data)
        if size == 0:
            raise BlockingIOError
        self.taken += bytes(data[:size])
        return min(size, len(data))


def staged(size: int = 4) -> tuple[StagedOutgoing, Pool]:
    pool = native.CommandBufferPool(size, backend="host", buffer_bytes=SMALL_STAGE_BYTES)
    return StagedOutgoing(pool, native.PoolExhausted), pool


frames = st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 10_000)))


@given(frames, st.lists(st.integers(0, 6000), max_size=5))
def test_both_send_the_same(frames: list[tuple[bytes, int]], sizes: list[int]) -> None:
    if sizes and not any(sizes):
        sizes = [*sizes, 7]
    makers: list[Callable[[], Outgoing]] = [PlainOutgoing, lambda: staged()[0]]
    for make in makers:
        outgoing, sock, sent = make(), Trickle(sizes), bytearray()
        for header, size in frames:
            payload = header[:1] * size
            outgoing.put(header, payload)
            sent += header + payload
            assert len(outgoing) == len(sent) - len(sock.taken)
            try:
                outgoing.write(sock)  # type: ignore[arg-type]
            except BlockingIOError:
                continue
            assert len(outgoing) == 0
        while len(outgoing):
            try:
                outgoing.write(sock)  # type: ignore[arg-type]
            except BlockingIOError:
                continue
        assert sock.taken == sent


def test_every_buffer_comes_back() -> None:
    outgoing, pool = staged()
    ours, theirs = socket.socketpair()
    for _ in range(50):
        outgoing.put(b"head", b"x" * 1000)
        outgoing.write(ours)
        assert theirs.recv(5000) == b"head" + b"x" * 1000
    ours.close()
    theirs.close()
    stats = pool.get_stats()
    assert stats.total_acquired == stats.total_released == stats.cache_hits > 0
    assert stats.available == stats.pool_size


def test_small_frames_share_a_buffer() -> None:
    outgoing, pool = staged()
    for _ in range(10):
        outgoing.put(b"head", b"x" * 100)
    assert pool.get_stats().total_acquired == 1


def test_a_frame_that_fits_into_no_buffer_goes_by_itself() -> None:
    outgoing, pool = staged()
    outgoing.put(b"a", b"1")
    outgoing.put(b"b", b"2" * SMALL_STAGE_BYTES * 2)
    outgoing.put(b"c", b"3")
    sock = Trickle([])
    outgoing.write(sock)  # type: ignore[arg-type]
    assert sock.taken == b"a1b" + b"2" * SMALL_STAGE_BYTES * 2 + b"c3"
    assert pool.get_stats().available == 4


@pytest.mark.parametrize("size", [1, 2])
def test_an_exhausted_pool_loses_nothing(size: int) -> None:
    outgoing, pool = staged(size)
    wanted = b""
    for i in range(size * 12):
        outgoing.put(b"h", bytes([i]) * SMALL_STAGE_BYTES)
        outgoing.put(b"h", bytes([i]) * (SMALL_STAGE_BYTES - 1))
        wanted += (
            b"h" + bytes([i]) * SMALL_STAGE_BYTES + b"h" + bytes([i]) * (SMALL_STAGE_BYTES - 1)
        )
    assert len(outgoing) == len(wanted)
    sock = Trickle([])
    outgoing.write(sock)  # type: ignore[arg-type]
    assert sock.taken == wanted
    stats = pool.get_stats()
    assert stats.total_acquired == stats.total_released


def test_a_stage_holds_a_step_of_a_full_batch() -> None:
    bytes_per_row_max = 256
    rows = 64
    assert rows * bytes_per_row_max <= STAGE_BYTES
