"""Frames over the socket to the orchestrator. Knows bytes and types, no meaning of a message.

A frame, all little-endian: magic u16, version u8, type u8, epoch u32, length u32, crc32 u32 of
the payload, then `length` bytes of msgpack. Both sides carry the worker's epoch.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Final, cast

import msgpack

from ..failures import Violation
from ..messages import FROM_WORKER_TYPES, FromWorkerBody
from .garbled import make_out
from .outgoing import Outgoing, PlainOutgoing

LINK_FD: Final = 3
MAGIC: Final = 0x4D58
VERSION: Final = 1
HEADER: Final = struct.Struct("<HBBIII")
# `frameBytesMax` in link.ts: a body of 32 MiB as a `prepare`, whatever its wrapping adds.
PAYLOAD_BYTES_MAX: Final = 40 * 1024 * 1024
READ_BYTES: Final = 256 * 1024


def encode_frame(type_byte: int, epoch: int, body: object) -> tuple[bytes, bytes]:
    """Header and payload of a frame. Raises `ValueError` when the payload is too long."""
    payload = cast(bytes, msgpack.packb(body))
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes exceeds {PAYLOAD_BYTES_MAX}")
    crc = zlib.crc32(payload)
    return HEADER.pack(MAGIC, VERSION, type_byte, epoch, len(payload), crc), payload


class FrameDecoder:
    """Turns a stream of bytes into `(type, body)`; raises `Violation` at the first bad frame."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, object]]:
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                type_byte, length, crc = self._header(start)
                end = start + HEADER.size + length
                if len(self._buffer) < end:
                    return
                payload = bytes(self._buffer[start + HEADER.size : end])
                start = end
                yield type_byte, _unpack(payload, crc)
        finally:
            del self._buffer[:start]

    def _header(self, start: int) -> tuple[int, int, int]:
        magic, version, type_byte, epoch, length, crc = HEADER.unpack_from(self._buffer, start)
        if magic != MAGIC:
            raise Violation("bad magic", "bad_magic")
        if version != VERSION:
            raise Violation(f"frame version {version}, expected {VERSION}", "bad_version")
        if length > PAYLOAD_BYTES_MAX:
            raise Violation(f"a payload of {length} bytes exceeds {PAYLOAD_BYTES_MAX}", "too_long")
        if epoch != self._epoch:
            raise Violation(f"epoch {epoch}, this worker has {self._epoch}", "wrong_epoch")
        return type_byte, length, crc


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code}")


def _unpack(payload: bytes, crc: int) -> object:
    """The body, or what can be made out of it: the link is well, only one message is not."""
    if zlib.crc32(payload) != crc:
        raise Violation("checksum mismatch", "bad_checksum")
    try:
        return msgpack.unpackb(payload, ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        return make_out(payload, error)


class Link:
    """The socket, non-blocking. One thread owns it; nothing here is safe for two."""

    def __init__(self, sock: socket.socket, epoch: int, out: Outgoing | None = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._epoch = epoch
        self._decoder = FrameDecoder(epoch)
        self._out = PlainOutgoing() if out is None else out

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def unsent_bytes(self) -> int:
        return len(self._out)

    def send(self, name: str, body: FromWorkerBody) -> None:
        """Queues a frame; `flush` writes it."""
        self._out.put(*encode_frame(FROM_WORKER_TYPES[name], self._epoch, body))

    def flush(self) -> None:
        """Writes what the socket takes now. Raises `EOFError` when the other side is gone."""
        try:
            self._out.write(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError(str(error)) from error

    def flush_blocking(self, timeout_seconds: float) -> None:
        """For the last words before an exit: waits for the socket, but not forever."""
        deadline = time.monotonic() + timeout_seconds
        with contextlib.suppress(EOFError):
            self.flush()
            while self.unsent_bytes and (left := deadline - time.monotonic()) > 0:
                select.select([], [self._sock], [], left)
                self.flush()

    def receive(self) -> Iterator[tuple[int, object]]:
        """Frames that have arrived. Raises `EOFError` at the end, `Violation` on a bad frame."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError(str(error)) from error
        if not data:
            raise EOFError("the orchestrator closed the link")
        yield from self._decoder.feed(data)
