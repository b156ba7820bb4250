"""The table of families."""

from __future__ import annotations

import pytest
from mlx_serving.calls.families import FAMILIES, GENERIC, Family, adjusted, known
from mlx_serving.calls.rendering import render_calls

from .support import CALLS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.format.family)
def test_a_family_is_told_by_all_of_its_texts(family: Family) -> None:
    assert known(" ".join(family.told_by)) is not None
    for text in family.told_by:
        assert not family.is_it(" ".join(other for other in family.told_by if other != text))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.format.family)
def test_a_familys_mark_begins_its_calls(family: Family) -> None:
    format = family.format
    text = render_calls(format, CALLS)
    assert format.channels is not None or (text.startswith(format.begin) and format.begin)


def test_other_templates_are_not_in_it() -> None:
    assert known("<tool_call>") is None


def test_marks_around_content() -> None:
    assert adjusted(GENERIC, "<|START_RESPONSE|>").content_marks == (
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
    )
    assert adjusted(GENERIC, "<tool_call>") == GENERIC
