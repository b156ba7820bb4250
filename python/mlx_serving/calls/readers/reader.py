"""What a reader of arguments is."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Read(NamedTuple):
    """`json`: the JSON text that became certain. `at`: where the reader stands; the text before is
    not needed any more. `done`: the arguments end there."""

    json: str
    at: int
    done: bool


class Reader(Protocol):
    def read(self, text: str, at: int) -> Read:
        """`text` from `at` on is what has not been read, as far as it is there."""
        ...
