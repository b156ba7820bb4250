"""Looks for marks in a text that is still being written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .literals import held


class Marks:
    """`find` is called for every token: most texts hold no sign by which a mark begins."""

    __slots__ = ("_first", "_pattern", "all")

    def __init__(self, marks: Iterable[str]) -> None:
        self.all = tuple(dict.fromkeys(mark for mark in marks if mark))
        longest_first = sorted(self.all, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        first = "".join(sorted({re.escape(mark[0]) for mark in self.all}))
        self._first = re.compile(f"[{first}]" if first else r"(?!)")

    def find(self, text: str, at: int) -> tuple[re.Match[str] | None, int]:
        """The first mark, and how far the text before it, or before what may become one, goes."""
        if self._first.search(text, at) is None:
            return None, len(text)
        found = self._pattern.search(text, at)
        if found is not None:
            return found, found.start()
        return None, min(held(text, mark, at) for mark in self.all)
