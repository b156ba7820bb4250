"""Vocabularies as grammars have them say of every token what the worker's own text says."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlx_serving.grammar.vocabulary import of_pieces, of_tokenizer

import embedded_model  # type: ignore[import-not-found]


def test_pieces_are_what_they_are() -> None:
    tokenizer = of_pieces([*(bytes((byte,)) for byte in range(256)), b" the", b""], 257)
    assert tokenizer.vocab_size == 258
    assert tokenizer.eos_token == 257
    assert [tokenizer.decode_bytes([token]) for token in (65, 200, 256)] == [b"A", b"\xc8", b" the"]


def test_the_embedded_models_tokens_have_the_bytes_that_its_text_has(tmp_path: Path) -> None:
    folder = embedded_model.folder(tmp_path)
    adapter = pytest.importorskip("mlx_serving.mlx.adapter")
    text = adapter.load_text(folder, {})
    width = text.vocabulary + 64
    tokenizer = of_tokenizer(text.tokenizer_json(), width, text.end_tokens)
    assert tokenizer.vocab_size == width
    assert sorted(tokenizer.eos_tokens) == sorted(text.end_tokens)
    told = [token for token in range(text.vocabulary) if text.token_bytes(token)]
    assert len(told) > 40_000
    assert [t for t in told if tokenizer.decode_bytes([t]) != text.token_bytes(t)] == []
