"""Configurations out of GGUF files, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from mlx_serving.failures import LoadFailed
from mlx_serving.models.gguf.file import GgufFile, read_gguf
from mlx_serving.models.gguf.model import generation_config, model_config

import gguf_models

FACTS = gguf_models.metadata_of({"model_type": "llama", "vocab_size": 64, **gguf_models.SMALL})
EMBEDDING = {"token_embd.weight": np.ones((64, 256), np.float32)}


def file(
    tmp_path: Path,
    changes: dict[str, Any] | None = None,
    tensors: dict[str, Any] = EMBEDDING,
    architecture: str = "llama",
    types: dict[str, Type] | None = None,
) -> GgufFile:
    facts = {
        name: value for name, value in {**FACTS, **(changes or {})}.items() if value is not None
    }
    path = tmp_path / "m.gguf"
    return read_gguf(gguf_models.write(path, architecture, facts, tensors, types or {}))


def test_a_configuration(tmp_path: Path) -> None:
    assert model_config(file(tmp_path), [2, 0]) == {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 512,
        "vocab_size": 64,
        "rms_norm_eps": pytest.approx(1e-5),
        "rope_theta": 50_000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "eos_token_id": [2, 0],
        "attention_bias": False,
    }


def test_what_a_file_may_leave_out(tmp_path: Path) -> None:
    left_out = {f"llama.{key}": None for key in ("rope.freq_base", "attention.head_count_kv")}
    left_out |= {f"llama.attention.{key}_length": None for key in ("key", "value")}
    config = model_config(file(tmp_path, left_out), [])
    assert config["rope_theta"] == 10_000 and config["head_dim"] == 64
    assert config["num_key_value_heads"] == 4


def test_one_number_for_each_layer(tmp_path: Path) -> None:
    alike = {"llama.feed_forward_length": [256, 256]}
    assert model_config(file(tmp_path, alike), [])["intermediate_size"] == 256
    refused(tmp_path, {"llama.feed_forward_length": [256, 512]}, "feed_forward_length must be")


def test_each_layer_is_quantized_as_the_file_is(tmp_path: Path) -> None:
    tensors = {
        **EMBEDDING,
        "output.weight": np.ones((64, 256), np.float32),
        "blk.0.ffn_up.weight": np.ones((512, 256), np.float32),
        "blk.0.ffn_gate.weight": np.ones((512, 256), np.float32),
    }
    types = {
        "token_embd.weight": Type.Q6_K,
        "output.weight": Type.F16,
        "blk.0.ffn_up.weight": Type.Q4_K,
        "blk.0.ffn_gate.weight": Type.Q5_1,
    }
    config = model_config(file(tmp_path, tensors=tensors, types=types), [])
    bits = {
        path: entry["bits"]
        for path, entry in config["quantization"].items()
        if isinstance(entry, dict)
    }
    assert bits == {
        "model.embed_tokens": 8,
        "model.layers.0.mlp.up_proj": 4,
        "model.layers.0.mlp.gate_proj": 5,
    }


def test_how_it_is_sampled(tmp_path: Path) -> None:
    said = {"general.sampling.temp": 0.6, "general.sampling.top_k": 20}
    assert generation_config(file(tmp_path, said), [3]) == {
        "eos_token_id": [3],
        "temperature": pytest.approx(0.6),
        "top_k": 20,
    }
    assert generation_config(file(tmp_path), [3]) == {"eos_token_id": [3]}


def refused(tmp_path: Path, changes: dict[str, Any], said: str, **options: Any) -> None:
    made = file(tmp_path, changes, **options)
    with pytest.raises(LoadFailed) as caught:
        model_config(made, [])
    assert caught.value.code == "model_unsupported"
    assert str(caught.value).startswith(f"{made.path}: ") and said in str(caught.value)


@pytest.mark.parametrize("architecture", ["gemma3", "clip", "t5"])
def test_other_architectures_are_named(tmp_path: Path, architecture: str) -> None:
    served = f"it is a {architecture}; of GGUF files llama, qwen2, qwen3 are served"
    refused(tmp_path, {}, served, architecture=architecture)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split.count": 3}, "it is one of 3 parts: join them"),
        ({"llama.expert_count": 8}, "it is a llama of experts"),
        ({"llama.embedding_length": None}, "llama.embedding_length must be a whole number from 1"),
        ({"llama.block_count": 0}, "llama.block_count must be a whole number from 1, not 0"),
        ({"llama.block_count": "x"}, "llama.block_count must be"),
        ({"llama.rope.freq_base": 0.0}, "llama.rope.freq_base must be a number above 0"),
        ({"llama.rope.dimension_count": 32}, "turns a part of each head"),
        ({"llama.attention.value_length": 32}, "its values have another length"),
        ({"llama.rope.scaling.type": "su"}, "rope.scaling.type su is not served"),
        ({"llama.rope.scaling.type": "linear"}, "llama.rope.scaling.factor must be"),
    ],
)
def test_what_can_not_be_served(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    refused(tmp_path, changes, said)


def test_tensors_that_belong_to_another_model(tmp_path: Path) -> None:
    refused(tmp_path, {}, "it has no token_embd.weight", tensors={"x": np.ones(4, np.float32)})
    odd = {**EMBEDDING, "blk.0.ffn_gate_exps.weight": np.ones((64, 256), np.float32)}
    types = {"blk.0.ffn_gate_exps.weight": Type.Q8_0}
    said = "a llama has no tensor blk.0.ffn_gate_exps.weight"
    refused(tmp_path, {}, said, tensors=odd, types=types)
    short = {**EMBEDDING, "rope_freqs.weight": np.ones(5, np.float32)}
    refused(tmp_path, {}, "rope_freqs.weight has not a factor for each", tensors=short)
