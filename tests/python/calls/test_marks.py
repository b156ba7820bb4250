"""Marks in a text that is still being written."""

from __future__ import annotations

import pytest
from mlx_serving.calls.marks import Marks


@pytest.mark.parametrize(
    ("text", "mark", "keep"),
    [
        ("no sign", None, 7),
        ("a < b", None, 5),
        ("a <to", None, 2),
        ("a <tool>b", "<tool>", 2),
        ("a <tools>b", "<tools>", 2),
        ("a [T", None, 2),
        ("[T] <tool>", "[T]", 0),
    ],
)
def test_find(text: str, mark: str | None, keep: int) -> None:
    found, end = Marks(["<tool>", "<tools>", "[T]", ""]).find(text, 0)
    assert (found and found[0], end) == (mark, keep)


def test_no_marks() -> None:
    assert Marks([]).find("<a", 0) == (None, 2)
