"""Fixed texts, with spaces that don't count."""

from __future__ import annotations

import pytest
from mlx_serving.calls.format import ID, INDEX_FROM_0
from mlx_serving.calls.literals import MORE, NO, first_word, held, match, shared_end, shared_start


@pytest.mark.parametrize(
    ("literal", "text", "end"),
    [
        ("<a>\n<b>", "<a><b>x", 6),
        ("<a>\n<b>", " <a>\n\n <b>  x", 10),
        ("<a>", "<", MORE),
        ("<a>", "<b>", NO),
        ("", "x", 0),
        ("\n", "x", 0),
        (f":{INDEX_FROM_0}<", ":12<", 4),
        (f":{INDEX_FROM_0}<", ":12", MORE),
        (f":{INDEX_FROM_0}<", ":<", NO),
        (f'"{ID}"', '"call_a-1"', 10),
    ],
)
def test_match(literal: str, text: str, end: int) -> None:
    assert match(literal, text, 0) == end


@pytest.mark.parametrize(
    ("text", "begin"), [("a<to", 1), ("a<to<", 4), ("a", 1), ("<tool>", 6), ("<<", 1), ("", 0)]
)
def test_held(text: str, begin: int) -> None:
    assert held(text, "<tool>") == begin


def test_words_and_what_is_shared() -> None:
    assert first_word("</a>\n<b>") == "</a>" and first_word(f"a{ID}") == "a"
    assert shared_start(["abc", "abd", "ab"]) == "ab" and shared_start(["a", "b"]) == ""
    assert shared_end("xab", "yab") == "ab"
