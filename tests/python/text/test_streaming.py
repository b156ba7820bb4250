"""Text as a function of the tokens: properties of detokenizer and stop matcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_serving.text.streaming import (
    PieceDetokenizer,
    PieceTable,
    RequestText,
    StopMatcher,
    WindowDetokenizer,
    spelled,
)

# Token n < 256 is the byte n; then some pieces that end or begin inside a character.
PIECES = [
    *(bytes((byte,)) for byte in range(256)),
    b"",
    b" word",
    "ü".encode(),
    "x🌊".encode()[:3],
    "🌊y".encode()[2:],
    b"\xff\xfe",
]
TABLE = PieceTable(PIECES)
tokens = st.lists(st.integers(0, len(PIECES) - 1), max_size=60)
letters = st.text(alphabet="ab\n", max_size=40)
stops = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), min_size=1, max_size=4)


def whole(ids: list[int]) -> bytes:
    return b"".join(PIECES[id] for id in ids)


@given(tokens)
def test_what_tokens_say_one_by_one_adds_up_too(ids: list[int]) -> None:
    ids = [id for id in ids if PIECES[id]]
    said = spelled(ids, PieceDetokenizer(TABLE), {})
    assert len(said) == len(ids)
    assert "".join(said) == whole(ids).decode("utf-8", "replace")


def test_tokens_without_text_say_their_names() -> None:
    said = spelled([72, 256, 0xF0, 0x9F], PieceDetokenizer(TABLE), {256: "<end>"})
    assert said == ["H", "<end>", "", "\ufffd"]


@given(tokens)
def test_pieces_add_up(ids: list[int]) -> None:
    detokenizer = PieceDetokenizer(TABLE)
    text = "".join(detokenizer.push(id) for id in ids) + detokenizer.finish()
    assert text == whole(ids).decode("utf-8", "replace")


@given(st.text(max_size=40))
def test_characters_are_never_split(text: str) -> None:
    detokenizer = PieceDetokenizer(TABLE)
    parts = [detokenizer.push(byte) for byte in text.encode()]
    assert "".join(parts) == text
    assert all(len(part) <= 1 for part in parts)
    assert detokenizer.finish() == ""


def test_an_incomplete_character_is_the_tail() -> None:
    detokenizer = PieceDetokenizer(TABLE)
    wave = "🌊".encode()
    assert [detokenizer.push(byte) for byte in wave[:3]] == ["", "", ""]
    assert detokenizer.finish() == "\ufffd"


def test_a_token_without_text_in_the_middle_of_a_character() -> None:
    detokenizer = PieceDetokenizer(TABLE)
    parts = [detokenizer.push(id) for id in (0xC3, 256, 0xBC)]
    assert parts == ["", "", "ü"]


def test_unknown_tokens_have_no_text() -> None:
    assert PieceDetokenizer(TABLE).push(99_999) == ""


def test_the_first_space_goes_once() -> None:
    detokenizer = PieceDetokenizer(TABLE, trim_first_space=True)
    assert [detokenizer.push(id) for id in (256, 257, 257)] == ["", "word", " word"]
    # Also where it is all that a token says.
    detokenizer = PieceDetokenizer(TABLE, trim_first_space=True)
    assert [detokenizer.push(id) for id in (0x20, 257, 257)] == ["", " word", " word"]


@given(tokens, st.integers(0, 60), stops)
def test_replayed_text_goes_on_exactly(ids: list[int], cut: int, strings: list[str]) -> None:
    def parts(first: int) -> list[str]:
        text = RequestText(PieceDetokenizer(TABLE), strings)
        out = []
        for index, id in enumerate(ids):
            part = text.push(id)
            if index >= first:
                out.append(part)
            if text.stopped:
                break
        return [*out, text.finish()]

    undisturbed = parts(0)
    # Positions from `cut` on are the same when the ones before are only replayed.
    if cut < len(undisturbed) - 1:
        assert parts(cut) == undisturbed[cut:]


def cut_by_hand(text: str, strings: list[str]) -> str:
    """The text before the stop string that is complete first; the longest of equals."""
    for end in range(1, len(text) + 1):
        hits = [stop for stop in strings if text[:end].endswith(stop)]
        if hits:
            return text[: end - max(map(len, hits))]
    return text


@given(st.lists(st.text(alphabet="ab\n", max_size=5), max_size=15), stops)
def test_stop_strings_across_any_borders(parts: list[str], strings: list[str]) -> None:
    matcher = StopMatcher(strings)
    out, stopped = "", False
    for part in parts:
        text, stopped = matcher.push(part)
        out += text
        if stopped:
            break
    tail = "" if stopped else matcher.finish()
    assert out + tail == cut_by_hand("".join(parts), strings)
    assert stopped == any(stop in "".join(parts) for stop in strings)


@given(letters, stops)
def test_nothing_is_held_longer_than_needed(text: str, strings: list[str]) -> None:
    matcher = StopMatcher(strings)
    out = ""
    for i, letter in enumerate(text):
        part, stopped = matcher.push(letter)
        out += part
        if stopped:
            return
        held = text[len(out) : i + 1]
        assert not held or any(stop.startswith(held) for stop in strings)


def test_slot_text_without_stop_strings_matches_nothing() -> None:
    text = RequestText(PieceDetokenizer(TABLE), ["", ""])
    assert text.push(257) == " word" and not text.stopped


def test_a_stop_string_in_the_tail() -> None:
    text = RequestText(PieceDetokenizer(TABLE), ["\ufffd"])
    assert text.push(0xF0) == ""
    assert text.finish() == "" and text.stopped


@pytest.mark.parametrize("size", [1, 3])
def test_the_window_detokenizer_holds_back_half_characters(size: int) -> None:
    data = "naïve 🌊 wörld".encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]

    def decode(ids: object) -> str:
        return b"".join(pieces[id] for id in ids).decode("utf-8", "replace")  # type: ignore[attr-defined]

    detokenizer = WindowDetokenizer(decode)
    parts = [detokenizer.push(id) for id in range(len(pieces))]
    assert "".join(parts) + detokenizer.finish() == data.decode()
    assert all("\ufffd" not in part for part in parts)


@given(letters, stops)
def test_the_stop_string_that_ended_it_is_known(text: str, strings: list[str]) -> None:
    matcher = StopMatcher(strings)
    kept, stopped = matcher.push(text)
    if not stopped:
        assert matcher.found is None
        return
    assert matcher.found in strings and matcher.found
    assert text[len(kept) :].startswith(matcher.found)


def test_a_stop_string_that_the_tail_completes_is_named() -> None:
    text = RequestText(PieceDetokenizer(TABLE), ["\ufffd"])
    text.push(0xF0)
    assert (text.finish(), text.stop) == ("", "\ufffd")


def test_a_control_token_is_named_as_it_was_asked_for() -> None:
    text = RequestText(PieceDetokenizer(TABLE), ["<end>"], {3: "<end>"})
    assert (text.push(3), text.stopped, text.stop) == ("", True, "<end>")
