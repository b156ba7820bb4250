"""What a GGUF file holds as mlx-lm has it: the configuration, and the names of the weights.

Of the architectures whose weights are named alike and computed alike in both. Another one is
refused by its name: a wrong guess would answer nonsense.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...failures import LoadFailed
from ..embedded import LAYER_NAMES
from ..embedded import TOP_NAMES as EMBEDDED_TOP_NAMES
from .codes import GROUP, RECODED_BITS
from .file import GgufFile

HEAD_NORMS: Final = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
# By llama.cpp's names, which are mlx-lm's too. Mistral's models are called llama.
ARCHITECTURES: Final = {
    "llama": LAYER_NAMES,
    "qwen2": LAYER_NAMES,
    "qwen3": {**LAYER_NAMES, **HEAD_NORMS},
}
TOP_NAMES: Final = {**EMBEDDED_TOP_NAMES, "output": "lm_head"}
NAME: Final = re.compile(r"blk\.(\d{1,4})\.([a-z_]+)\.(weight|bias)|([a-z_]+)\.(weight|bias)")
# Not a weight: what Llama 3's rotary frequencies are divided by.
ROPE_FACTORS: Final = "rope_freqs.weight"
# Rows of these lie in pairs, as the rotary embedding of the original Llama turned them.
PAIRED: Final = ("attn_q", "attn_k")

THETA_DEFAULT: Final = 10_000.0
# As mlx-lm names what the file's own entries say of sampling.
SAMPLING: Final = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}


def architecture_of(file: GgufFile) -> str:
    """Raises `LoadFailed` for one that isn't served, and for a part of a model."""
    name = file.metadata.get("general.architecture")
    if name not in ARCHITECTURES:
        said = "of no architecture" if name is None else f"a {str(name)[:40]}"
        served = ", ".join(ARCHITECTURES)
        raise _unsupported(file, f"it is {said}; of GGUF files {served} are served")
    parts = file.metadata.get("split.count", 1)
    if parts != 1:
        raise _unsupported(
            file, f"it is one of {parts} parts: join them with llama-gguf-split --merge"
        )
    if file.metadata.get(f"{name}.expert_count", 0):
        raise _unsupported(file, f"it is a {name} of experts; of GGUF files dense ones are served")
    return str(name)


def weight_name(file: GgufFile, name: str, layers: dict[str, str]) -> str:
    """mlx-lm's. Raises `LoadFailed`."""
    match = NAME.fullmatch(name)
    if match and match[1] and match[2] in layers:
        return f"model.layers.{match[1]}.{layers[match[2]]}.{match[3]}"
    if match and match[4] in TOP_NAMES:
        return f"{TOP_NAMES[match[4]]}.{match[5]}"
    architecture = file.metadata["general.architecture"]
    raise _unsupported(file, f"a {architecture} has no tensor {name[:80]}")


def paired_heads(file: GgufFile, name: str, config: dict[str, Any]) -> int | None:
    """Of how many heads the rows of this tensor lie in pairs; None: they don't."""
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if config["model_type"] != "llama" or part not in PAIRED:
        return None
    heads: int = config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"]
    return heads


def model_config(file: GgufFile, end_tokens: list[int]) -> dict[str, Any]:
    """As mlx-lm reads it. Raises `LoadFailed`."""
    entries = _Entries(file, architecture_of(file))
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise _unsupported(file, "it has no token_embd.weight")
    hidden, heads = entries.size("embedding_length"), entries.size("attention.head_count")
    head = entries.size("attention.key_length", hidden // heads)
    if entries.size("attention.value_length", head) != head:
        raise _unsupported(file, "its values have another length than its keys")
    if entries.size("rope.dimension_count", head) != head:
        raise _unsupported(file, "its rotary embedding turns a part of each head")
    config: dict[str, Any] = {
        "model_type": entries.architecture,
        "hidden_size": hidden,
        "intermediate_size": entries.size("feed_forward_length"),
        "num_hidden_layers": entries.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": entries.size("attention.head_count_kv", heads),
        "head_dim": head,
        "max_position_embeddings": entries.size("context_length"),
        "vocab_size": embedding.shape[0],
        "rms_norm_eps": entries.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": entries.number("rope.freq_base", THETA_DEFAULT),
        "rope_scaling": _rope_scaling(file, entries, head),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "eos_token_id": end_tokens,
    }
    if entries.architecture == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    quantization = _quantization(file, ARCHITECTURES[entries.architecture])
    return {**config, **({"quantization": quantization} if quantization else {})}


def _rope_scaling(file: GgufFile, entries: _Entries, head: int) -> dict[str, Any] | None:
    factors = file.tensors.get(ROPE_FACTORS)
    if factors is not None:
        if factors.type.name != "F32" or factors.shape != (head // 2,):
            raise _unsupported(file, f"{ROPE_FACTORS} has not a factor for each frequency")
        divided_by = file.blocks(ROPE_FACTORS).reshape(-1).view("<f4").tolist()
        # The class of mlx-lm's that takes factors as they are; equal lengths: it scales no more.
        return {
            "rope_type": "longrope",
            "short_factor": divided_by,
            "long_factor": divided_by,
            "original_max_position_embeddings": entries.size("context_length"),
        }
    kind = file.metadata.get(f"{entries.architecture}.rope.scaling.type", "none")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise _unsupported(file, f"rope.scaling.type {str(kind)[:40]} is not served")
    factor = entries.number("rope.scaling.factor")
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    original = entries.size("rope.scaling.original_context_length")
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}


def _quantization(file: GgufFile, layers: dict[str, str]) -> dict[str, Any]:
    """A file has several types: each layer has its own entry."""
    bits: dict[str, Any] = {}
    for name, tensor in file.tensors.items():
        if tensor.type.reading == "numbers" or name == ROPE_FACTORS:
            continue
        codes = RECODED_BITS if tensor.type.reading == "recoded" else int(tensor.type.name[1])
        path = weight_name(file, name, layers).removesuffix(".weight")
        bits[path] = {"group_size": GROUP, "bits": codes}
    return {**next(iter(bits.values())), **bits} if bits else {}


def generation_config(file: GgufFile, end_tokens: list[int]) -> dict[str, Any]:
    """How its makers want it sampled, where the file says it."""
    said = {
        name: file.metadata[f"general.sampling.{theirs}"]
        for theirs, name in SAMPLING.items()
        if f"general.sampling.{theirs}" in file.metadata
    }
    return {"eos_token_id": end_tokens, **said}


class _Entries:
    """Values of the architecture. Raises `LoadFailed`, which names the entry."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        self.architecture = architecture
        self._file = file

    def size(self, key: str, default: int | None = None) -> int:
        value = self._value(key, default)
        if type(value) is not int or value < 1:
            raise self._wrong(key, "a whole number from 1", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._value(key, default)
        if type(value) not in (int, float) or not value > 0:
            raise self._wrong(key, "a number above 0", value)
        return float(value)

    def _value(self, key: str, default: float | None) -> Any:
        value = self._file.metadata.get(f"{self.architecture}.{key}", default)
        # One for each layer is one, where all are alike.
        if isinstance(value, list) and len(set(map(str, value))) == 1:
            return value[0]
        return value

    def _wrong(self, key: str, must: str, value: Any) -> LoadFailed:
        shown = "it is missing" if value is None else f"not {str(value)[:40]}"
        return _unsupported(self._file, f"{self.architecture}.{key} must be {must}, {shown}")


def _unsupported(file: GgufFile, message: str) -> LoadFailed:
    return LoadFailed("model_unsupported", f"{file.path}: {message}")
