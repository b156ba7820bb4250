"""Which rows share a cache: bounded padding, a bounded number of passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.mlx.grouping import GROUPS_MAX, Grouping, Lengths, padding_tokens

LENGTHS = st.lists(
    st.builds(Lengths, tokens=st.integers(1, 10_000), rows=st.integers(1, 32)),
    max_size=GROUPS_MAX,
)


def grouping(tokens: int) -> Grouping:
    """At most so many tokens of padding a join."""
    return Grouping(bytes_per_token=10.0, padding_bytes_max=10.0 * tokens)


def test_the_first_row_has_a_group_of_its_own() -> None:
    assert grouping(100).place(5, []) is None


def test_a_row_joins_where_it_pads_least() -> None:
    groups = [Lengths(1000, 1), Lengths(40, 2), Lengths(60, 2)]
    assert grouping(100).place(50, groups) == 2
    assert grouping(100).place(45, groups) == 1
    assert grouping(100).place(950, groups) == 0


def test_a_long_row_would_pad_every_row_of_a_group() -> None:
    assert padding_tokens(150, Lengths(100, 8)) == 400
    assert padding_tokens(100, Lengths(150, 8)) == 50
    assert grouping(399).place(150, [Lengths(100, 8)]) is None
    assert grouping(400).place(150, [Lengths(100, 8)]) == 0


@given(st.integers(1, 10_000), LENGTHS, st.integers(0, 1000))
def test_padding_and_passes_have_bounds(tokens: int, groups: list[Lengths], limit: int) -> None:
    place = grouping(limit).place(tokens, groups)
    if place is None:
        assert len(groups) < GROUPS_MAX
        assert all(padding_tokens(tokens, group) > limit for group in groups)
    else:
        least = min(padding_tokens(tokens, group) for group in groups)
        assert padding_tokens(tokens, groups[place]) == least
        assert least <= limit or len(groups) == GROUPS_MAX


@given(st.integers(1, 10_000), st.lists(st.just(Lengths(1, 1)), max_size=40))
def test_a_model_that_cannot_batch_never_shares(tokens: int, groups: list[Lengths]) -> None:
    assert Grouping(alone=True).place(tokens, groups) is None


def test_all_padding_together_is_bounded_by_memory_or_by_the_tokens() -> None:
    one = Grouping(10.0, 1e9, all_padding_bytes_max=10.0 * 100)
    groups = [Lengths(150, 1)]
    assert one.place(60, groups, padded_tokens=10, whole_tokens=150) == 0
    assert one.place(60, groups, padded_tokens=11, whole_tokens=150) is None
    # An eighth of what is there, where that is more.
    assert one.place(60, groups, padded_tokens=30, whole_tokens=900) == 0
    assert one.place(60, groups, padded_tokens=31, whole_tokens=900) is None


def test_without_memory_for_padding_there_are_more_groups_than_passes_are_wanted() -> None:
    groups = [Lengths(100 * (i + 1), 1) for i in range(GROUPS_MAX)]
    assert grouping(1).place(60, groups, spare_tokens=40) == 0
    assert grouping(1).place(60, groups, spare_tokens=39) is None
