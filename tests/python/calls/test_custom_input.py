"""The text of a custom tool."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.calls.custom_input import CustomInput


@given(st.text(max_size=20), st.booleans(), st.integers(1, 4))
def test_it_comes_out_as_it_went_in(text: str, ascii_only: bool, size: int) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    reader = CustomInput()
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    assert "".join(map(reader.push, pieces)) == text


@pytest.mark.parametrize(
    "arguments", ["", "{", '{"input"', '{"input": ', "{}", '{"input": 7}', "null"]
)
def test_no_text(arguments: str) -> None:
    assert CustomInput().push(arguments) == ""


def test_what_is_made_is_told() -> None:
    reader = CustomInput()
    assert [reader.push(piece) for piece in ('{"input": "a', "\\\\", 'n', "b\\", '"', '"}')] == [
        "a", "\\", "n", "b", '"', ""
    ]  # fmt: skip
