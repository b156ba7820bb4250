from __future__ import annotations

import pytest
from mlx_serving.grammar.matcher import Matcher
from mlx_serving.messages import Constraint

from .test_grammars import END, GRAMMARS, VOCABULARY


def matcher(pattern: str) -> Matcher:
    return GRAMMARS.matcher(Constraint("regex", pattern))


def allowed(mask: bytes | None) -> list[int]:
    assert mask is not None
    return [token for token in range(VOCABULARY) if mask[token >> 3] >> (token & 7) & 1]


def test_a_mask_is_as_wide_as_the_logits_in_whole_words() -> None:
    mask = matcher("[ab]").mask()
    assert mask is not None and len(mask) == (VOCABULARY + 31) // 32 * 4
    assert allowed(mask) == [*b"ab"]


def test_tokens_one_by_one_or_together_lead_to_the_same_place() -> None:
    one, all_at_once = matcher("[ab]{3}c?"), matcher("[ab]{3}c?")
    for token in b"aba":
        one.mask()
        one.accept([token])
    all_at_once.accept(list(b"aba"))
    assert allowed(one.mask()) == allowed(all_at_once.mask()) == [*b"c", END]
    assert not one.done


def test_an_end_only_where_the_grammar_may_stop() -> None:
    of = matcher("ab?")
    assert END not in allowed(of.mask())
    of.accept([*b"a"])
    assert allowed(of.mask()) == [*b"b", END]
    of.accept([END])
    assert of.done and of.error is None


def test_all_is_said() -> None:
    of = matcher("ab")
    of.accept([*b"a"])
    assert not of.done
    of.accept([*b"b"])
    assert of.done and of.error is None


@pytest.mark.parametrize("tokens", [[*b"b"], [END], [END - 1], [*b"aX"]])
def test_what_the_grammar_does_not_have_is_an_error_and_stays_one(tokens: list[int]) -> None:
    of = matcher("abc")
    of.accept(tokens)
    assert of.error and not of.done
    of.accept([*b"a"])
    assert of.mask() is None and of.error


def test_nothing_is_nothing() -> None:
    of = matcher("a")
    before = of.mask()
    of.accept([])
    assert of.mask() == before


def test_masks_are_counted() -> None:
    of = matcher("a{9}")
    for _ in range(3):
        of.mask()
        of.accept([*b"a"])
    assert of.masks == 3 and of.mask_seconds > 0
