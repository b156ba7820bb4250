"""A model whose layers use the kernels computes the same, and MLX's own classes stay."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import llama
from mlx_lm.models.base import (
    quantized_scaled_dot_product_attention,
    scaled_dot_product_attention,
)
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache
from mlx_serving import kernels
from mlx_serving.kernels import attention, layers, swap
from mlx_serving.kernels.products import Matrix, Product
from mlx_serving.kv.quantized import BatchQuantizedCache, KvQuantization

from kernel_cases import (
    BACKEND,
    Holder,
    assert_close,
    exact_product,
    needs_cuda,
    quantized,
    random,
    wide,
)


def toy_model() -> Any:
    args = llama.ModelArgs(
        model_type="llama",
        hidden_size=256,
        num_hidden_layers=2,
        intermediate_size=512,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=320,
        tie_word_embeddings=True,
    )
    mx.random.seed(3)
    model = llama.Model(args)
    model.set_dtype(mx.bfloat16)
    nn.quantize(model, group_size=64, bits=4)
    mx.eval(model.parameters())
    return model


@pytest.fixture
def fake_product(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """MLX's own product in the kernel's place; the list gets how many matrices each call has."""
    calls: list[int] = []

    def product(self: Product, x: mx.array) -> list[mx.array]:
        calls.append(len(self._sizes))
        matrices = [self._arrays[i * 3 : i * 3 + 3] for i in range(len(self._sizes))]
        options = {"transpose": True, "group_size": self._group_size, "bits": 4}
        return [mx.quantized_matmul(x, *matrix, **options) for matrix in matrices]

    monkeypatch.setattr(Product, "__call__", product)
    monkeypatch.setattr(attention, "fits", lambda *_: False)
    return calls


def decode(model: Any, rows: int, steps: int = 3) -> mx.array:
    """Logits of a batch whose sequences have different lengths."""
    caches = []
    for row in range(rows):
        cache = make_prompt_cache(model)
        model(mx.arange(3 + row)[None], cache=cache)
        caches.append(cache)
    cache = [BatchKVCache.merge(list(layer)) for layer in zip(*caches, strict=True)]
    logits = [model(mx.arange(rows)[:, None] + step, cache=cache) for step in range(steps)]
    return mx.concatenate(logits, axis=1)


def test_swapped_model_computes_the_same(fake_product: list[int]) -> None:
    model = toy_model()
    expected = wide(decode(model, 3))
    report = swap.swap(model)
    assert report.products == 15
    assert report.attentions == 2
    assert report.kept == 0
    assert_close(decode(model, 3), expected, 1.6e-2)
    # Queries, keys and values; output; gate and up; down: four a layer, and the logits.
    assert fake_product[-9:] == [3, 1, 2, 1, 3, 1, 2, 1, 1]


@needs_cuda
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_swapped_model_computes_the_same_on_cuda(rows: int) -> None:
    model = toy_model()
    expected = wide(decode(model, rows))
    assert kernels.accelerate(model).on
    assert_close(decode(model, rows), expected, 3e-2)


@pytest.mark.parametrize("paddings", [[0], [0, 5]])
@pytest.mark.parametrize("tokens", [1, 6])
def test_quantized_keys_are_read_as_floats_on_cuda(
    paddings: list[int], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where MLX's products with codes lack the shapes; the mathematics is theirs."""
    if BACKEND is None:
        monkeypatch.setattr(swap, "backend", lambda: "cuda")
        monkeypatch.setattr(attention, "fits", lambda *arrays: False)
    rows = len(paddings)
    cache = BatchQuantizedCache(KvQuantization(8, 64), paddings)
    keys, values = cache.update_and_fetch(*random(2, rows, 2, 20, 64))
    keys, values = cache.update_and_fetch(*random(2, rows, 2, tokens, 64))
    queries = random(rows, 4, tokens, 64)
    mask = mx.arange(20 + tokens)[None, :] <= mx.arange(20, 20 + tokens)[:, None]
    mask = mask & (mx.arange(20 + tokens)[None, :] >= mx.array(paddings)[:, None, None, None])
    found = swap.attention_with_cache(queries, keys, values, cache, 0.125, mask)
    with mx.stream(mx.cpu):
        truth = quantized_scaled_dot_product_attention(
            queries, tuple(keys), tuple(values), 0.125, mask, 64, 8
        )
        mx.eval(truth)
    assert_close(found, wide(truth), 1e-3)


def test_swapping_twice_changes_nothing(fake_product: list[int]) -> None:
    model = toy_model()
    swap.swap(model)
    classes = [type(module) for _, module in model.named_modules()]
    assert swap.swap(model).products == 0
    assert [type(module) for _, module in model.named_modules()] == classes


def test_mlxs_own_classes_stay_as_they_are(fake_product: list[int]) -> None:
    swap.swap(toy_model())
    assert "siblings" not in vars(nn.QuantizedLinear)
    call = llama.Attention.__call__
    assert call.__globals__[swap.ATTENTION] is scaled_dot_product_attention


@pytest.mark.parametrize(
    ("bits", "group_size", "dtype"),
    [(8, 64, mx.bfloat16), (4, 64, mx.float32), (3, 64, mx.float16)],
)
def test_what_has_no_kernel_stays_mlxs(bits: int, group_size: int, dtype: mx.Dtype) -> None:
    layer = nn.Linear(256, 64)
    layer.set_dtype(dtype)
    holder = Holder(layer.to_quantized(group_size=group_size, bits=bits))
    report = swap.swap(holder)
    assert type(holder.layer) is nn.QuantizedLinear
    assert (report.products, report.kept) == (0, 1)


def pair() -> Holder:
    return Holder(quantized(128, 64), quantized(128, 64))


def joined(holder: Holder) -> layers.Siblings:
    swap.swap(holder)
    siblings = layers.Siblings([holder.layer, holder.second])
    holder.layer.siblings = holder.second.siblings = siblings
    return siblings


def test_layers_with_another_input_are_computed_apart(fake_product: list[int]) -> None:
    """A module may have the names, and yet give each layer an input of its own."""
    holder = pair()
    first, second = random(3, 128, dtype=mx.bfloat16), random(3, 128, dtype=mx.bfloat16, seed=1)
    expected = holder.layer(first), holder.second(second)
    siblings = joined(holder)
    for _ in range(5):
        assert mx.array_equal(holder.layer(first), expected[0])
        assert mx.array_equal(holder.second(second), expected[1])
    assert siblings.are_apart
    assert fake_product[-2:] == [1, 1]


def test_siblings_keep_no_input_when_all_are_served(fake_product: list[int]) -> None:
    holder = pair()
    siblings = joined(holder)
    x = random(3, 128, dtype=mx.bfloat16)
    holder.layer(x), holder.second(x)
    assert siblings._input is None
    assert fake_product == [2]


@pytest.mark.parametrize("rows", [0, 1, layers.FEW_ROWS_MIN - 1, layers.DENSE_ROWS_MIN])
def test_too_many_rows_and_too_few_are_mlxs(rows: int, fake_product: list[int]) -> None:
    holder = pair()
    x = random(rows, 128, dtype=mx.bfloat16)
    layer = holder.layer
    expected = exact_product(x, Matrix(layer.weight, layer.scales, layer.biases), 64)
    swap.swap(holder)
    assert_close(holder.layer(x), expected, 3e-2)
    assert fake_product == []


def test_another_type_of_input_is_mlxs(fake_product: list[int]) -> None:
    holder = pair()
    swap.swap(holder)
    holder.layer(random(3, 128))
    assert fake_product == []


# --- the face ---


@pytest.mark.skipif(BACKEND == "cuda", reason="there are kernels here")
def test_without_cuda_a_model_stays_as_it_is() -> None:
    model = toy_model()
    classes = [type(module) for _, module in model.named_modules()]
    report = kernels.accelerate(model)
    assert not report.on
    assert report.reason
    assert report.reason in report.describe()
    assert [type(module) for _, module in model.named_modules()] == classes


def test_on_metal_nothing_is_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "backend", lambda: "metal")
    report = kernels.accelerate(toy_model())
    assert not report.on
    assert "Metal" in (report.reason or "")


def test_report_is_one_line(fake_product: list[int]) -> None:
    report = swap.swap(toy_model())
    report.backend = "cuda"
    assert "\n" not in report.describe()
    assert "15 products" in report.describe()
