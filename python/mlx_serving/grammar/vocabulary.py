"""Vocabularies as llguidance has them: the bytes of every token, and which end a text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLTokenizer


def of_tokenizer(text: str, vocabulary: int, end_tokens: Collection[int]) -> LLTokenizer:
    """Of a tokenizer of the `tokenizers` library, from its JSON. `vocabulary`: width of the
    logits. Raises what llguidance does for one that it can't read."""
    from llguidance import LLTokenizer

    return LLTokenizer(text, n_vocab=vocabulary, eos_token=sorted(end_tokens))


def of_pieces(pieces: Sequence[bytes], end_token: int) -> LLTokenizer:
    """Of tokens that are these bytes each; every text has tokens of one byte."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Pieces(pieces, end_token)), n_vocab=len(pieces))


class _Pieces:
    bos_token_id = None

    def __init__(self, pieces: Sequence[bytes], end_token: int) -> None:
        self.eos_token_id = end_token
        self.tokens = [piece or b"<|end|>" for piece in pieces]
        self.special_token_ids = [end_token]
        self._of_byte = {piece[0]: id for id, piece in enumerate(pieces) if len(piece) == 1}

    def __call__(self, text: bytes) -> list[int]:
        return [self._of_byte[byte] for byte in text if byte in self._of_byte]
