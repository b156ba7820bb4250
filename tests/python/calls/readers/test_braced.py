"""Bare keys, and strings between marks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlx_serving.calls.format import Braced
from mlx_serving.calls.readers.braced import BracedReader

Q = '<|"|>'


def read(text: str) -> Any:
    found = []
    for size in (1, 3, len(text)):
        reader, out, held = BracedReader(Braced(Q)), "", ""
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
        ("}", {}),
        (f"a:{Q}x{Q},b:1}}", {"a": "x", "b": 1}),
        (f'a:{Q}q"q}},{{<|"{Q},b:true}}', {"a": 'q"q},{<|"', "b": True}),
        (f"a:[{Q}x, y{Q},{Q}{Q}]}}", {"a": ["x, y", ""]}),
        (f"a:{{k:{{n:null}},m:{Q}a:b{Q}}}}}", {"a": {"k": {"n": None}, "m": "a:b"}}),
        ('a:{"k": "a:1"},b:["x"]}', {"a": {"k": "a:1"}, "b": ["x"]}),
        (f"{Q}a{Q}:1, b : 2.5 }}", {"a": 1, "b": 2.5}),
        ("a:word}", {"a": "word"}),
    ],
)
def test_values(written: str, value: Any) -> None:
    assert read(written) == value
