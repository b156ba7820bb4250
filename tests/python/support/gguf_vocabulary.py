"""A vocabulary of llama.cpp (GGUF) as the files of a Hugging Face tokenizer: what the product makes
of those that it serves, and kinds beside them whose texts and tokens are worth trying.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlx_serving.models.gguf.file import read_gguf
from mlx_serving.models.gguf.tokenizer import (
    KINDS,
    SENTENCE_DECODER,
    SPACE,
    SPACES,
    Json,
    Metadata,
    added_tokens,
    bpe,
    merges_of,
    tokenizer_config,
    tokenizer_file,
    tokenizer_of,
    unknown_token,
    vocabulary_of,
)

# For those that bring none: what a message says between two ends of text.
TEMPLATE: Final = (
    "{% for message in messages %}{{ eos_token }}{{ message.role }}: {{ message.content }}"
    "{{ eos_token }}{% endfor %}"
)


def metadata_of(gguf: Path) -> Metadata:
    metadata = read_gguf(gguf).metadata
    if metadata["tokenizer.ggml.model"] in OTHER_KINDS:
        return {key.removeprefix("tokenizer."): value for key, value in metadata.items()}
    # Old ones name no patterns.
    return vocabulary_of({"tokenizer.ggml.pre": "gpt-2", **metadata})


def write_tokenizer(metadata: Metadata, folder: Path) -> None:
    kind = metadata["ggml.model"]
    made = (
        tokenizer_file(metadata)
        if kind in KINDS
        else tokenizer_of(metadata, OTHER_KINDS[kind](metadata))
    )
    config = {"chat_template": TEMPLATE, **tokenizer_config(metadata)}
    for name, body in {"tokenizer.json": made, "tokenizer_config.json": config}.items():
        (folder / name).write_text(json.dumps(body))


def _sentence_merges(metadata: Metadata) -> Json:
    """As Gemma: signs for spaces, merges over whole lines, single bytes for what is not there."""
    return {
        "normalizer": SPACES,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[^\n]+|\n+"},
            "behavior": "Isolated",
            "invert": False,
        },
        "decoder": {"type": "Sequence", "decoders": SENTENCE_DECODER},
        "model": bpe(
            metadata,
            merges_of(metadata),
            byte_fallback=True,
            fuse_unk=True,
            **unknown_token(metadata),
        ),
    }


def _word_piece(metadata: Metadata) -> Json:
    """llama.cpp marks the beginning of words, BERT their continuations."""
    controls = {token["content"] for token in added_tokens(metadata)}

    def theirs(name: str) -> str:
        if name in controls or (name.startswith("[") and name.endswith("]")):
            return name
        return name[1:] if name.startswith(SPACE) else f"##{name}"

    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {theirs(name): id for id, name in enumerate(metadata["ggml.tokens"])},
        },
    }


def _unigram(metadata: Metadata) -> Json:
    """As XLM-RoBERTa."""
    charsmap = bytes(byte & 0xFF for byte in metadata["ggml.precompiled_charsmap"])
    spaces = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    pairs = zip(metadata["ggml.tokens"], metadata["ggml.scores"], strict=True)
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(charsmap).decode(),
                },
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": spaces,
        "decoder": spaces,
        "model": {
            "type": "Unigram",
            "unk_id": metadata["ggml.unknown_token_id"],
            "vocab": [[name, score] for name, score in pairs],
            "byte_fallback": False,
        },
    }


OTHER_KINDS: Final[dict[str, Callable[[Metadata], Json]]] = {
    "gemma4": _sentence_merges,
    "bert": _word_piece,
    "t5": _unigram,
}
