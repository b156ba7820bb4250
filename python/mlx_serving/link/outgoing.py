"""Frames that the socket has not taken yet, as bytes.

`PlainOutgoing` keeps them in one growing bytearray, `StagedOutgoing` in the buffers of a pool, so
that sending allocates nothing. Neither knows a frame's meaning.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Final, Protocol

STAGES: Final = 16
STAGE_BYTES: Final = 64 * 1024


class Outgoing(Protocol):
    def __len__(self) -> int:
        """Bytes that the socket has not taken."""
        ...

    def put(self, header: bytes, payload: bytes) -> None: ...

    def write(self, sock: socket.socket) -> None:
        """Writes until all is out, or `send` raises: `BlockingIOError` when the socket is full."""
        ...


class PlainOutgoing:
    def __init__(self) -> None:
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def put(self, header: bytes, payload: bytes) -> None:
        self._data += header
        self._data += payload

    def write(self, sock: socket.socket) -> None:
        while self._data:
            del self._data[: sock.send(self._data)]


class _Stage:
    """A buffer of the pool that is filled from the left and sent from the left."""

    __slots__ = ("buffer", "end", "start", "view")

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.view: memoryview = buffer.view()
        self.start = self.end = 0

    def take(self, header: bytes, payload: bytes) -> bool:
        """Whether there was room for both."""
        middle = self.end + len(header)
        end = middle + len(payload)
        if end > len(self.view):
            return False
        self.view[self.end : middle] = header
        self.view[middle:end] = payload
        self.end = end
        return True


class _Loose(_Stage):
    """A frame that fits into no buffer, or found none."""

    def __init__(self, data: bytes) -> None:
        self.buffer = None
        self.view = memoryview(data)
        self.start, self.end = 0, len(data)


class StagedOutgoing:
    """`pool`: a CommandBufferPool of host buffers; `exhausted`: what its `acquire` raises then."""

    def __init__(self, pool: Any, exhausted: type[Exception]) -> None:
        self._pool = pool
        self._exhausted = exhausted
        self._stages: deque[_Stage] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return self._bytes

    def put(self, header: bytes, payload: bytes) -> None:
        self._bytes += len(header) + len(payload)
        if self._stages and self._stages[-1].take(header, payload):
            return
        stage = self._new_stage()
        if stage is None or not stage.take(header, payload):
            self._release(stage)
            stage = _Loose(header + payload)
        self._stages.append(stage)

    def write(self, sock: socket.socket) -> None:
        while self._stages:
            stage = self._stages[0]
            sent = sock.send(stage.view[stage.start : stage.end])
            stage.start += sent
            self._bytes -= sent
            if stage.start == stage.end:
                self._stages.popleft()
                self._release(stage)

    def _new_stage(self) -> _Stage | None:
        try:
            return _Stage(self._pool.acquire())
        except self._exhausted:
            return None

    def _release(self, stage: _Stage | None) -> None:
        if stage is None:
            return
        # The pool takes no buffer back while a view of it lives.
        stage.view.release()
        if stage.buffer is not None:
            self._pool.release(stage.buffer)
