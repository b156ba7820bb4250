"""Writes Lark as llguidance reads it: rules with names of their own, literals in which control
tokens are tokens, and texts that end with a mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..format import ID, INDEX_FROM_0, INDEX_FROM_1
from ..rendering import ID_CHARACTERS
from .shared import with_shared_numbers

ANY: Final = "(?s:.*)"
_META: Final = re.compile(r"[\\.+*?()|\[\]{}^$/]")
_SLOTS: Final = {
    ID: f"/[a-zA-Z0-9]{{{ID_CHARACTERS}}}/",
    INDEX_FROM_0: "/0|[1-9][0-9]{0,2}/",
    INDEX_FROM_1: "/[1-9][0-9]{0,2}/",
}


def regex(text: str) -> str:
    """A pattern of just this text, as it stands between slashes."""
    return _META.sub(lambda hit: f"\\{hit[0]}", text).replace("\n", "\\n").replace("\t", "\\t")


class Lark:
    """`special`: names of control tokens that no text gives, and their ids."""

    def __init__(
        self, special: Mapping[str, int], json_options: Mapping[str, Any] | None = None
    ) -> None:
        """`json_options`: llguidance's, of how JSON is written."""
        self._special = special
        self._json_options = dict(json_options or {})
        names = sorted(special, key=len, reverse=True)
        parts = [*map(re.escape, names), *_SLOTS]
        self._cut = re.compile(f"({'|'.join(parts)})")
        self._lines: list[str] = []
        self._count = 0
        self._made: dict[str, str] = {}

    def text(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._lines, ""])

    def rule(self, body: str, attributes: str = "") -> str:
        """A rule of this body; the same one for the same body."""
        return self._named("r", body, attributes)

    def terminal(self, body: str) -> str:
        return self._named("T", body, "")

    def define(self, name: str, body: str) -> None:
        """A rule that names itself."""
        if name not in self._made:
            self._made[name] = name
            self._lines.append(f"{name}: {body}")

    def _named(self, kind: str, body: str, attributes: str) -> str:
        key = f"{kind}{attributes}:{body}"
        if key not in self._made:
            name = f"{kind}{self._count}"
            self._count += 1
            self._made[key] = name
            self._lines.append(f"{name}{attributes}: {body}")
        return self._made[key]

    def literal(self, text: str) -> str:
        """Texts, tokens and slots one after another."""
        return " ".join(self._part(part) for part in self._cut.split(text) if part)

    def _part(self, part: str) -> str:
        if part in self._special:
            return f"<[{self._special[part]}]>"
        return _SLOTS.get(part) or json.dumps(part, ensure_ascii=False)

    def begins_with_token(self, text: str) -> bool:
        return any(text.startswith(name) for name in self._special)

    def json(self, schema: Mapping[str, Any], compact: bool = False) -> str:
        separators = (",", ":") if compact else (", ", ": ")
        options = {
            **self._json_options,
            "whitespace_flexible": False,
            "item_separator": separators[0],
            "key_separator": separators[1],
        }
        options.pop("whitespace_pattern", None)
        return self._json(schema, options)

    def json_answer(self, schema: Mapping[str, Any]) -> str:
        """A whole answer: spaced as its reader has it, not the model's calls."""
        return self._json(schema, self._json_options)

    def _json(self, schema: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        return f"%json {json.dumps({**with_shared_numbers(schema), 'x-guidance': options})}"

    def anything(self) -> str:
        """Text without control tokens, to the end."""
        return f"/{ANY}/"

    def until(
        self,
        close: str,
        patterns: Sequence[str] = (),
        never: Sequence[str] = (),
        spelled: bool = False,
    ) -> str:
        """Text that ends with `close`, which it doesn't hold before; all of `patterns` match the
        text before `close`, and none of `never`. `spelled`: also what is a token is text."""
        core = close.strip()
        head, token, rest = (close, "", "") if spelled else self._to_first_token(close)
        if token:
            # The token is no text: the text ends before it, whatever it is.
            terms = [f"/(?:{pattern}){regex(head)}/" for pattern in patterns or (ANY,)]
            terms += [f"~/(?:{pattern}){regex(head)}/" for pattern in never]
            terms.append(f"~/{ANY}{regex(core)}{ANY}/")
            return self.rule(f"{self.terminal(' & '.join(terms))} {self.literal(token + rest)}")
        end, mark = regex(close), regex(core)
        terms = [f"/(?:{pattern}){end}/" for pattern in patterns or (ANY,)]
        terms += [f"~/(?:{pattern}){end}/" for pattern in never]
        terms.append(f"~/{ANY}{mark}{ANY}{mark}{ANY}/")
        body = self.terminal(" & ".join(terms))
        return self.rule(body, "[lazy]")

    def _to_first_token(self, text: str) -> tuple[str, str, str]:
        found = self._cut.search(text)
        if found is None or found[0] not in self._special:
            return text, "", ""
        return text[: found.start()], found[0], text[found.end() :]

    def chain(self, items: Sequence[tuple[str, bool]], separator: str) -> str:
        """Items in this order, each with whether it must be there, and `separator` between."""
        if not items:
            return ""
        if not separator:
            return " ".join(item if needed else f"{item}?" for item, needed in items)
        between = self.literal(separator)
        started = fresh = ""
        for item, needed in reversed(items):
            goes_on = f"{between} {item} {started}".strip()
            begins = f"{item} {started}".strip()
            if not needed:
                # Nothing at all is written as an empty alternative.
                goes_on, begins = f"({goes_on}) | {started}", f"({begins}) | {fresh}"
            started, fresh = self.rule(goes_on), self.rule(begins)
        return fresh
