"""Where a JSON value ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.calls.readers.json_value import JsonReader

VALUES = st.recursive(
    st.one_of(st.text(max_size=6), st.integers(), st.none()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def read(text: str, size: int) -> tuple[str, str]:
    """What it tells, and the rest."""
    reader, out, held = JsonReader(), "", ""
    for at in range(0, len(text), size):
        held += text[at : at + size]
        json_text, used, done = reader.read(held, 0)
        out, held = out + json_text, held[used:]
        if done:
            return out, held + text[at + size :]
    return out, held


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), st.integers(1, 5))
def test_an_object_is_told_as_it_is(value: dict[str, object], size: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert read(f"  {text}}}</x>", size) == (text, "}</x>")


@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"{\\"a\\": 1}", ', '{"a": 1}'),
        ("null}", "{}"),
        ("7}", "7"),
        ('{"a": "\\\\"}', '{"a": "\\\\"}'),
        ('{"a": "\\"}"}', '{"a": "\\"}"}'),
    ],
)
def test_other_values(text: str, told: str, size: int) -> None:
    assert read(text, size)[0] == told
