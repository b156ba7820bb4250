"""Arguments between marks, such as `<parameter=city>Oslo</parameter>`, as one JSON object.

Strings are told as they are made. Other values are told when they end: until then a model may turn
out to write Python, or a text where the schema lets both through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..format import JsonType, Tagged
from ..literals import MORE, first_word, match, shared_start, skip_spaces
from ..marks import Marks
from ..values import ALL, as_json, escaped, kinds_of, value_json
from .reader import Read

CDATA_BEGIN: Final = "<![CDATA["
CDATA_END: Final = "]]>"
KEY_CHARACTERS_MAX: Final = 1024


class TaggedReader:
    def __init__(self, style: Tagged, after: str, schema: Mapping[str, Any] | None) -> None:
        self._style = style
        self._after = after
        self._schema = schema or {}
        mids = dict.fromkeys(style.mids.values())
        # The longest first: one may begin like another.
        self._mids = sorted(mids, key=len, reverse=True)
        self._key_end = first_word(shared_start(list(mids)).lstrip()) or self._mids[0][:1]
        self._state = self._seek
        self._begun = self._any = False
        self._kinds: frozenset[JsonType] = ALL
        self._close = self._close_after_cdata = ""
        self._line_end = False
        self._searched = 0

    def read(self, text: str, at: int) -> Read:
        out: list[str] = []
        if not self._begun:
            self._begun = True
            out.append("{")
        while True:
            json, at, go_on, done = self._state(text, at)
            out.append(json)
            if done or not go_on:
                return Read("".join(out), at, done)

    # Each state gives the JSON text, where it stands, whether to go on, whether all is read.

    def _seek(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        """Between arguments: what is neither one nor the end is passed over."""
        while True:
            at = skip_spaces(text, at)
            # The end first: it may begin as an argument does.
            ended = match(self._after, text, at)
            if ended >= 0:
                return "}", at, False, True
            opened = match(self._style.open, text, at)
            if opened == MORE or ended == MORE:
                return "", at, False, False
            if opened >= 0:
                self._state = self._read_key
                return "", opened, True, False
            at += 1

    def _read_key(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        limit = at + KEY_CHARACTERS_MAX + len(self._key_end)
        end = text.find(self._key_end, at, limit)
        if end < 0:
            if len(text) >= limit:
                self._state = self._seek
                return "", at, True, False
            return "", at, False, False
        for mid in self._mids:
            begin = match(mid, text, end)
            if begin == MORE:
                return "", at, False, False
            if begin >= 0:
                break
        else:
            self._state = self._seek
            return "", end, True, False
        if mid.endswith("\n"):
            if begin == len(text):
                return "", at, False, False
            begin += text[begin] == "\n"
        json = self._begin_value(text[at:end].strip(), mid)
        return json, begin, True, False

    def _begin_value(self, key: str, mid: str) -> str:
        properties = self._schema.get("properties")
        schema = properties.get(key, True) if isinstance(properties, Mapping) else True
        said = frozenset(kind for kind, other in self._style.mids.items() if other == mid)
        kinds: frozenset[JsonType] = kinds_of(schema, self._schema)
        if len(self._mids) > 1:
            # What the mark says, it says of this value.
            kinds = kinds & said or said
        self._kinds = kinds
        close = self._style.close(next(iter(said)), key)
        self._line_end = close.startswith("\n")
        self._close = close.strip()
        self._state = self._cdata_or_value if self._style.cdata else self._first_state()
        comma = ", " if self._any else ""
        self._any = True
        return f"{comma}{as_json(key)}: "

    def _first_state(self) -> Any:
        self._searched = 0
        if self._kinds == {"string"}:
            return self._begin_string
        return self._whole

    def _cdata_or_value(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        begin = skip_spaces(text, at)
        if text.startswith(CDATA_BEGIN, begin):
            self._kinds = frozenset({"string"})
            self._state = self._begin_string
            self._close_after_cdata, self._close = self._close, CDATA_END
            self._line_end = False
            return "", begin + len(CDATA_BEGIN), True, False
        if CDATA_BEGIN.startswith(text[begin:]):
            return "", at, False, False
        self._state = self._first_state()
        return "", at, True, False

    def _begin_string(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        self._state = self._string
        self._ends = Marks([self._close])
        return '"', at, True, False

    def _string(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        found, end = self._ends.find(text, at)
        if found is not None:
            value = text[at:end]
            if self._line_end and value.endswith("\n"):
                value = value[:-1]
            self._state = self._after_cdata if self._close == CDATA_END else self._seek
            return f'{escaped(value)}"', found.end(), True, False
        if self._line_end and end > at and text[end - 1] == "\n":
            end -= 1
        return escaped(text[at:end]), end, False, False

    def _after_cdata(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        end = match(self._close_after_cdata, text, at)
        if end == MORE:
            return "", at, False, False
        self._state = self._seek
        return "", max(end, at), True, False

    def _whole(self, text: str, at: int) -> tuple[str, int, bool, bool]:
        close = self._close
        end = text.find(close, at + self._searched)
        if end < 0:
            self._searched = max(0, len(text) - at - len(close) + 1)
            return "", at, False, False
        value = text[at:end]
        if self._line_end and value.endswith("\n"):
            value = value[:-1]
        self._state = self._seek
        return value_json(value, self._kinds), end + len(close), True, False
