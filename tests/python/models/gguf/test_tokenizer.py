"""Vocabularies of GGUF files, against the tokenizers that they were taken of. Real ones are in
`text/test_vocabularies.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from mlx_serving.models.gguf.tokenizer import (
    CONTROL,
    NoTokenizer,
    end_tokens,
    tokenizer_config,
    tokenizer_file,
    vocabulary_of,
)

import gguf_models
from gguf_models import Vocabulary

MADE: dict[str, Callable[[], Vocabulary]] = {
    "llama-bpe": lambda: gguf_models.byte_level("llama-bpe"),
    "qwen2": lambda: gguf_models.byte_level("qwen2"),
    "smollm": lambda: gguf_models.byte_level("smollm"),
    "tekken": lambda: gguf_models.byte_level("tekken"),
    "llama": gguf_models.sentence_piece,
}


def tokenizer_of(metadata: dict[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(json.dumps(tokenizer_file(vocabulary_of(metadata))))


@pytest.mark.parametrize("kind", MADE)
def test_tokens_and_texts_are_the_sources(kind: str) -> None:
    source = MADE[kind]()
    tokenizer = tokenizer_of(source.metadata)
    said = gguf_models.texts(400, seed=9)
    assert [tokenizer.encode(text, add_special_tokens=False).ids for text in said] == [
        source.encode(text) for text in said
    ]
    assert [tokenizer.decode(source.encode(text)) for text in said] == said


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    return gguf_models.byte_level("qwen2", size=300).metadata


def test_specials_are_one_token_each(metadata: dict[str, Any]) -> None:
    tokenizer = tokenizer_of(metadata)
    ids = tokenizer.encode(f"a{gguf_models.END_OF_TURN}{gguf_models.EOS}").ids
    assert [tokenizer.id_to_token(id) for id in ids[1:]] == [
        gguf_models.END_OF_TURN,
        gguf_models.EOS,
    ]


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, False),
        ({"add_bos_token": True}, True),
        ({"pre": "llama-bpe"}, False),
        ({"pre": "llama-bpe", "add_bos_token": None}, True),
        ({"add_bos_token": None}, False),
        ({"add_bos_token": True, "bos_token_id": None}, False),
    ],
)
def test_a_begin_of_text_token_where_the_file_or_its_kind_says_so(
    metadata: dict[str, Any], changes: dict[str, Any], begins: bool
) -> None:
    changed = {**metadata, **{f"tokenizer.ggml.{name}": value for name, value in changes.items()}}
    changed = {name: value for name, value in changed.items() if value is not None}
    ids = tokenizer_of(changed).encode("hello").ids
    assert (ids[0] == metadata["tokenizer.ggml.bos_token_id"]) == begins


def test_no_space_before_a_text_whose_file_wants_none() -> None:
    source = gguf_models.sentence_piece().metadata
    changed = {**source, "tokenizer.ggml.add_space_prefix": False}
    for metadata, first in ((source, "\u2581"), (changed, "a")):
        tokenizer = tokenizer_of(metadata)
        ids = tokenizer.encode("and", add_special_tokens=False).ids
        assert tokenizer.id_to_token(ids[0])[0] == first
        assert tokenizer.decode(ids) == "and"


def test_all_ends_of_a_turn_end_it(metadata: dict[str, Any]) -> None:
    tokens = metadata["tokenizer.ggml.tokens"]
    ends = {tokens.index(name) for name in (gguf_models.EOS, gguf_models.END_OF_TURN)}
    assert set(end_tokens(vocabulary_of(metadata))) == ends
    named = {**metadata, "tokenizer.ggml.eot_token_id": 7}
    assert set(end_tokens(vocabulary_of(named))) == {*ends, 7}
    # A word of that name is no end.
    types = [1 if kind == CONTROL else kind for kind in metadata["tokenizer.ggml.token_type"]]
    words = {**metadata, "tokenizer.ggml.token_type": types}
    assert end_tokens(vocabulary_of(words)) == [metadata["tokenizer.ggml.eos_token_id"]]


def test_the_names_of_tokens_and_the_template(metadata: dict[str, Any], tmp_path: Path) -> None:
    config = tokenizer_config(vocabulary_of(metadata))
    assert config["eos_token"] == gguf_models.EOS and config["bos_token"] == gguf_models.BOS
    assert config["chat_template"] == gguf_models.TEMPLATE
    del config["chat_template"]
    without = {key: value for key, value in metadata.items() if "template" not in key}
    assert tokenizer_config(vocabulary_of(without)) == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokens": None}, "it has no tokenizer.ggml.tokens"),
        ({"tokens": [1, 2]}, "it has no tokenizer.ggml.tokens"),
        ({"model": "rwkv"}, "tokenizer.ggml.model 'rwkv' is none of gpt2, llama"),
        ({"model": None}, "tokenizer.ggml.model None is none of"),
        ({"merges": None}, "it has no tokenizer.ggml.merges"),
        ({"model": "llama"}, "it has no tokenizer.ggml.scores"),
        ({"model": "llama", "scores": [0.5]}, "tokenizer.ggml.scores has not a number for each"),
        ({"pre": "grok-2"}, "(tokenizer.ggml.pre 'grok-2') is not known"),
        ({"pre": None}, "(tokenizer.ggml.pre 'None') is not known"),
        ({"token_type": [1]}, "tokenizer.ggml.token_type has not a number for each token"),
        ({"eos_token_id": 10**6}, "tokenizer.ggml.eos_token_id is no token's"),
        ({"bos_token_id": "1"}, "tokenizer.ggml.bos_token_id is no token's"),
    ],
)
def test_vocabularies_that_are_none(
    metadata: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    changed = {**metadata, **{f"tokenizer.ggml.{name}": value for name, value in changes.items()}}
    with pytest.raises(NoTokenizer) as caught:
        vocabulary_of({name: value for name, value in changed.items() if value is not None})
    assert said in str(caught.value)
