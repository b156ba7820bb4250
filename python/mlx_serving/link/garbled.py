"""Reads what it can of a payload that arrived whole and is no valid msgpack.

The frame's header and checksum are right, and its readable part says which request to refuse. This
file knows msgpack and no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgpack

# Not UTF-8 becomes lone surrogates, unknown types stay what they are: a check of values finds them.
_LENIENT: Final[dict[str, Any]] = {"unicode_errors": "surrogateescape", "strict_map_key": False}


@dataclass(frozen=True, slots=True)
class Garbled:
    """`whole`: all was made out, and only values are wrong; else `body` is its beginning."""

    body: object
    whole: bool
    reason: str


def make_out(payload: bytes, error: Exception) -> Garbled:
    reason = f"the payload is no msgpack ({type(error).__name__})"
    try:
        return Garbled(msgpack.unpackb(payload, **_LENIENT), True, reason)
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException):
        return Garbled(_beginning(payload), False, reason)


def _beginning(payload: bytes) -> dict[object, object]:
    """The outer map up to what can't be decoded; a request's name is written first."""
    unpacker = msgpack.Unpacker(**_LENIENT)
    unpacker.feed(payload)
    fields: dict[object, object] = {}
    try:
        for _ in range(unpacker.read_map_header()):
            key = unpacker.unpack()
            fields[key] = unpacker.unpack()
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException):
        pass
    return fields
