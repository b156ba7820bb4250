"""Workers of the fake engine with faults, and the bytes that they say."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from mlx_serving.link.frames import HEADER
from mlx_serving.messages import FROM_WORKER_TYPES

from orchestrator import Message, Worker


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
