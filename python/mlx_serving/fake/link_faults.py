"""Faults on the link of the fake engine: output that is cut at a byte, or damaged at a frame.

Stands where frames wait for the socket (`link/outgoing.py`). Knows how frames look, none of their
meaning but the index of a row. Places are counted from the origin: the end of the frame `ready`,
or, with `afterEnded`, of the so manieth frame `ended`.
"""

from __future__ import annotations

import os
import signal
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgpack

from ..link.frames import HEADER, PAYLOAD_BYTES_MAX
from ..messages import FROM_WORKER_TYPES

STRAY: Final = b"Traceback (most recent call last):\n"
UNKNOWN_TYPE: Final = 99
_NAMES: Final = {number: name for name, number in FROM_WORKER_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the first `byte` bytes of the nth frame of a type; 0: right before it. More bytes
    than it has mean its end."""

    frame: str
    nth: int = 1
    byte: int = 0

    def __post_init__(self) -> None:
        if self.frame not in FROM_WORKER_TYPES:
            raise ValueError(f"there is no frame {self.frame!r}")


@dataclass(frozen=True, slots=True)
class Damage:
    kind: str
    place: Place

    @classmethod
    def parse(cls, kind: str, **place: Any) -> Damage:
        if kind not in DAMAGES:
            raise ValueError(f"there is no damage {kind!r}")
        return cls(kind, Place(**place))


@dataclass(frozen=True, slots=True)
class LinkFaults:
    die_at_byte: int | None = None
    die_in_frame: Place | None = None
    damage: Damage | None = None
    after_ended: int = 0

    def __bool__(self) -> bool:
        return any(x is not None for x in (self.die_at_byte, self.die_in_frame, self.damage))


class FaultyOutgoing:
    """Like `PlainOutgoing`, with a fault on the way."""

    def __init__(self, faults: LinkFaults) -> None:
        self._faults = faults
        self._data = bytearray()
        self._put_bytes = 0
        self._sent_bytes = 0
        self._cut_at: int | None = None
        self._origin_passed = False
        self._ended = 0
        self._seen: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._data)

    def put(self, header: bytes, payload: bytes) -> None:
        name = _NAMES[header[3]]
        frame = header + payload
        if self._origin_passed:
            self._seen[name] += 1
            self._aim(name, len(frame))
            frame = self._damaged(name, header, payload)
        self._data += frame
        self._put_bytes += len(frame)
        self._look_for_origin(name)

    def write(self, sock: socket.socket) -> None:
        while True:
            if self._sent_bytes == self._cut_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if not self._data:
                return
            left = len(self._data) if self._cut_at is None else self._cut_at - self._sent_bytes
            sent = sock.send(bytes(self._data[:left]))
            del self._data[:sent]
            self._sent_bytes += sent

    def _look_for_origin(self, name: str) -> None:
        self._ended += name == "ended"
        wanted = self._faults.after_ended
        if self._origin_passed or not (self._ended == wanted if wanted else name == "ready"):
            return
        self._origin_passed = True
        if self._faults.die_at_byte is not None:
            self._cut_at = self._put_bytes + self._faults.die_at_byte

    def _aim(self, name: str, frame_bytes: int) -> None:
        place = self._faults.die_in_frame
        if place is not None and self._is_at(place, name):
            self._cut_at = self._put_bytes + min(place.byte, frame_bytes)

    def _damaged(self, name: str, header: bytes, payload: bytes) -> bytes:
        damage = self._faults.damage
        if damage is None or not self._is_at(damage.place, name):
            return header + payload
        return DAMAGES[damage.kind](header, payload, damage.place.byte)

    def _is_at(self, place: Place, name: str) -> bool:
        return place.frame == name and self._seen[name] == place.nth


def _with_header(header: bytes, payload: bytes, **changes: int) -> bytes:
    names = ("magic", "version", "type", "epoch", "length", "crc")
    fields = dict(zip(names, HEADER.unpack(header), strict=True)) | changes
    return HEADER.pack(*fields.values()) + payload


def _stray(header: bytes, payload: bytes, byte: int) -> bytes:
    frame = header + payload
    return frame[:byte] + STRAY + frame[byte:]


def _oversize(header: bytes, payload: bytes, _byte: int) -> bytes:
    return _with_header(header, payload, length=PAYLOAD_BYTES_MAX + 1)


def _checksum(header: bytes, payload: bytes, _byte: int) -> bytes:
    return _with_header(header, payload, crc=zlib.crc32(payload) ^ 1)


def _unknown_type(header: bytes, payload: bytes, _byte: int) -> bytes:
    return _with_header(header, payload, type=UNKNOWN_TYPE)


def _older_epoch(header: bytes, payload: bytes, _byte: int) -> bytes:
    """The frame twice, first as if the incarnation before had sent it."""
    epoch = HEADER.unpack(header)[3]
    return _with_header(header, payload, epoch=epoch - 1) + header + payload


def _order(header: bytes, payload: bytes, _byte: int) -> bytes:
    """A `step` whose tokens skip one."""
    body = msgpack.unpackb(payload)
    body["rows"] = [[id, index + 1, *rest] for id, index, *rest in body["rows"]]
    skipping = cast(bytes, msgpack.packb(body))
    crc = zlib.crc32(skipping)
    return _with_header(header, skipping, length=len(skipping), crc=crc)


DAMAGES: Final[Mapping[str, Callable[[bytes, bytes, int], bytes]]] = {
    "stray": _stray,
    "oversize": _oversize,
    "checksum": _checksum,
    "unknownType": _unknown_type,
    "olderEpoch": _older_epoch,
    "order": _order,
}
