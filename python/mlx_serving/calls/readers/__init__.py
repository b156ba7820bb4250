"""Arguments of a call as a model writes them, read as they are made and told as JSON text.

Each reader is handed the text so far and where it stands, and says what became certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..format import Braced, CallFormat, Pythonic, Tagged
from .braced import BracedReader
from .json_value import JsonReader
from .pythonic import PythonicReader
from .reader import Reader
from .tagged import TaggedReader

__all__ = ["Reader", "reader_of"]


def reader_of(format: CallFormat, schema: Mapping[str, Any] | None) -> Reader:
    """`schema`: of the tool's arguments, where it is known."""
    match format.style:
        case Tagged() as style:
            return TaggedReader(style, format.after, schema)
        case Pythonic():
            return PythonicReader()
        case Braced() as style:
            return BracedReader(style)
    return JsonReader()
