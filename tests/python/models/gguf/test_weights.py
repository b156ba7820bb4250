"""Models out of GGUF files compute what mlx-lm computes with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from mlx.utils import tree_flatten
from mlx_lm.models.rope_utils import Llama3RoPE
from mlx_serving.failures import LoadFailed
from mlx_serving.mlx.adapter import Weights, load_gguf
from mlx_serving.models.gguf.file import read_gguf
from mlx_serving.models.gguf.folder import folder_of

import gguf_models

VOCABULARY = gguf_models.byte_level("qwen2", size=320)
TOKENS = mx.array([[5, 17, 250, 31, 8, 8, 99, 300, 12, 0]])
ARCHITECTURES = ("llama", "qwen2", "qwen3")


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    return {**gguf_models.metadata_of(config), **VOCABULARY.metadata}


def loaded(path: Path, on_gpu: bool = False) -> Weights:
    file = read_gguf(path)
    shares: list[float] = []
    with folder_of(file) as files:
        weights = load_gguf(
            file, files, 1 << 40, on_gpu, lambda done, total: shares.append(done / total)
        )
    assert shares == sorted(shares) and shares[-1] == 1
    return weights


def off(model: Any, expected: Any) -> float:
    """The largest difference between logits, of their spread."""
    logits = expected(TOKENS)
    return float(mx.max(mx.abs(model(TOKENS) - logits)) / mx.std(logits))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_mlx_lms(architecture: str, tied: bool, tmp_path: Path) -> None:
    model, config = gguf_models.random_model(
        architecture, VOCABULARY.size, tie_word_embeddings=tied
    )
    tensors = gguf_models.tensors_of(model, config)
    path = gguf_models.write(tmp_path / "m.gguf", architecture, metadata(config), tensors)
    weights = loaded(path)
    assert off(weights.model, model) < 1e-5
    assert weights.size_bytes == sum(array.nbytes for array in tensors.values())


def test_a_llama_with_biases(tmp_path: Path) -> None:
    model, config = gguf_models.random_model("llama", VOCABULARY.size, attention_bias=True)
    tensors = gguf_models.tensors_of(model, config)
    path = gguf_models.write(tmp_path / "m.gguf", "llama", metadata(config), tensors)
    assert off(loaded(path).model, model) < 1e-5


@pytest.mark.parametrize(("type", "dtype"), [(Type.F16, mx.float16), (Type.BF16, mx.bfloat16)])
def test_numbers_of_16_bits(type: Type, dtype: mx.Dtype, tmp_path: Path) -> None:
    """On a GPU they stay so, and all else has their type; on a CPU all are float32."""
    model, config = gguf_models.random_model("qwen2", VOCABULARY.size)
    tensors = gguf_models.tensors_of(model, config)
    path = gguf_models.write(tmp_path / "m.gguf", "qwen2", metadata(config), tensors, type)
    expected = {name: array.astype(dtype) for name, array in parameters(model).items()}
    assert_same(parameters(loaded(path, on_gpu=True).model), expected)
    on_cpu = loaded(path).model
    # Norms and biases lose nothing there.
    matrices = {name: array for name, array in expected.items() if array.ndim > 1}
    assert_same({**parameters(on_cpu), **matrices}, parameters(model) | matrices)
    assert {array.dtype for array in parameters(on_cpu).values()} == {mx.float32}


def parameters(model: Any) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def assert_same(some: dict[str, mx.array], others: dict[str, mx.array]) -> None:
    assert some.keys() == others.keys()
    for name, array in some.items():
        other = others[name]
        assert (array.dtype, bool(mx.array_equal(array, other))) == (other.dtype, True), name


@pytest.mark.parametrize(
    ("architecture", "types"),
    [
        ("llama", [Type.Q8_0, Type.Q4_0]),
        ("qwen2", [Type.Q4_1, Type.Q5_0, Type.Q5_1]),
        # What Q4_K_M and Q2_K files are made of.
        ("llama", [Type.Q4_K, Type.Q6_K, Type.Q5_K]),
        ("qwen3", [Type.Q2_K, Type.Q3_K]),
    ],
)
def test_quantized_weights_are_what_llama_cpp_reads_of_them(
    architecture: str, types: list[Type], tmp_path: Path
) -> None:
    model, config = gguf_models.random_model(architecture, VOCABULARY.size)
    tensors = gguf_models.tensors_of(model, config)
    matrices = [name for name, array in tensors.items() if array.ndim > 1]
    types_of = {name: types[at % len(types)] for at, name in enumerate(matrices)}
    whole = {name: read_back(array, types_of.get(name)) for name, array in tensors.items()}
    facts = metadata(config)
    path = gguf_models.write(tmp_path / "q.gguf", architecture, facts, tensors, types_of)
    quantized = loaded(path)
    plain = loaded(gguf_models.write(tmp_path / "f.gguf", architecture, facts, whole))
    # Half a step of 8 bits is what the recoded types may be off, in a model of random weights.
    recoded = {Type.Q2_K, Type.Q3_K, Type.Q6_K} & set(types)
    assert off(quantized.model, plain.model) < (0.2 if recoded else 1e-4)
    assert quantized.size_bytes < plain.size_bytes / 2
    halves = {
        name: array if array.dtype == mx.uint32 else array.astype(mx.float16)
        for name, array in parameters(quantized.model).items()
    }
    assert_same(parameters(loaded(path, on_gpu=True).model), halves)


def read_back(numbers: np.ndarray[Any, Any], type: Type | None) -> np.ndarray[Any, Any]:
    """By llama.cpp's package."""
    if type is None:
        return numbers
    blocks = gguf_models.quantized(numbers, type)
    return gguf.quants.dequantize(blocks, type).reshape(numbers.shape)


SCALINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": (
        {"rope_type": "linear", "factor": 4.0},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    ),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 128,
        },
    ),
}


@pytest.mark.parametrize("kind", SCALINGS)
def test_rotary_embeddings_are_scaled(kind: str, tmp_path: Path) -> None:
    scaling, entries = SCALINGS[kind]
    model, config = gguf_models.random_model("qwen2", VOCABULARY.size, rope_scaling=scaling)
    facts = metadata(config) | {f"qwen2.{key}": value for key, value in entries.items()}
    tensors = gguf_models.tensors_of(model, config)
    path = gguf_models.write(tmp_path / "m.gguf", "qwen2", facts, tensors)
    assert off(loaded(path).model, model) < 1e-5


def test_llama_3s_frequencies_are_factors_in_the_file(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    model, config = gguf_models.random_model("llama", VOCABULARY.size, rope_scaling=scaling)
    rope = model.layers[0].self_attn.rope
    assert isinstance(rope, Llama3RoPE)
    own = config["rope_theta"] ** (np.arange(0, 64, 2, dtype=np.float32) / 64)
    factors = (np.array(rope._freqs) / own).astype(np.float32)
    assert factors.max() == pytest.approx(8) and factors.min() == pytest.approx(1)
    tensors = gguf_models.tensors_of(model, config)
    facts = metadata(config)
    with_factors = {**tensors, "rope_freqs.weight": factors}
    path = gguf_models.write(tmp_path / "m.gguf", "llama", facts, with_factors)
    assert off(loaded(path).model, model) < 1e-4
    without = gguf_models.write(tmp_path / "without.gguf", "llama", facts, tensors)
    assert off(loaded(without).model, model) > 1e-2


def test_weights_that_do_not_fit_their_model(tmp_path: Path) -> None:
    model, config = gguf_models.random_model("llama", VOCABULARY.size)
    tensors = gguf_models.tensors_of(model, config)
    facts = metadata(config)
    missing = {name: array for name, array in tensors.items() if "blk.1.ffn_up" not in name}
    narrow = {**tensors, "blk.0.attn_v.weight": tensors["blk.0.attn_v.weight"][:64]}
    odd = {**tensors, "blk.0.attn_q.weight": tensors["blk.0.attn_q.weight"][:251]}
    further = {**tensors, "blk.7.attn_norm.weight": tensors["blk.0.attn_norm.weight"]}
    for changed, said in (
        (missing, "1 tensors are missing, as model.layers.1.mlp.up_proj.weight"),
        (narrow, "v_proj.weight has shape (64, 256)"),
        (odd, "can't make a llama of it"),
        (further, "1 tensors too many, as model.layers.7.input_layernorm.weight"),
    ):
        path = gguf_models.write(tmp_path / "m.gguf", "llama", facts, changed)
        with pytest.raises(LoadFailed) as caught:
            loaded(path)
        assert str(path) in str(caught.value) and said in str(caught.value)


def test_weights_past_the_memory_budget(tmp_path: Path) -> None:
    model, config = gguf_models.random_model("llama", VOCABULARY.size)
    tensors = gguf_models.tensors_of(model, config)
    path = gguf_models.write(tmp_path / "m.gguf", "llama", metadata(config), tensors)
    file = read_gguf(path)
    with folder_of(file) as files, pytest.raises(LoadFailed) as caught:
        load_gguf(file, files, 1000, False, lambda *_: None)
    assert caught.value.code == "memory_budget_exceeded"
