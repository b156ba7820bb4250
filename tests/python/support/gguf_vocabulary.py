"""A vocabulary of llama.cpp (GGUF) as the files of a Hugging Face tokenizer.

What llama.cpp does for a vocabulary is named in its metadata (`tokenizer.ggml.model` and `.pre`);
here stands the same in the words of the `tokenizers` library.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final, cast

import mlx.core as mx
from mlx_serving.models.embedded import ADDED_TOKEN, BPE, BYTE_LEVEL, TOKENIZER

Metadata = dict[str, Any]
Json = dict[str, Any]

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
SPACE: Final = "\u2581"
# For those that bring none: what a message says between two ends of text.
TEMPLATE: Final = (
    "{% for message in messages %}{{ eos_token }}{{ message.role }}: {{ message.content }}"
    "{{ eos_token }}{% endfor %}"
)

WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SHORTENED: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINES: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
EAST: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# What cuts a text into words, one pattern after another, by llama.cpp's name for it.
PATTERNS: Final = {
    "gpt-2": [WORDS],
    "mpt": [WORDS],
    "starcoder": [r"\p{N}", WORDS],
    "refact": [r"\p{N}", WORDS],
    "command-r": [r"\p{N}", WORDS],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", WORDS, "[0-9][0-9][0-9]"],
    "deepseek-coder": [
        r"[\r\n]",
        r"\s?\p{L}+",
        r"\s?\p{P}+",
        EAST,
        r"\p{N}",
    ],
    "deepseek-llm": [
        r"[\r\n]",
        r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        EAST,
        r"\p{N}+",
    ],
    "llama-bpe": [
        rf"{SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{LINES}"
    ],
    "qwen2": [
        rf"{SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{LINES}"
    ],
    "qwen35": [
        rf"{SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{LINES}"
    ],
}
WHOLE_WORDS: Final = frozenset({"llama-bpe"})
"""A word that is in the vocabulary is one token, whatever the merges say."""


def metadata_of(gguf: Path) -> Metadata:
    loaded = mx.load(str(gguf), return_metadata=True)
    _, metadata = cast("tuple[dict[str, mx.array], Metadata]", loaded)
    return {
        name.removeprefix("tokenizer."): value if isinstance(value, str | list) else value.tolist()
        for name, value in metadata.items()
        if name.startswith("tokenizer.")
    }


def write_tokenizer(metadata: Metadata, folder: Path) -> None:
    files = {
        "tokenizer.json": tokenizer_file(metadata),
        "tokenizer_config.json": tokenizer_config(metadata),
    }
    for name, body in files.items():
        (folder / name).write_text(json.dumps(body))


def tokenizer_config(metadata: Metadata) -> Json:
    tokens = metadata["ggml.tokens"]
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named = {
        f"{name}_token": tokens[metadata[f"ggml.{theirs}_token_id"]]
        for name, theirs in names.items()
        if f"ggml.{theirs}_token_id" in metadata
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **named,
        "chat_template": metadata.get("chat_template", TEMPLATE),
    }


def tokenizer_file(metadata: Metadata) -> Json:
    parts = {
        "gpt2": _byte_level,
        "llama": _sentence_piece,
        "gemma4": _sentence_merges,
        "bert": _word_piece,
        "t5": _unigram,
    }[metadata["ggml.model"]](metadata)
    return {
        **TOKENIZER,
        "added_tokens": _added(metadata),
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": _begin_of_text(metadata),
        **parts,
    }


def _added(metadata: Metadata) -> list[Json]:
    pairs = zip(metadata["ggml.tokens"], metadata["ggml.token_type"], strict=True)
    return [
        {"id": id, "content": name, "special": kind != USER_DEFINED, **ADDED_TOKEN}
        for id, (name, kind) in enumerate(pairs)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]


def _begin_of_text(metadata: Metadata) -> Json | None:
    adds = metadata.get("ggml.add_bos_token", metadata.get("ggml.pre") == "llama-bpe")
    if not adds:
        return None
    id = metadata["ggml.bos_token_id"]
    name = metadata["ggml.tokens"][id]
    first: Json = {"SpecialToken": {"id": name, "type_id": 0}}
    text = {
        "A": {"Sequence": {"id": "A", "type_id": 0}},
        "B": {"Sequence": {"id": "B", "type_id": 1}},
    }
    return {
        "type": "TemplateProcessing",
        "single": [first, text["A"]],
        "pair": [first, text["A"], text["B"]],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]}},
    }


def _bpe(metadata: Metadata, merges: list[list[str]], **options: Any) -> Json:
    return {
        **BPE,
        **options,
        "vocab": {name: id for id, name in enumerate(metadata["ggml.tokens"])},
        "merges": merges,
    }


def _merges(metadata: Metadata) -> list[list[str]]:
    return [merge.split(" ") for merge in metadata["ggml.merges"]]


def _byte_level(metadata: Metadata) -> Json:
    name = metadata.get("ggml.pre", "gpt-2")
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in PATTERNS[name]
    ]
    return {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [*cuts, {**BYTE_LEVEL, "use_regex": False}],
        },
        "decoder": {**BYTE_LEVEL, "use_regex": True},
        "model": _bpe(metadata, _merges(metadata), ignore_merges=name in WHOLE_WORDS),
    }


SENTENCE_DECODER: Final[list[Json]] = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
SPACES: Final[Json] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


def _sentence_piece(metadata: Metadata) -> Json:
    """As Llama 2: a space before the text, which the decoder takes away again."""
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": SPACE}, SPACES],
        },
        "decoder": {"type": "Sequence", "decoders": [*SENTENCE_DECODER, strip]},
        "model": _bpe(
            metadata,
            _merges_by_score(metadata),
            byte_fallback=True,
            fuse_unk=True,
            **_unk(metadata),
        ),
    }


def _unk(metadata: Metadata) -> Json:
    id = metadata.get("ggml.unknown_token_id")
    return {"unk_token": None if id is None else metadata["ggml.tokens"][id]}


def _merges_by_score(metadata: Metadata) -> list[list[str]]:
    """SentencePiece joins the pair whose whole has the highest score: the merges in that order."""
    tokens: list[str] = metadata["ggml.tokens"]
    ids = {name: id for id, name in enumerate(tokens)}
    found: list[tuple[float, int, int, str, str]] = []
    for name, score in zip(tokens, metadata["ggml.scores"], strict=True):
        for cut in range(1, len(name)):
            left, right = name[:cut], name[cut:]
            if left in ids and right in ids:
                found.append((-score, ids[left], ids[right], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


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
        "model": _bpe(
            metadata, _merges(metadata), byte_fallback=True, fuse_unk=True, **_unk(metadata)
        ),
    }


def _word_piece(metadata: Metadata) -> Json:
    """llama.cpp marks the beginning of words, BERT their continuations."""
    controls = {token["content"] for token in _added(metadata)}

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
