"""What the orchestrator sends: bytes of a frame in, a typed message out.

Parse once, at the edge: inside, the types of `messages.py` are trusted; what each field must be is
in `bodies.py`. A value that does not fit its shape, an unknown key too, is refused where the frame
names its request: `UnreadableRequest` stands in that request's place, and the frame's other
requests go on. Where the frame names no request, no request could be answered and one would wait
for ever: that is a `Violation`, and the link is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ..failures import Refused, Violation
from ..messages import TO_WORKER_TYPES, Admission, Prepare, ToWorker
from . import bodies
from .checks import REQUEST, Misfit, array, u32
from .garbled import Garbled

_T = TypeVar("_T")

# An input's own names for what a client calls its input.
_CONTENT: Final = ("texts", "text", "tokens")
_ADMIT: Final = TO_WORKER_TYPES["admit"]
_PREPARE: Final = TO_WORKER_TYPES["prepare"]


@dataclass(frozen=True, slots=True)
class UnreadableRequest:
    """In the place of a request that its frame names and that can't be read."""

    id: int
    refusal: Refused


@dataclass(frozen=True, slots=True)
class Admissions:
    """The requests of an `Admit`, each read by itself."""

    requests: list[Admission | UnreadableRequest]


Heard = ToWorker | Admissions | UnreadableRequest


def parse(type_byte: int, body: object) -> Heard:
    """The message in a frame from the orchestrator. Raises `Violation`."""
    if type_byte != _ADMIT and type_byte not in bodies.MESSAGES:
        raise Violation(f"unknown frame type {type_byte}", "unknown_type")
    if not isinstance(body, Garbled):
        return _read(type_byte, body)
    try:
        message = _read(type_byte, body.body)
    except Violation as violation:
        raise Violation(f"{body.reason}, and {violation}", "bad_payload") from violation
    if body.whole and isinstance(message, Prepare | UnreadableRequest | Admissions):
        return message
    # Its beginning reads well; what comes after can be anything.
    if isinstance(message, Prepare):
        return _unreadable(message.id, Misfit("input", body.reason))
    if isinstance(message, UnreadableRequest):
        return message
    raise Violation(body.reason, "bad_payload")


def _read(type_byte: int, body: object) -> Heard:
    if type_byte == _ADMIT:
        return _admissions(body)
    if type_byte == _PREPARE:
        return _named(body, "prepare", bodies.prepare)
    return bodies.MESSAGES[type_byte](body, "body")


def _admissions(body: object) -> Admissions:
    if type(body) is not dict or body.keys() != {"requests"}:
        raise Misfit("admit", "must be a map of requests alone")
    requests = enumerate(array(body["requests"], "requests"))
    return Admissions([_named(one, f"requests[{i}]", bodies.admission) for i, one in requests])


def _named(value: object, path: str, check: Callable[[object, str], _T]) -> _T | UnreadableRequest:
    """One request of a frame, or that it can't be read. Raises `Violation` where it has no name."""
    if type(value) is not dict:
        raise Misfit(path, "must be a map")
    id = u32(value.get("id"), f"{path}.id")
    try:
        return check(value, REQUEST)
    except Misfit as misfit:
        return _unreadable(id, misfit)


def _unreadable(id: int, misfit: Misfit) -> UnreadableRequest:
    path = _path_for_client(misfit.path)
    field = path.partition("[")[0].partition(".")[0]
    # It may name a key that came as no text, and must itself be sent as one.
    said = f"{path} {misfit.what}".encode(errors="replace").decode()
    return UnreadableRequest(id, Refused("invalid_request", field, said))


def _path_for_client(path: str) -> str:
    """In the words of a client, who says `messages`, or gives a text or tokens as its `input`."""
    inside = path.removeprefix("input.")
    if inside == "kind":
        return path
    for name in _CONTENT:
        if inside == name or inside.startswith(f"{name}["):
            return "input" + inside.removeprefix(name)
    return inside
