"""Arguments between marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from mlx_serving.calls.format import JSON_TYPES, KEY, Tagged
from mlx_serving.calls.readers.tagged import TaggedReader

CODER = Tagged(
    "<parameter=", dict.fromkeys(JSON_TYPES, ">\n"), dict.fromkeys(JSON_TYPES, "\n</parameter>\n")
)
GLM = Tagged(
    "<arg_key>",
    dict.fromkeys(JSON_TYPES, "</arg_key>\n<arg_value>"),
    dict.fromkeys(JSON_TYPES, "</arg_value>\n"),
)
DSML = Tagged(
    '<p name="',
    {kind: f'" string="{"true" if kind == "string" else "false"}">' for kind in JSON_TYPES},
    dict.fromkeys(JSON_TYPES, "</p>\n"),
)
CDATA = Tagged(
    '<param name="',
    dict.fromkeys(JSON_TYPES, '">'),
    dict.fromkeys(JSON_TYPES, "</param>"),
    "",
    True,
)
KEYED = Tagged("<", dict.fromkeys(JSON_TYPES, ">"), dict.fromkeys(JSON_TYPES, f"</{KEY}>"))
SCHEMA = {
    "properties": {
        "s": {"type": "string"},
        "i": {"type": "integer"},
        "u": {"type": ["string", "integer"]},
        "l": {"type": "array"},
    }
}


def read(style: Tagged, text: str, schema: Mapping[str, Any] | None = SCHEMA) -> Any:
    """The same for every cut."""
    found = []
    for size in (1, 3, len(text)):
        reader, out, held = TaggedReader(style, "</end>", schema), "", ""
        for at in range(0, len(text), size):
            held += text[at : at + size]
            piece, used, done = reader.read(held, 0)
            out, held = out + piece, held[used:]
            if done:
                break
        found.append(json.loads(out))
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("<parameter=s>\n7\n</parameter>\n", {"s": "7"}),
        ("<parameter=s>7</parameter>", {"s": "7"}),
        ("<parameter=s>\n\n7\n\n</parameter>\n", {"s": "\n7\n"}),
        ("<parameter=s>\na</para</parameter>", {"s": "a</para"}),
        ("<parameter=i>\n7\n</parameter>\n", {"i": 7}),
        ("<parameter=i>\nseven\n</parameter>\n", {"i": "seven"}),
        ("<parameter=u>\n7\n</parameter>\n", {"u": 7}),
        ("<parameter=u>\n7 days\n</parameter>\n", {"u": "7 days"}),
        ("<parameter=u>\ntrue\n</parameter>\n", {"u": "true"}),
        ("<parameter=l>\n[1, True]\n</parameter>\n", {"l": [1, True]}),
        ("<parameter=other>\n{'a': None}\n</parameter>\n", {"other": {"a": None}}),
        ("<parameter=other>\nplain\n</parameter>\n", {"other": "plain"}),
        (
            "\n\n<parameter=s>\n\n</parameter>\njunk <b>\n<parameter=i>1</parameter>",
            {"s": "", "i": 1},
        ),
        ("", {}),
    ],
)
def test_values(written: str, value: Any) -> None:
    assert read(CODER, f"{written}</end>") == value


def test_a_mark_says_what_a_value_is() -> None:
    text = '<p name="u" string="true">7</p>\n<p name="x" string="false">7</p>\n</end>'
    assert read(DSML, text) == {"u": "7", "x": 7}


def test_spaces_in_marks_dont_count() -> None:
    first = "<arg_key>s</arg_key><arg_value> a </arg_value>"
    text = f"{first}<arg_key>i</arg_key> <arg_value>1</arg_value></end>"
    assert read(GLM, text) == {"s": " a ", "i": 1}


@pytest.mark.parametrize("value", ["a", "<b> & c\nd", "<![CDATA", ""])
def test_blocks_of_text(value: str) -> None:
    plain = f'<param name="s">{value}</param></end>'
    block = f'<param name="s"><![CDATA[{value}]]></param></end>'
    assert read(CDATA, plain) == read(CDATA, block) == {"s": value}


def test_a_mark_that_has_the_name() -> None:
    assert read(KEYED, "<s>a</i></s><i>2</i></end>") == {"s": "a</i>", "i": 2}


def test_without_a_schema_json_is_json() -> None:
    assert read(CODER, "<parameter=s>\n7\n</parameter></end>", None) == {"s": 7}
