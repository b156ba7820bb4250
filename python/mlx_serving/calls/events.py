"""What comes out of a model's turn, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next piece of the JSON text of a call's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """`complete`: the arguments are whole JSON. Else the turn ended in them, or the model broke
    off."""

    index: int
    complete: bool


Event = Content | Reasoning | CallBegin | CallArguments | CallEnd
