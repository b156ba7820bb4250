"""Lark grammars as one pattern."""

from __future__ import annotations

import re

import pytest
from mlx_serving.calls.grammar.patterns import Untranslatable, as_text, in_json
from mlx_serving.calls.grammar.regular import PATTERN_CHARACTERS_MAX, pattern_of


def python(pattern: str) -> str:
    """What Python's own engine reads of it."""
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda hit: re.escape(chr(int(hit[1], 16))), pattern)


@pytest.mark.parametrize(
    ("lark", "good", "bad"),
    [
        ('start: "a" "b"', ["ab"], ["a", "abb"]),
        ('start: a | b\na: "x"+\nb: "y"*', ["x", "xx", "yy", ""], ["xy"]),
        ('start: ("a" | "b")? "c"~2', ["acc", "cc"], ["c", "ac"]),
        ('start: ("a")~1..2 ["b"]', ["a", "aab"], ["", "aaa"]),
        ("start: A{2,3}\nA: /[0-9]/", ["12", "123"], ["1"]),
        ('start: "Ab"i', ["aB"], ["b"]),
        ('start: X\n    | "y" // or so\nX: "x" -> named', ["x", "y"], ["z"]),
        ("?start: _a\n_a.2: /./s", ["\n"], ["ab"]),
        ("start: LF N\n%import common.LF\n%import common.INT -> N", ["\n12"], ["\n"]),
        ("start: WORD CNAME\n%import common (WORD, CNAME)", ["ab_1"], ["_"]),
    ],
)
def test_the_same_texts(lark: str, good: list[str], bad: list[str]) -> None:
    pattern = python(pattern_of(lark, as_text))
    assert all(re.fullmatch(pattern, text) for text in good)
    assert not any(re.fullmatch(pattern, text) for text in bad)


def test_escaped() -> None:
    pattern = python(pattern_of('start: "a\\"" /.+/ LF\n%import common.LF', in_json))
    assert re.fullmatch(pattern, 'a\\"\\\\x\\n') and not re.fullmatch(pattern, 'a"x\\n')


@pytest.mark.parametrize(
    ("lark", "why"),
    [
        ('start: "(" start ")" | "x"', "comes back to itself: start"),
        ("start: a\na: b\nb: a", "comes back to itself: a"),
        ("start: nowhere", "isn't there: nowhere"),
        ('begin: "x"', "isn't there: start"),
        ("start: X\n%import common.NOPE -> X", "NOPE"),
        ('start: ("a"', "isn't closed"),
        ("start: %json {}", "% in a rule"),
        ("start: /a/i", "flags i"),
        ("start: /(?=a)/", "a pattern with"),
        ('start: "\\q"', "can't be read"),
        ('start: "a")', ") in start"),
    ],
)
def test_what_is_none(lark: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=re.escape(why)):
        pattern_of(lark, as_text)


def test_one_that_explodes() -> None:
    rules = "\n".join(f"r{n}: r{n + 1} r{n + 1}" for n in range(40))
    with pytest.raises(Untranslatable, match=str(PATTERN_CHARACTERS_MAX)):
        pattern_of(f'start: r0\n{rules}\nr40: "x"', as_text)
