"""The vocabulary of a GGUF file as the files of a Hugging Face tokenizer.

What llama.cpp does for a vocabulary is named in its metadata (`tokenizer.ggml.model` and `.pre`);
here stands the same in the words of the `tokenizers` library.
"""

from __future__ import annotations

from typing import Any, Final

from ..embedded import ADDED_TOKEN, BPE, BYTE_LEVEL, TOKENIZER

Metadata = dict[str, Any]
Json = dict[str, Any]

PREFIX: Final = "tokenizer."
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
SPACE: Final = "\u2581"

WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SHORTENED: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINES: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
EAST: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
SIGNS: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
BEFORE: Final = r"[^\r\n\p{L}\p{N}]?"

ONE_PATTERN: Final = [WORDS]
DIGITS_APART: Final = [r"\p{N}", WORDS]
DIGITS_BY_THREE: Final = [rf"{SHORTENED}|{BEFORE}\p{{L}}+|\p{{N}}{{1,3}}|{SIGNS}|{LINES}"]
DIGITS_BY_ONE: Final = [rf"{SHORTENED}|{BEFORE}\p{{L}}+|\p{{N}}|{SIGNS}|{LINES}"]
# What cuts a text into words, one pattern after another, by llama.cpp's name for it.
PATTERNS: Final = {
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "jais", "phi-2", "trillion"), ONE_PATTERN),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"),
        DIGITS_APART,
    ),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe"),
        DIGITS_BY_THREE,
    ),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"), DIGITS_BY_ONE),
    "qwen35": [
        rf"{SHORTENED}|{BEFORE}[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{LINES}"
    ],
    "tekken": [
        rf"{BEFORE}[{UPPER}]*[{LOWER}]+|{BEFORE}[{UPPER}]+[{LOWER}]*|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{LINES}"
    ],
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
}
WHOLE_WORDS: Final = frozenset({"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken"})
"""A word that is in the vocabulary is one token, whatever the merges say; and a text begins with
the begin-of-text token, where the file says nothing of it."""

# Ends of a turn or a text, whatever a file's single id of one says: llama.cpp stops at them too.
END_NAMES: Final = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> "
    "<|end_of_text|> <\uff5cend\u2581of\u2581sentence\uff5c>".split()
)
END_IDS: Final = ("eos", "eot", "eom")


class NoTokenizer(Exception):
    """Of this vocabulary none can be made; the message says why."""


def vocabulary_of(metadata: Metadata) -> Metadata:
    """What a file's metadata says of its vocabulary, without the prefix. Raises `NoTokenizer`."""
    vocabulary = {
        key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)
    }
    tokens: Any = vocabulary.get("ggml.tokens")
    if not _is_list(tokens, str):
        raise NoTokenizer("it has no tokenizer.ggml.tokens")
    model = vocabulary.get("ggml.model")
    if model not in KINDS:
        raise NoTokenizer(f"tokenizer.ggml.model {model!r} is none of {', '.join(KINDS)}")
    name, kind = ("merges", str) if model == "gpt2" else ("scores", float)
    if not _is_list(vocabulary.get(f"ggml.{name}"), kind):
        raise NoTokenizer(f"it has no tokenizer.ggml.{name}")
    if model == "gpt2" and vocabulary.get("ggml.pre") not in PATTERNS:
        said = str(vocabulary.get("ggml.pre"))[:40]
        raise NoTokenizer(f"how it cuts texts (tokenizer.ggml.pre {said!r}) is not known")
    vocabulary.setdefault("ggml.token_type", [1] * len(tokens))
    if model == "llama" and len(vocabulary["ggml.scores"]) != len(tokens):
        raise NoTokenizer("tokenizer.ggml.scores has not a number for each token")
    if len(vocabulary["ggml.token_type"]) != len(tokens):
        raise NoTokenizer("tokenizer.ggml.token_type has not a number for each token")
    for key, value in vocabulary.items():
        if key.endswith("_token_id") and not _is_id(value, tokens):
            raise NoTokenizer(f"tokenizer.{key} is no token's")
    return vocabulary


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, kind) for one in value)


def _is_id(value: Any, tokens: list[str]) -> bool:
    return type(value) is int and 0 <= value < len(tokens)


def end_tokens(vocabulary: Metadata) -> list[int]:
    named = [vocabulary.get(f"ggml.{kind}_token_id") for kind in END_IDS]
    pairs = zip(vocabulary["ggml.tokens"], vocabulary["ggml.token_type"], strict=True)
    by_name = [id for id, (name, kind) in enumerate(pairs) if kind == CONTROL and name in END_NAMES]
    return list(dict.fromkeys(id for id in [*named, *by_name] if id is not None))


def tokenizer_config(vocabulary: Metadata) -> Json:
    tokens = vocabulary["ggml.tokens"]
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named = {
        f"{name}_token": tokens[vocabulary[f"ggml.{theirs}_token_id"]]
        for name, theirs in names.items()
        if f"ggml.{theirs}_token_id" in vocabulary
    }
    template = vocabulary.get("chat_template")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **named,
        **({"chat_template": template} if isinstance(template, str) else {}),
    }


def tokenizer_file(vocabulary: Metadata) -> Json:
    return tokenizer_of(vocabulary, KINDS[vocabulary["ggml.model"]](vocabulary))


def tokenizer_of(vocabulary: Metadata, parts: Json) -> Json:
    """`parts`: what a kind of vocabulary has of its own."""
    return {
        **TOKENIZER,
        "added_tokens": added_tokens(vocabulary),
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": _begin_of_text(vocabulary),
        **parts,
    }


def added_tokens(vocabulary: Metadata) -> list[Json]:
    pairs = zip(vocabulary["ggml.tokens"], vocabulary["ggml.token_type"], strict=True)
    return [
        {"id": id, "content": name, "special": kind != USER_DEFINED, **ADDED_TOKEN}
        for id, (name, kind) in enumerate(pairs)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]


def _begin_of_text(vocabulary: Metadata) -> Json | None:
    by_kind = vocabulary["ggml.model"] == "llama" or vocabulary.get("ggml.pre") in WHOLE_WORDS
    id = vocabulary.get("ggml.bos_token_id")
    if id is None or not vocabulary.get("ggml.add_bos_token", by_kind):
        return None
    name = vocabulary["ggml.tokens"][id]
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


def bpe(vocabulary: Metadata, merges: list[list[str]], **options: Any) -> Json:
    return {
        **BPE,
        **options,
        "vocab": {name: id for id, name in enumerate(vocabulary["ggml.tokens"])},
        "merges": merges,
    }


def merges_of(vocabulary: Metadata) -> list[list[str]]:
    return [merge.split(" ") for merge in vocabulary["ggml.merges"]]


def _byte_level(vocabulary: Metadata) -> Json:
    name = vocabulary["ggml.pre"]
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
        "model": bpe(vocabulary, merges_of(vocabulary), ignore_merges=name in WHOLE_WORDS),
    }


SENTENCE_DECODER: Final[list[Json]] = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
SPACES: Final[Json] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


def _sentence_piece(vocabulary: Metadata) -> Json:
    """As Llama 2: a space before the text, which the decoder takes away again."""
    prepends = vocabulary.get("ggml.add_space_prefix", True)
    before = [{"type": "Prepend", "prepend": SPACE}] if prepends else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prepends else []
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*before, SPACES]},
        "decoder": {"type": "Sequence", "decoders": [*SENTENCE_DECODER, *strip]},
        "model": bpe(
            vocabulary,
            _merges_by_score(vocabulary),
            byte_fallback=True,
            fuse_unk=True,
            **unknown_token(vocabulary),
        ),
    }


def unknown_token(vocabulary: Metadata) -> Json:
    id = vocabulary.get("ggml.unknown_token_id")
    return {"unk_token": None if id is None else vocabulary["ggml.tokens"][id]}


def _merges_by_score(vocabulary: Metadata) -> list[list[str]]:
    """SentencePiece joins the pair whose whole has the highest score: the merges in that order."""
    tokens: list[str] = vocabulary["ggml.tokens"]
    ids = {name: id for id, name in enumerate(tokens)}
    found: list[tuple[float, int, int, str, str]] = []
    for name, score in zip(tokens, vocabulary["ggml.scores"], strict=True):
        for cut in range(1, len(name)):
            left, right = name[:cut], name[cut:]
            if left in ids and right in ids:
                found.append((-score, ids[left], ids[right], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


KINDS: Final = {"gpt2": _byte_level, "llama": _sentence_piece}
"""By `tokenizer.ggml.model`."""
