"""Calls as the model itself would write them: for the history where a template leaves them out, and
what parser and grammar are tried with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from .format import (
    ID,
    INDEX_FROM_0,
    INDEX_FROM_1,
    NAME,
    Braced,
    CallFormat,
    Pythonic,
    Spacing,
    Tagged,
)
from .readers.tagged import CDATA_BEGIN, CDATA_END
from .values import type_of

ID_CHARACTERS: Final = 9
SEPARATORS: Final[Mapping[Spacing, tuple[str, str]]] = {
    "spaced": (", ", ": "),
    "any": (", ", ": "),
    "compact": (",", ":"),
}


class Unwritable(Exception):
    """A value that the format has no way to write."""


def render_call(
    format: CallFormat, name: str, arguments: Mapping[str, Any], index: int = 0, id: str = ""
) -> str:
    """One call, without what stands around all of them. Raises `Unwritable`."""
    text = "".join(
        (format.before, name, format.between, render_arguments(format, arguments), format.after)
    )
    return (
        text.replace(NAME, name)
        .replace(ID, id or short_id(f"{name}:{index}"))
        .replace(INDEX_FROM_0, str(index))
        .replace(INDEX_FROM_1, str(index + 1))
    )


def render_calls(
    format: CallFormat, calls: Sequence[tuple[str, Mapping[str, Any]]], ids: Sequence[str] = ()
) -> str:
    """A turn's calls."""
    parts = [
        render_call(format, name, arguments, index, ids[index] if index < len(ids) else "")
        for index, (name, arguments) in enumerate(calls)
    ]
    return format.open + format.separator.join(parts) + format.close


def render_arguments(format: CallFormat, arguments: Mapping[str, Any]) -> str:
    match format.style:
        case Tagged() as style:
            return style.separator.join(
                _tagged(style, key, value, format.spacing) for key, value in arguments.items()
            )
        case Pythonic():
            pairs = (f"{key}={_json(value, format.spacing)}" for key, value in arguments.items())
            return ", ".join(pairs)
        case Braced(quote):
            return ",".join(
                f"{key}:{braced_text(value, quote)}" for key, value in arguments.items()
            )
    return _json(arguments, format.spacing)


def short_id(text: str) -> str:
    """Letters and digits that are the same for the same text: some templates take no other."""
    return blake2b(text.encode(), digest_size=8).hexdigest()[:ID_CHARACTERS]


def _json(value: Any, spacing: Spacing) -> str:
    return json.dumps(value, ensure_ascii=False, separators=SEPARATORS[spacing])


def _tagged(style: Tagged, key: str, value: Any, spacing: Spacing) -> str:
    kind = type_of(value)
    close = style.close(kind, key)
    text = value if isinstance(value, str) else _json(value, spacing)
    mark = close.strip()
    if style.cdata and isinstance(value, str) and any(sign in value for sign in "<&\n"):
        mark, text = CDATA_END, f"{CDATA_BEGIN}{value}{CDATA_END}"
        if mark in value:
            raise Unwritable(f"{key} holds {mark}, which ends it")
    elif mark in text:
        raise Unwritable(f"{key} holds {mark}, which ends it")
    return f"{style.open}{key}{style.mid(kind)}{text}{close}"


def braced_text(value: Any, quote: str) -> str:
    match value:
        case str():
            if quote in value:
                raise Unwritable(f"a string holds {quote}, which ends it")
            return f"{quote}{value}{quote}"
        case Mapping():
            pairs = (f"{key}:{braced_text(item, quote)}" for key, item in value.items())
            return f"{{{','.join(pairs)}}}"
        case list() | tuple():
            return f"[{','.join(braced_text(item, quote) for item in value)}]"
    return json.dumps(value)
