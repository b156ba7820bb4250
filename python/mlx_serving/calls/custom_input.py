"""The text of a custom tool, out of the JSON that its call's arguments are told as."""

from __future__ import annotations

import json
import re
from typing import Final

_BEGIN: Final = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*"')
# Whole characters of a JSON string: an escape is whole, and so are both halves of a pair.
_WHOLE: Final = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    r"|(?![dD][89abAB])[0-9a-fA-F]{4}))+"
)


class CustomInput:
    """Of one call: handed its arguments piece by piece, says what became certain of the text."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False

    def push(self, arguments: str) -> str:
        self._held += arguments
        if not self._begun:
            found = _BEGIN.match(self._held)
            if found is None:
                return ""
            self._begun = True
            self._held = self._held[found.end() :]
        whole = _WHOLE.match(self._held)
        if whole is None:
            return ""
        self._held = self._held[whole.end() :]
        return str(json.loads(f'"{whole[0]}"', strict=False))
