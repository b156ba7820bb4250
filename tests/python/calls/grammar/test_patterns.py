"""Patterns written anew: they match the same texts, as they are and escaped as in JSON."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.calls.grammar.patterns import (
    Untranslatable,
    as_text,
    in_json,
    text_pattern,
    translated,
)

PATTERNS = [
    "abc", "a.c", "[a-c]+", "[^a-c\n]*", r"\d{2,3}", r"\w+\s?", r"\D\W\S", "(a|b)*c", "(?:x){2}",
    ".*", r"[\"\\]+", r"a\/b", "[\\]^-]", "a+?b", "é|😀", r"[\d_-]+", "",
]  # fmt: skip


def python(pattern: str) -> str:
    """What Python's own engine reads of it."""
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda hit: re.escape(chr(int(hit[1], 16))), pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet='abcx12_ -é😀"\\\n\t/]^.', max_size=5))
def test_the_same_texts(pattern: str, text: str) -> None:
    wanted = re.fullmatch(pattern, text, re.ASCII) is not None
    assert (re.fullmatch(python(translated(pattern, as_text)), text) is not None) == wanted
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    assert (re.fullmatch(python(translated(pattern, in_json)), inside) is not None) == wanted


@given(st.text(max_size=6))
def test_a_text(text: str) -> None:
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    escaped = {"\b": "\\b", "\f": "\\f"}
    if all(c >= " " or c in "\n\r\t" or c in escaped for c in text):
        assert re.fullmatch(python(text_pattern(text, in_json)), inside)
    assert re.fullmatch(python(text_pattern(text, as_text)), text)


def test_any_case() -> None:
    assert re.fullmatch(text_pattern("aB1", as_text, any_case=True), "Ab1")


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", r"\b", "^a", "a$", "(", "(?i:a)"]
)
def test_what_can_not_be_written(pattern: str) -> None:
    with pytest.raises(Untranslatable):
        translated(pattern, as_text)
