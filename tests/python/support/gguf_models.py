"""GGUF files for tests, written by llama.cpp's own package: small models of mlx-lm's with random
weights, and vocabularies that were trained here.
"""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf
import mlx.core as mx
import numpy as np
import sentencepiece
import tokenizers
from gguf import GGMLQuantizationType as Type
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import _get_classes
from mlx_serving.models.gguf.model import ARCHITECTURES, TOP_NAMES
from mlx_serving.models.gguf.tokenizer import CONTROL, PATTERNS
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

BOS, EOS, END_OF_TURN = "<|begin|>", "<|endoftext|>", "<|im_end|>"
TEMPLATE: Final = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
ALPHABETS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    " \t\n  ",
    ".,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+`~",
    "äöüßéèñçøåÄÖÜ",
    "абвгдежзий",
    "日本語你好世界",
    "कखगिीु",
    "🦙🚀🏳️‍🌈",
)
WORDS: Final = (
    "the of and a to in is you that it he was for on are as with his they I'm we'll can't"
)


def texts(count: int, seed: int = 1) -> list[str]:
    """Words, digits and letters of many kinds, in all orders."""
    chance = random.Random(seed)
    words = WORDS.split()

    def word() -> str:
        if chance.random() < 0.6:
            return chance.choice(words)
        alphabet = chance.choice(ALPHABETS)
        return "".join(chance.choices(alphabet, k=chance.randint(1, 8)))

    def text() -> str:
        parts = [word() for _ in range(chance.randint(1, 14))]
        return chance.choice(["", " ", "\n"]) + chance.choice([" ", "", "  "]).join(parts)

    return [text() for _ in range(count)]


# --- vocabularies ---


@dataclass
class Vocabulary:
    """`encode`: what the tokenizer that it was taken of makes of a text; `size`: of its tokens."""

    metadata: dict[str, Any]
    encode: Any
    size: int


def byte_level(pre: str, size: int = 600) -> Vocabulary:
    """As Llama 3 and Qwen: merges over bytes, by the `tokenizers` library."""
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[pre]]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = [BOS, EOS, END_OF_TURN]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(400, seed=2), trainer)
    body = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(body["vocab"], key=body["vocab"].get)
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if one in specials else 1 for one in tokens],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in body["merges"]],
        "tokenizer.ggml.bos_token_id": tokens.index(BOS),
        "tokenizer.ggml.eos_token_id": tokens.index(EOS),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    return Vocabulary(metadata, lambda text: tokenizer.encode(text).ids, len(tokens))


def sentence_piece(size: int = 700) -> Vocabulary:
    """As Llama 2 and Mistral, by Google's library."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in texts(600, seed=3) for line in text.split("\n")]),
        model_writer=written,
        vocab_size=size,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    ids = range(trained.vocab_size())

    def kind(id: int) -> int:
        if trained.is_unknown(id):
            return 2
        return CONTROL if trained.is_control(id) else 6 if trained.is_byte(id) else 1

    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [trained.id_to_piece(id) for id in ids],
        "tokenizer.ggml.scores": [trained.get_score(id) for id in ids],
        "tokenizer.ggml.token_type": [kind(id) for id in ids],
        "tokenizer.ggml.bos_token_id": trained.bos_id(),
        "tokenizer.ggml.eos_token_id": trained.eos_id(),
        "tokenizer.ggml.unknown_token_id": trained.unk_id(),
    }
    return Vocabulary(metadata, lambda text: trained.encode(text), len(ids))


# --- models ---

SMALL: Final = {
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 50_000.0,
    "max_position_embeddings": 512,
}


def random_model(architecture: str, vocabulary: int, **changes: Any) -> tuple[Any, dict[str, Any]]:
    """One of mlx-lm's, and its configuration."""
    extra = {"head_dim": 64} if architecture == "qwen3" else {}
    config = {"model_type": architecture, **SMALL, "vocab_size": vocabulary, **extra, **changes}
    config.setdefault("tie_word_embeddings", False)
    model_class, arguments = _get_classes(config)
    mx.random.seed(5)
    model = model_class(arguments.from_dict(config))
    weights = [
        # Norms and biases that do something, too.
        (name, array * 3 if array.ndim > 1 else array + mx.random.normal(array.shape) / 4)
        for name, array in tree_flatten(model.parameters())
    ]
    model.update(tree_unflatten(weights))
    mx.eval(model.parameters())
    return model, config


def tensors_of(model: Any, config: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """By llama.cpp's names, and in its order of rows: what its converter makes of a model."""
    architecture = config["model_type"]
    names = {ours: theirs for theirs, ours in ARCHITECTURES[architecture].items()}
    tops = {ours: theirs for theirs, ours in TOP_NAMES.items()}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    found = {}
    for name, array in tree_flatten(model.parameters()):
        path, _, kind = name.rpartition(".")
        numbers = np.array(array.astype(mx.float32))
        if path in tops:
            found[f"{tops[path]}.{kind}"] = numbers
            continue
        _, _, layer, part = path.split(".", 3)
        theirs = names[part]
        if architecture == "llama" and theirs in heads:
            # convert_hf_to_gguf.py, LlamaModel.permute
            halves = (heads[theirs], 2, len(numbers) // heads[theirs] // 2, *numbers.shape[1:])
            numbers = numbers.reshape(halves).swapaxes(1, 2).reshape(numbers.shape)
        found[f"blk.{layer}.{theirs}.{kind}"] = numbers
    return found


def metadata_of(config: dict[str, Any]) -> dict[str, Any]:
    name = config["model_type"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    return {
        f"{name}.context_length": config["max_position_embeddings"],
        f"{name}.embedding_length": config["hidden_size"],
        f"{name}.block_count": config["num_hidden_layers"],
        f"{name}.feed_forward_length": config["intermediate_size"],
        f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": config["num_key_value_heads"],
        f"{name}.attention.key_length": head,
        f"{name}.attention.value_length": head,
        f"{name}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{name}.rope.freq_base": config["rope_theta"],
    }


def write(
    path: Path,
    architecture: str,
    metadata: dict[str, Any],
    tensors: dict[str, np.ndarray[Any, Any]],
    types: dict[str, Type] | Type = Type.F32,
) -> Path:
    """`types`: of matrices, by their names or all; what is not named is F32, as vectors are."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        add(writer, key, value)
    for name, numbers in tensors.items():
        type = types.get(name, Type.F32) if isinstance(types, dict) else types
        type = type if numbers.ndim > 1 else Type.F32
        data = numbers if type == Type.F32 else quantized(numbers, type)
        writer.add_tensor(name, data, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add(writer: Any, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def quantized(numbers: np.ndarray[Any, Any], type: Type) -> np.ndarray[Any, Any]:
    """llama.cpp's package quantizes plain types alone: blocks of the others are random here."""
    try:
        return gguf.quants.quantize(numbers, type)
    except NotImplementedError:
        return random_blocks(type, numbers.size).reshape(*numbers.shape[:-1], -1)


# Where in a block its 16-bit numbers stand.
HALVES: Final = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q6_K: [208],
}  # fmt: skip


def random_blocks(type: Type, values: int) -> np.ndarray[Any, Any]:
    """Any bytes are codes; scales are of a size that models have."""
    chance = np.random.default_rng(7)
    per_block, size = gguf.GGML_QUANT_SIZES[type]
    blocks = chance.integers(0, 256, (values // per_block, size), dtype=np.uint8)
    for at in HALVES[type]:
        halves = chance.normal(0, 1e-3, (len(blocks), 1)).astype("<f2")
        blocks[:, at : at + 2] = halves.view(np.uint8)
    return blocks


# --- the embedded model ---


def write_embedded(folder: Path, path: Path) -> Path:
    """The embedded model as the GGUF file that it was once made of: codes of 4 bits, and of 8 in
    its embedding."""
    config = json.loads((folder / "config.json").read_text())
    facts = {**metadata_of(config), **_vocabulary_of(folder)}
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in facts.items():
        add(writer, key, value)
    names = {ours: theirs for theirs, ours in {**ARCHITECTURES["llama"], **TOP_NAMES}.items()}
    for name in weights:
        layer, _, kind = name.rpartition(".")
        if kind != "weight":
            continue
        _, blk, number, *rest = [*layer.split("."), "", ""]
        part = ".".join(one for one in rest if one) if blk == "layers" else layer
        theirs = f"blk.{number}.{names[part]}" if blk == "layers" else names[part]
        arrays = {
            one: np.array(weights[f"{layer}.{one}"])
            for one in QUANTIZED
            if f"{layer}.{one}" in weights
        }
        if len(arrays) == 1:
            writer.add_tensor(f"{theirs}.weight", arrays["weight"])
        else:
            type = Type.Q8_0 if theirs == "token_embd" else Type.Q4_1
            writer.add_tensor(f"{theirs}.weight", _blocks(type, **arrays), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


QUANTIZED: Final = ("weight", "scales", "biases")


def _blocks(type: Type, weight: Any, scales: Any, biases: Any) -> np.ndarray[Any, Any]:
    rows = len(weight)
    data = np.ascontiguousarray(weight).view(np.uint8)
    halves = [scales.reshape(-1, 1).astype("<f2").view(np.uint8)]
    if type == Type.Q8_0:
        codes = data.reshape(-1, 32) ^ 0x80
    else:
        halves.append(biases.reshape(-1, 1).astype("<f2").view(np.uint8))
        pairs = data.reshape(-1, 16)
        values = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1, 32)
        codes = values[:, :16] | values[:, 16:] << 4
    return np.concatenate([*halves, codes], axis=1).reshape(rows, -1)


def _vocabulary_of(folder: Path) -> dict[str, Any]:
    body = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    vocabulary = body["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    controls = {token["id"] for token in body["added_tokens"]}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [
            CONTROL if id in controls else 1 for id in range(len(tokens))
        ],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in body["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": vocabulary[config["bos_token"]],
        "tokenizer.ggml.eos_token_id": vocabulary[config["eos_token"]],
        "tokenizer.ggml.unknown_token_id": vocabulary[config["unk_token"]],
        "tokenizer.ggml.padding_token_id": vocabulary[config["pad_token"]],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": config["chat_template"],
    }
