"""What a token is in bytes, by what its decoder does."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_serving.text.pieces import (
    byte_level_alphabet,
    byte_level_piece,
    pieces_of,
    rule_of,
    sentence_piece,
)
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

SPACES = decoders.Replace("\u2581", " ")
STRIPPED = [SPACES, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]

# Decoder, name, bytes, whether the first space goes.
KNOWN: list[tuple[Any, str, bytes, bool]] = [
    (decoders.ByteLevel(), "Ġtrue", b" true", False),
    (decoders.ByteLevel(), "Ã©", "é".encode(), False),
    (decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()]), "Ġ", b" ", False),
    (decoders.Sequence(STRIPPED), "\u2581true", b" true", True),
    (decoders.Sequence(STRIPPED), "<0xE2>", b"\xe2", True),
    (decoders.Sequence(STRIPPED[:3]), "\u2581true", b" true", False),
    (decoders.Metaspace(), "\u2581true", b" true", True),
    (decoders.Metaspace(), "true", b"true", True),
    (decoders.Metaspace(), "\u2581\u2581", b"  ", True),
    (decoders.Metaspace(), "<0x0A>", b"<0x0A>", True),
    (decoders.Metaspace(prepend_scheme="never"), "\u2581true", b" true", False),
    (decoders.Metaspace(replacement="_"), "_true", b" true", True),
    (decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]), "<0x0A>", b"\n", True),
    (decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback()]), "\u2581a", b" a", True),
    (decoders.WordPiece(), "true", b" true", True),
    (decoders.WordPiece(), "##ly", b"ly", True),
    (decoders.WordPiece(cleanup=True), ".", b".", True),
    (decoders.Sequence([SPACES, decoders.Fuse()]), "<0xE2>", b"<0xE2>", False),
]


@pytest.mark.parametrize(("decoder", "name", "data", "strips"), KNOWN)
def test_decoders_that_are_known(decoder: Any, name: str, data: bytes, strips: bool) -> None:
    rule = rule_of(decoder)
    assert rule is not None
    assert (rule.piece(name), rule.strips_first_space) == (data, strips)


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.BPEDecoder(),
        decoders.CTC(),
        # A space off every token, and a pattern that may lie across tokens.
        decoders.Sequence([SPACES, decoders.Strip(" ", 1, 0)]),
        decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "c")]),
        decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)]),
        decoders.Sequence([decoders.Replace("a", "b"), decoders.ByteLevel()]),
    ],
)
def test_decoders_that_look_at_more_than_one_token(decoder: Any) -> None:
    assert rule_of(decoder) is None


def tokenizer(decoder: Any, *names: str) -> Any:
    library = Tokenizer(models.BPE({name: id for id, name in enumerate(names)}, []))
    library.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=library, eos_token=names[0])


def test_words_with_and_without_a_space_are_different() -> None:
    pieces = pieces_of(tokenizer(decoders.Metaspace(), "</s>", "\u2581true", "true"), frozenset())
    assert pieces is not None
    assert pieces.bytes_of == [b"", b" true", b"true"]


def test_silent_and_added_tokens() -> None:
    made = tokenizer(decoders.ByteLevel(), "</s>", "Ġa", "b")
    made.add_tokens(["Ġtool"])
    pieces = pieces_of(made, frozenset({2}))
    assert pieces is not None
    assert pieces.bytes_of == [b"", b" a", b"", "Ġtool".encode()]


def test_no_decoder_no_pieces() -> None:
    assert pieces_of(tokenizer(None, "</s>", "a"), frozenset()) is None


def test_byte_level_names() -> None:
    alphabet = byte_level_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    assert byte_level_piece("ĠParis", alphabet) == b" Paris"
    assert byte_level_piece("Ã©", alphabet) == "é".encode()
    assert byte_level_piece("日", alphabet) == "日".encode()


def test_sentence_pieces() -> None:
    assert sentence_piece("▁Paris") == b" Paris"
    assert sentence_piece("<0xE2>") == b"\xe2"
    assert sentence_piece("<0xyz>") == b"<0xyz>"
