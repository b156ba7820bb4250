"""Bare keys and strings between marks, `city:<|"|>Oslo<|"|>,days:7`, as one JSON object."""

from __future__ import annotations

import re
from typing import Final

from ..format import Braced
from ..literals import held, skip_spaces
from ..values import ALL, as_json, escaped, is_value, parsed, value_json
from .enclosed import value_end
from .reader import Read

_BARE_KEY: Final = re.compile(r"([{,]\s*)([^\s{}\[\],:\"]+)\s*:")


class BracedReader:
    def __init__(self, style: Braced) -> None:
        self._mark = style.quote
        self._begun = self._any = False
        self._in_value = self._in_string = False

    def read(self, text: str, at: int) -> Read:
        out: list[str] = []
        if not self._begun:
            self._begun = True
            out.append("{")
        while True:
            if self._in_string:
                step = self._string(text, at)
                json, at = step
                out.append(json)
                if self._in_string:
                    return Read("".join(out), at, False)
                continue
            if not self._in_value:
                at = skip_spaces(text, at)
                while at < len(text) and text[at] == ",":
                    at = skip_spaces(text, at + 1)
                if at < len(text) and text[at] == "}":
                    return Read("".join(out) + "}", at, True)
            found = self._value(text, at) if self._in_value else self._key(text, at)
            if found is None:
                return Read("".join(out), at, False)
            json, at = found
            out.append(json)

    def _key(self, text: str, at: int) -> tuple[str, int] | None:
        end = text.find(":", at)
        if end < 0:
            return None
        key = text[at:end].strip().removeprefix(self._mark).removesuffix(self._mark)
        comma = ", " if self._any else ""
        self._any = self._in_value = True
        return f"{comma}{as_json(key.strip(chr(34)))}: ", end + 1

    def _value(self, text: str, at: int) -> tuple[str, int] | None:
        at = skip_spaces(text, at)
        mark = self._mark
        if text.startswith(mark, at):
            self._in_string = True
            return '"', at + len(mark)
        if mark.startswith(text[at:]):
            return None
        end = value_end(text, at, (mark, '"'))
        if end < 0:
            return None
        self._in_value = False
        return self._as_json(text[at:end].strip()), end

    def _string(self, text: str, at: int) -> tuple[str, int]:
        end = text.find(self._mark, at)
        if end < 0:
            end = held(text, self._mark, at)
            return escaped(text[at:end]), end
        self._in_string = self._in_value = False
        return f'{escaped(text[at:end])}"', end + len(self._mark)

    def _as_json(self, raw: str) -> str:
        """Text outside of strings has bare keys; strings are between marks, or JSON's own."""
        parts = re.split(
            rf'({re.escape(self._mark)}.*?{re.escape(self._mark)}|"(?:[^"\\]|\\.)*")',
            raw,
            flags=re.S,
        )
        sizes = len(self._mark)
        strings = [
            part if part.startswith('"') else as_json(part[sizes:-sizes]) for part in parts[1::2]
        ]
        # Strings are put back when keys have their quotes.
        stand_in = "\ue005"
        bare = stand_in.join(parts[::2])
        quoted = _BARE_KEY.sub(
            lambda hit: hit[0] if stand_in in hit[2] else f"{hit[1]}{as_json(hit[2])}:", bare
        )
        pieces = iter(strings)
        text = re.sub(stand_in, lambda _: next(pieces), quoted)
        return value_json(text, ALL) if is_value(parsed(text)) else as_json(raw)
