"""Models of mlx-lm, small and random: accelerated against stock MLX in float32 on the same
weights, in every way that the server runs them."""

from __future__ import annotations

# First: it skips this file where the module is not built.
# isort: off
from fast_cases import DTYPES, ISAS, bits_of, exact, using
# isort: on

import importlib
from copy import deepcopy
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache
from mlx_serving.fast import accelerate
from mlx_serving.fast.blocks import FastBlock
from mlx_serving.fast.layers import FastQuantizedEmbedding, FastQuantizedLinear

import toy

# Of a logit, of the size of some 1 to 10 here: the products' tolerance through a few layers.
TOLERANCE = 2e-3

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "mscale": 1.0,
    "mscale_all_dim": 0.5,
}
LONG = {
    "rope_type": "longrope",
    "original_max_position_embeddings": 64,
    "short_factor": [1.0] * 8,
    "long_factor": [1.0 + i / 4 for i in range(8)],
}

FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "untied": ("llama", {"tie_word_embeddings": False}),
    "traditional": ("llama", {"rope_traditional": True}),
    "linear rope": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "llama3 rope": ("llama", {"rope_scaling": LLAMA3}),
    "yarn rope": ("llama", {"rope_scaling": YARN}),
    "long rope": ("llama", {"rope_scaling": LONG}),
    "wide heads": ("llama", {"head_dim": 32}),
    "sliding": (
        "llama",
        {
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "sliding_window": 8,
        },
    ),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 2}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 16, "rope_theta": 10000.0, "tie_word_embeddings": True}),
}
GENERIC: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": ("gemma3_text", {"head_dim": 16, "sliding_window": 8, "sliding_window_pattern": 2}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "phi3": (
        "phi3",
        {"rope_theta": 10000.0, "rope_scaling": None, "original_max_position_embeddings": 512},
    ),
    "cohere": ("cohere", {"layer_norm_eps": 1e-5, "logit_scale": 0.1}),
    "stablelm": (
        "stablelm",
        {
            "partial_rotary_factor": 0.25,
            "layer_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "use_qkv_bias": True,
        },
    ),
    "odd heads": ("llama", {"head_dim": 24}),
}
ALL = FUSED | GENERIC


def build(name: str, dtype: mx.Dtype = mx.float32, bits: int = 4, group: int = 32) -> Any:
    """The model, quantized."""
    architecture, changes = ALL[name]
    module = importlib.import_module(f"mlx_lm.models.{architecture}")
    options = {"model_type": architecture, **toy.SMALL, **changes}
    mx.random.seed(3)
    model = module.Model(module.ModelArgs.from_dict(options))
    model.update(toy.mx_map(lambda array: array * 1.5, model.parameters()))
    for key, layer in model.named_modules():
        # Biases begin as zeros, and norms as ones.
        for part in ("bias", "weight"):
            if part in layer and layer[part].ndim == 1:
                layer[part] = layer[part] + mx.sin(mx.arange(layer[part].size) + len(key)) * 0.3
    model.set_dtype(dtype)
    nn.quantize(
        model,
        group_size=group,
        bits=bits,
        class_predicate=lambda _, m: hasattr(m, "to_quantized") and m.weight.shape[-1] % group == 0,
    )
    mx.eval(model.parameters())
    return model


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """Accelerated, and stock in float32 with the same numbers."""
    fast, stock = build(name, **options), build(name, **options)
    report = accelerate(fast)
    assert report.on, report.reason
    stock.set_dtype(mx.float32)
    return fast, stock


def tokens(seed: int, *shape: int) -> mx.array:
    return mx.array(np.random.default_rng(seed).integers(0, toy.SMALL["vocab_size"], size=shape))


def assert_close(ours: mx.array, theirs: mx.array, tolerance: float = TOLERANCE) -> None:
    assert np.abs(exact(ours) - exact(theirs)).max() <= tolerance * (
        1 + np.abs(exact(theirs)).max()
    )


def run(model: Any) -> list[mx.array]:
    """Logits of a prefill in two chunks, then of decode steps of three rows of different length,
    one of which joins later and one of which leaves."""
    out = []
    rows = []
    for seed, length in ((1, 21), (2, 3), (3, 9)):
        cache = make_prompt_cache(model)
        prompt = tokens(seed, 1, length)
        out.append(model(prompt[:, :2], cache=cache))
        out.append(model(prompt[:, 2:], cache=cache))
        rows.append(cache)
    batch = [layers[0].merge(list(layers)) for layers in zip(rows[0], rows[1], strict=True)]
    out.append(model(tokens(4, 2, 1), cache=batch))
    late = [layers[0].merge(list(layers)) for layers in zip(rows[2], strict=True)]
    for mine, theirs in zip(batch, late, strict=True):
        mine.extend(theirs)
    out += [model(tokens(5 + i, 3, 1), cache=batch) for i in range(4)]
    for layer in batch:
        layer.filter([1, 2])
    out.append(model(tokens(10, 2, 1), cache=batch))
    return out


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", list(ALL))
def test_model(name: str, isa: str) -> None:
    with using(isa):
        fast, stock = pair(name)
        prompt = tokens(1, 2, 11)
        assert_close(fast(prompt), stock(prompt))
        for ours, theirs in zip(run(fast), run(stock), strict=True):
            assert_close(ours, theirs)


@pytest.mark.parametrize("name", list(FUSED))
def test_blocks_of_the_family_are_fused(name: str) -> None:
    model = build(name)
    report = accelerate(model)
    assert report.blocks == len(model.layers)
    assert all(isinstance(layer, FastBlock) for layer in model.layers)
    assert report.kept == {}


@pytest.mark.parametrize("name", list(GENERIC))
def test_other_blocks_are_not(name: str) -> None:
    model = build(name)
    assert accelerate(model).blocks == 0
    assert any(isinstance(module, FastQuantizedLinear) for module in model.modules())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["biases", "qwen3", "gemma3", "mixtral"])
def test_types(name: str, dtype: mx.Dtype) -> None:
    """Results of 16 bits can't be closer to the exact ones than stock MLX's in that type are."""
    fast, exact_model = pair(name, dtype=dtype)
    stock = build(name, dtype=dtype)
    for ours, same, theirs in zip(run(fast), run(stock), run(exact_model), strict=True):
        assert ours.dtype == same.dtype
        error = np.abs(exact(same) - exact(theirs)).max()
        assert np.abs(exact(ours) - exact(theirs)).max() <= 2 * error + TOLERANCE * 10


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64])
def test_quantizations(bits: int, group: int) -> None:
    fast, stock = pair("llama", bits=bits, group=group)
    for ours, theirs in zip(run(fast), run(stock), strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["llama", "qwen3", "biases"])
def test_a_token_is_the_same_alone_and_in_a_batch(name: str) -> None:
    fast, _ = pair(name)
    prompt = tokens(1, 1, 40)
    whole = fast(prompt)
    step_by_step = make_prompt_cache(fast)
    for i in range(40):
        logits = fast(prompt[:, i : i + 1], cache=step_by_step)
        assert bits_of(logits) == bits_of(whole[:, i : i + 1])
    rows = [make_prompt_cache(fast) for _ in range(3)]
    for i, cache in enumerate(rows):
        fast(prompt[:, : 39 - 7 * i], cache=cache)
    batch = [layers[0].merge(list(layers)) for layers in zip(*rows, strict=True)]
    last = mx.concatenate([prompt[:, 39 - 7 * i : 40 - 7 * i] for i in range(3)])
    logits = fast(last, cache=batch)
    for i in range(3):
        assert bits_of(logits[i]) == bits_of(whole[0, 39 - 7 * i : 40 - 7 * i])


def test_memory_that_others_use_is_not_written_to() -> None:
    fast, _ = pair("llama")
    cache = make_prompt_cache(fast)
    fast(tokens(1, 1, 9), cache=cache)
    kept = deepcopy(cache)
    aliases = [(layer.keys, layer.values) for layer in cache]
    views = [layer.keys[..., 2:7, :] for layer in cache]
    mx.eval(aliases, views)
    before = [bits_of(array) for array in (*sum(aliases, ()), *views)]
    first = [fast(tokens(2 + i, 1, 1), cache=cache) for i in range(3)]
    mx.eval(first)
    assert [bits_of(array) for array in (*sum(aliases, ()), *views)] == before
    # The same again from the copy, which nothing has touched.
    again = [fast(tokens(2 + i, 1, 1), cache=kept) for i in range(3)]
    assert [bits_of(array) for array in again] == [bits_of(array) for array in first]


def test_steps_that_are_queued_before_others_are_done() -> None:
    fast, _ = pair("llama")
    results = []
    for wait in (True, False):
        cache = make_prompt_cache(fast)
        fast(tokens(1, 1, 9), cache=cache)
        row = [layers[0].merge(list(layers)) for layers in zip(cache, strict=True)]
        token, logits = mx.array([[3]]), []
        for _ in range(40):
            step = fast(token, cache=row)
            token = mx.argmax(step, axis=-1)
            mx.async_eval(token)
            logits.append(step)
            if wait:
                mx.eval(token)
        results.append([bits_of(array) for array in logits])
    assert results[0] == results[1]


def test_a_quantized_cache_takes_the_way_of_mlx() -> None:
    results = []
    for model in pair("wide heads"):
        cache = make_prompt_cache(model)
        model(tokens(1, 1, 9), cache=cache)
        cache = [layer.to_quantized(group_size=32, bits=8) for layer in cache]
        results.append(model(tokens(2, 1, 1), cache=cache))
    assert_close(*results, tolerance=1e-2)


def test_layers_that_are_not_covered_stay() -> None:
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs(model_type="llama", **toy.SMALL))
    nn.quantize(model, mode="mxfp4", class_predicate=lambda path, m: "up_proj" in path)
    nn.quantize(
        model, group_size=32, bits=4, class_predicate=lambda path, m: isinstance(m, nn.Linear)
    )
    mx.eval(model.parameters())
    stock = deepcopy(model)
    report = accelerate(model)
    assert report.blocks == 0
    assert report.kept == {"quantization mode mxfp4": 2}
    assert "mxfp4" in report.describe()
    for ours, theirs in zip(run(model), run(stock), strict=True):
        assert_close(ours, theirs)


def test_a_model_that_is_not_quantized() -> None:
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs(model_type="llama", **toy.SMALL))
    stock = deepcopy(model)
    report = accelerate(model)
    assert report.on and report.matrices == 0 and report.packed_bytes == 0
    for ours, theirs in zip(run(model), run(stock), strict=True):
        assert_close(ours, theirs)


def test_nothing_of_mlx_is_changed() -> None:
    rms_norm, rope = mx.fast.rms_norm, mx.fast.rope
    block, swiglu = llama.TransformerBlock.__call__, llama.swiglu
    fast, stock = pair("llama")
    assert mx.fast.rms_norm is rms_norm and mx.fast.rope is rope
    assert llama.TransformerBlock.__call__ is block and llama.swiglu is swiglu
    assert type(stock.layers[0]) is llama.TransformerBlock
    assert isinstance(fast.layers[0], llama.TransformerBlock)


def test_twice_is_once() -> None:
    model = build("llama")
    first = accelerate(model)
    assert first.matrices > 0
    classes = [type(module) for module in model.modules()]
    second = accelerate(model)
    assert second.matrices == 0
    assert [type(module) for module in model.modules()] == classes


def test_original_weights_are_gone() -> None:
    model = build("untied")
    accelerate(model)
    for module in model.modules():
        if isinstance(module, FastQuantizedLinear | FastQuantizedEmbedding):
            assert not {"weight", "scales", "biases"} & set(module)
