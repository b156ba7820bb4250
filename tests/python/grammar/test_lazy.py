"""A grammar that waits: free before, then kept to, and nothing that spoils the beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from mlx_serving.failures import Refused
from mlx_serving.grammar.grammars import Grammars, Turn, Written
from mlx_serving.grammar.lazy import LazyMatcher
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.grammar.vocabulary import of_pieces

PIECES = [*(bytes((byte,)) for byte in range(256)), b"<a", b"b>", b"b>1", b"b>x", b"", b"x<"]
MARK = "<ab>"
END = PIECES.index(b"")
LARK = "start: mark NUMBER\nmark[lazy]: /(?s:.*)<ab>/\nNUMBER: /[0-9]{1,3}/"


class Watch:
    """Of the mark, as bytes."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.has_begun = False
        self.held: Sequence[int] = []

    def push(self, token: int) -> None:
        self.tokens.append(token)
        text = b"".join(PIECES[one] for one in self.tokens).decode()
        self.has_begun = MARK in text
        sizes = range(len(MARK), 0, -1)
        held = next((n for n in sizes if text.endswith(MARK[:n])), 0)
        held = len(text) - text.index(MARK) if self.has_begun else held
        self.held = self._last(held)

    def _last(self, characters: int) -> Sequence[int]:
        count = 0
        while sum(len(PIECES[one]) for one in self.tokens[len(self.tokens) - count :]) < characters:
            count += 1
        return self.tokens[len(self.tokens) - count :]


class Waiting:
    characters = len(LARK)
    is_optional = True

    def written(self, is_control: Callable[[int], bool]) -> Written:
        assert is_control(END) and not is_control(65)
        return Written(LARK, waits=True)

    def watch(self) -> Watch:
        return Watch()

    def blamed(self, compiles: Callable[[Turn], bool], refusal: Refused) -> Refused:
        return refusal


WISH = Waiting()
GRAMMARS = Grammars(lambda: of_pieces(PIECES, END), len(PIECES))


def tokens_of(*parts: bytes) -> list[int]:
    return [PIECES.index(part) for part in parts]


def after(*parts: bytes) -> Matcher:
    matcher = GRAMMARS.matcher(WISH)
    matcher.accept(tokens_of(*parts))
    return matcher


def allowed(matcher: Matcher, *parts: bytes) -> list[bool]:
    mask = matcher.mask()
    assert mask is not None and matcher.error is None
    return [bool(mask[token >> 3] >> (token & 7) & 1) for token in tokens_of(*parts)]


def test_before_the_beginning_everything_may_follow() -> None:
    for text in ((), (b"x",), (b"x", b"y")):
        matcher = after(*text)
        assert isinstance(matcher, LazyMatcher)
        assert matcher.mask() is None and matcher.error is None and not matcher.done


def test_what_may_be_a_beginning_goes_on_rightly_or_is_none() -> None:
    for text in ((b"<a",), (b"x<", b"a"), (b"<", b"a")):
        matcher = after(*text)
        assert allowed(matcher, b"b>1", b"b>", b"z", b"", b"b>x") == [True, True, True, True, False]
        matcher.accept(tokens_of(b"z"))
        assert matcher.mask() is None


def test_after_the_beginning_the_grammar_holds() -> None:
    for text in ((b"<a", b"b>"), (b"h", b"i", b"x<", b"a", b"b>")):
        matcher = after(*text)
        assert allowed(matcher, b"1", b"x", b"") == [True, False, False]
        matcher.accept(tokens_of(b"1"))
        assert allowed(matcher, b"2", b"x", b"") == [True, False, True]
        matcher.accept(tokens_of(b"2", b"3"))
        assert matcher.done


@pytest.mark.parametrize("cut", range(6))
def test_a_resume_is_at_the_same_place_wherever_it_was_cut(cut: int) -> None:
    tokens = tokens_of(b"x", b"<", b"a", b"b>1", b"2")
    whole = GRAMMARS.matcher(WISH)
    whole.accept(tokens)
    parts = GRAMMARS.matcher(WISH)
    parts.accept(tokens[:cut])
    for token in tokens[cut:]:
        parts.accept([token])
    assert parts.mask() == whole.mask() and parts.error is None


def test_what_does_not_go_on_as_the_grammar_has_it_is_an_error_and_no_free_text() -> None:
    matcher = after(b"<a", b"b>x")
    assert matcher.error is not None and matcher.mask() is None and not matcher.done
    # The next one has a grammar of its own.
    assert after(b"<a", b"b>1").error is None
