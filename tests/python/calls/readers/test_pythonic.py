"""Keyword arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.calls.readers.pythonic import PythonicReader


def read(text: str) -> Any:
    found = []
    for size in (1, 3, len(text)):
        reader, out, held = PythonicReader(), "", ""
        for at in range(0, len(text), size):
            held += text[at : at + size]
            piece, used, done = reader.read(held, 0)
            out, held = out + piece, held[used:]
            if done:
                break
        assert done
        found.append(json.loads(out))
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (")", {}),
        ("a=1)", {"a": 1}),
        ("a='x', b=\"y\")", {"a": "x", "b": "y"}),
        (r"a='it\'s \"q\"\n\x41\u00e9\U0001f600\101')", {"a": 'it\'s "q"\nAé😀A'}),
        (r"a='\d\\')", {"a": "\\d\\"}),
        ("a=[1, (2, 'b)')], b={'k': True})", {"a": [1, [2, "b)"]], "b": {"k": True}}),
        ('a={"k": true, "n": null}, b=False)', {"a": {"k": True, "n": None}, "b": False}),
        ("a=None, b=-1.5e3 , )", {"a": None, "b": -1500.0}),
        ("a=word)", {"a": "word"}),
        ("a = 'x' )", {"a": "x"}),
    ],
)
def test_values(written: str, value: Any) -> None:
    assert read(written) == value


@given(st.text(max_size=12))
def test_strings_as_python_and_as_json_write_them(text: str) -> None:
    assert read(f"a={text!r})") == {"a": text}
    assert read(f"a={json.dumps(text, ensure_ascii=False)})") == {"a": text}
