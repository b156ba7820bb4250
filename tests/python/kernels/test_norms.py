"""The GPU kernels against float64, their gradients, and where they are used.

On a CPU the same cases run on the plain operations that take a kernel's place; what needs CUDA is
skipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models import llama
from mlx_lm.models.base import scaled_dot_product_attention
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache
from mlx_serving import kernels
from mlx_serving.kernels import attention, device, layers, norms, products, swap
from mlx_serving.kernels.products import Matrix, Product

BACKEND = device.backend()
needs_cuda = pytest.mark.skipif(BACKEND != "cuda", reason="needs a CUDA GPU")

DTYPES = [mx.float32, mx.float16, mx.bfloat16]
TOLERANCES = {mx.float32: 2e-6, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}
EPS = 1e-5


def random(*shape: int, dtype: mx.Dtype = mx.float32, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype)


def wide(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32)).astype(np.float64)


def exact_norm(x: np.ndarray, weight: np.ndarray, eps: float = EPS) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def assert_close(found: mx.array, expected: np.ndarray, tolerance: float) -> None:
    assert tuple(found.shape) == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(wide(found), expected, rtol=0, atol=tolerance * scale)


# --- RMSNorm ---


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 64), (7, 33), (64, 4096), (4096, 16), (2, 3, 5, 128)])
def test_norm_is_exact_to_its_type(dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    x, weight = random(*shape, dtype=dtype), random(shape[-1], dtype=dtype, seed=1)
    found = norms.rms_norm(x, weight, EPS)
    assert found.dtype == dtype
    assert_close(found, exact_norm(wide(x), wide(weight)), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 7), (5, 1000), (3, 20_000), (2, 4, 96)])
def test_sum_and_norm(dtype: mx.Dtype, shape: tuple[int, ...]) -> None:
    x, residual = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=2)
    weight = random(shape[-1], dtype=dtype, seed=1)
    total, normed = norms.add_rms_norm(x, residual, weight, EPS)
    assert_close(total, wide(x) + wide(residual), TOLERANCES[dtype])
    # The norm is of the sum as it was rounded.
    assert_close(normed, exact_norm(wide(total), wide(weight)), TOLERANCES[dtype])


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 1000, 4096])
def test_norm_of_any_number_of_rows(rows: int) -> None:
    x, weight = random(rows, 40), random(40, seed=1)
    assert_close(norms.rms_norm(x, weight, EPS), exact_norm(wide(x), wide(weight)), 2e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 31, 255, 257, 1025, 4100])
def test_norm_of_any_width(width: int) -> None:
    x, weight = random(3, width, dtype=mx.float16), random(width, dtype=mx.float16, seed=1)
    assert_close(norms.rms_norm(x, weight, EPS), exact_norm(wide(x), wide(weight)), 2e-3)


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-5, 0.1, 10.0])
def test_eps_counts(eps: float) -> None:
    x, weight = 0.01 * random(4, 64), random(64, seed=1)
    assert_close(norms.rms_norm(x, weight, eps), exact_norm(wide(x), wide(weight), eps), 4e-6)


def test_norm_of_zeros_is_zero() -> None:
    assert not wide(norms.rms_norm(mx.zeros((2, 8)), mx.ones(8), EPS)).any()


def test_large_values_dont_overflow() -> None:
    x = mx.full((2, 64), 60_000.0, dtype=mx.float16)
    assert_close(norms.rms_norm(x, mx.ones(64, dtype=mx.float16), EPS), np.ones((2, 64)), 2e-3)


@pytest.mark.parametrize("shape", [(0, 16), (3, 0, 16), (0, 0, 16)])
def test_empty_input(shape: tuple[int, ...]) -> None:
    x = mx.zeros(shape)
    assert norms.rms_norm(x, mx.ones(16), EPS).shape == shape
    total, normed = norms.add_rms_norm(x, x, mx.ones(16), EPS)
    assert total.shape == shape
    assert normed.shape == shape


def test_one_dimension() -> None:
    x = random(48)
    assert_close(norms.rms_norm(x, mx.ones(48), EPS), exact_norm(wide(x), np.ones(48)), 2e-6)


def test_views() -> None:
    """Not contiguous, and not on a border of 16 bytes."""
    weight = random(64, seed=1)
    turned = random(64, 6).T
    assert_close(norms.rms_norm(turned, weight, EPS), exact_norm(wide(turned), wide(weight)), 2e-6)
    shifted = random(3 * 64 + 1)[1:].reshape(3, 64)
    assert_close(
        norms.rms_norm(shifted, weight, EPS), exact_norm(wide(shifted), wide(weight)), 2e-6
    )


def test_residual_is_broadcast() -> None:
    x, residual, weight = random(2, 5, 32), random(1, 1, 32, seed=2), random(32, seed=1)
    total, normed = norms.add_rms_norm(x, residual, weight, EPS)
    assert_close(total, wide(x) + wide(residual), 2e-6)
    assert_close(normed, exact_norm(wide(total), wide(weight)), 2e-6)


def test_types_are_promoted_as_mlx_does() -> None:
    x, weight = random(2, 32, dtype=mx.bfloat16), random(32, seed=1)
    found = norms.rms_norm(x, weight, EPS)
    assert found.dtype == mx.fast.rms_norm(x, weight, EPS).dtype == mx.float32
    assert_close(found, exact_norm(wide(x), wide(weight)), 2e-6)


@pytest.mark.parametrize("weight", [(5,), (8, 1), ()])
def test_a_weight_that_doesnt_fit_is_refused(weight: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="doesn't fit"):
        norms.rms_norm(mx.zeros((2, 8)), mx.zeros(weight), EPS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_as_mlx(dtype: mx.Dtype) -> None:
    x, weight = random(9, 512, dtype=dtype), random(512, dtype=dtype, seed=1)
    expected = wide(mx.fast.rms_norm(x, weight, EPS))
    assert_close(norms.rms_norm(x, weight, EPS), expected, TOLERANCES[dtype])


# --- gradients ---


def slope(f: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences in float64."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        above = f(moved)
        moved[place] -= 2 * step
        found[place] = (above - f(moved)) / (2 * step)
    return found


@pytest.mark.parametrize("shape", [(1, 5), (4, 12), (2, 3, 33)])
def test_gradient_of_norm_is_the_finite_difference(shape: tuple[int, ...]) -> None:
    x, weight, by = random(*shape), random(shape[-1], seed=1), random(*shape, seed=3)
    loss = lambda x, w: (norms.rms_norm(x, w, EPS) * by).sum()  # noqa: E731
    of_x, of_weight = mx.grad(loss, argnums=(0, 1))(x, weight)
    a, w, b = wide(x), wide(weight), wide(by)
    assert_close(of_x, slope(lambda v: float((exact_norm(v, w) * b).sum()), a), 2e-5)
    assert_close(of_weight, slope(lambda v: float((exact_norm(a, v) * b).sum()), w), 2e-5)


def test_gradient_of_sum_and_norm_is_the_finite_difference() -> None:
    x, residual, weight = random(3, 10), random(3, 10, seed=2), random(10, seed=1)
    by = random(3, 10, seed=3)

    def loss(x: mx.array, r: mx.array, w: mx.array) -> mx.array:
        total, normed = norms.add_rms_norm(x, r, w, EPS)
        return (normed * by).sum() + (total * total).sum()

    found = mx.grad(loss, argnums=(0, 1, 2))(x, residual, weight)
    a, r, w, b = wide(x), wide(residual), wide(weight), wide(by)
    exact = lambda s, w: float((exact_norm(s, w) * b).sum() + (s * s).sum())  # noqa: E731
    expected = slope(lambda v: exact(v + r, w), a)
    assert_close(found[0], expected, 5e-5)
    assert_close(found[1], expected, 5e-5)
    assert_close(found[2], slope(lambda v: exact(a + r, v), w), 5e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_are_mlxs(dtype: mx.Dtype) -> None:
    x, weight = random(5, 256, dtype=dtype), random(256, dtype=dtype, seed=1)
    by = random(5, 256, seed=3)
    gradients = [
        mx.grad(lambda x, w, f=f: (f(x, w, EPS).astype(mx.float32) * by).sum(), argnums=(0, 1))(
            x, weight
        )
        for f in (norms.rms_norm, mx.fast.rms_norm)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == dtype
        assert_close(ours, wide(theirs), 2 * TOLERANCES[dtype])


def test_gradients_of_half_precision_are_finite() -> None:
    x = random(3, 64, dtype=mx.float16) * 1000
    gradient = mx.grad(lambda x: norms.rms_norm(x, mx.ones(64, mx.float16), EPS).sum())(x)
    assert np.isfinite(wide(gradient)).all()


# --- products ---


def matrix(n: int, k: int, group_size: int, dtype: mx.Dtype, seed: int = 5) -> Matrix:
    return Matrix(*mx.quantize(random(n, k, dtype=dtype, seed=seed), group_size=group_size, bits=4))


def exact_product(x: mx.array, of: Matrix, group_size: int) -> np.ndarray:
    return wide(x) @ wide(mx.dequantize(*of, group_size=group_size, bits=4)).T


@pytest.mark.parametrize(
    ("tiles", "rows"),
    [(1, 1), (1, 8), (2, 9), (2, 16), (4, 17), (4, 32), (8, 33), (8, 64), (8, 500)],
)
def test_rows_take_the_smallest_kernel(tiles: int, rows: int) -> None:
    assert products.tiles_of(rows) == tiles


@pytest.mark.parametrize(
    ("fits", "n", "k", "bits", "group_size", "mode"),
    [
        (True, 4096, 4096, 4, 64, "affine"),
        (True, 16, 128, 4, 32, "affine"),
        (True, 1040, 256, 4, 128, "affine"),
        (False, 4096, 4096, 8, 64, "affine"),
        (False, 4096, 4096, 4, 64, "mxfp4"),
        (False, 4096, 576, 4, 64, "affine"),
        (False, 4096, 128, 4, 128, "affine"),
        (False, 8, 4096, 4, 64, "affine"),
    ],
)
def test_which_matrices_fit(
    fits: bool, n: int, k: int, bits: int, group_size: int, mode: str
) -> None:
    assert products.fits(n, k, bits, group_size, mode) == fits


SIZES = [1024, 4096, 6144, 14336, 28672, 128256]


@pytest.mark.parametrize("rows", [1, 8, 16, 32, 64, 400])
@pytest.mark.parametrize("k", [1024, 4096, 14336])
def test_plans_fit_a_block(rows: int, k: int) -> None:
    for n in SIZES:
        shape, split = layers.plan(rows, n, k)
        assert shape.shared_bytes(products.tiles_of(rows), 32) <= 227 * 1024
        assert 1 <= split <= 4
        assert shape.threads <= 256


@needs_cuda
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 31, 32, 33, 64, 65, 200])
@pytest.mark.parametrize(
    ("sizes", "k", "group_size", "dtype"),
    [
        ((512, 128, 128), 512, 64, mx.bfloat16),
        ((528,), 1024, 32, mx.float16),
        ((304, 304), 768, 128, mx.bfloat16),
    ],
    ids=str,
)
def test_product(
    rows: int, sizes: tuple[int, ...], k: int, group_size: int, dtype: mx.Dtype
) -> None:
    matrices = [matrix(n, k, group_size, dtype, seed) for seed, n in enumerate(sizes)]
    x = random(rows, k, dtype=dtype, seed=9)
    shape, _ = layers.plan(rows, sum(sizes), k)
    for split in (1, 3):
        found = Product(matrices, group_size, lambda *_, split=split: (shape, split))(x)
        for out, of in zip(found, matrices, strict=True):
            assert out.dtype == dtype
            assert_close(out, exact_product(x, of, group_size), TOLERANCES[dtype] / 2)


@needs_cuda
@pytest.mark.parametrize("rows", [1, 5, 64, 600])
def test_layer_on_cuda(rows: int) -> None:
    layer = quantized(256, 512, bias=True)
    x = random(rows, 1, 256, dtype=mx.bfloat16)
    expected = exact_product(x, Matrix(layer.weight, layer.scales, layer.biases), 64)
    swap.swap(holder := Holder(layer))
    assert type(holder.layer) is layers.FewRowsLinear
    assert_close(holder.layer(x), expected + wide(layer.bias), 1.6e-2)


# --- attention ---


def attention_inputs(
    rows: int, heads: int, kv_heads: int, tokens: int, dim: int, dtype: mx.Dtype = mx.bfloat16
) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """As a cache gives them: a part of its room, and padding on the left."""
    q = random(rows, heads, 1, dim, dtype=dtype)
    k, v = (
        random(rows, kv_heads, tokens + 19, dim, dtype=dtype, seed=seed)[:, :, :tokens]
        for seed in (1, 2)
    )
    padding = mx.array([(i * 5) % max(1, tokens - 1) for i in range(rows)])
    return q, k, v, padding[:, None, None, None] <= mx.arange(tokens)[None, None, None]


@needs_cuda
@pytest.mark.parametrize(
    ("rows", "heads", "kv_heads", "tokens", "dim"),
    [
        (1, 32, 8, 1000, 128),
        (3, 9, 3, 1, 64),
        (5, 32, 8, 77, 128),
        (64, 8, 2, 130, 128),
        (2, 8, 8, 40, 128),
        (2, 64, 8, 300, 128),
        (2, 8, 2, 99, 256),
    ],
)
def test_attention(rows: int, heads: int, kv_heads: int, tokens: int, dim: int) -> None:
    q, k, v, mask = attention_inputs(rows, heads, kv_heads, tokens, dim)
    assert attention.fits(q, k, v, mask)
    floats = [array.astype(mx.float32) for array in (q, k, v)]
    expected = mx.fast.scaled_dot_product_attention(*floats, scale=dim**-0.5, mask=mask)
    assert_close(attention.attention(q, k, v, dim**-0.5, mask), wide(expected), 1e-2)
    everything = mx.fast.scaled_dot_product_attention(*floats, scale=dim**-0.5)
    assert_close(attention.attention(q, k, v, dim**-0.5, None), wide(everything), 1e-2)


def test_what_attention_takes() -> None:
    q, k, v, mask = attention_inputs(2, 4, 2, 10, 64)
    assert attention.fits(q, k, v, mask)
    assert attention.fits(q, k, v, None)
    assert not attention.fits(q, k, v, "causal")
    assert not attention.fits(q, k, v, mask.astype(mx.bfloat16))
    assert not attention.fits(q, k, v, mask[:, :, :, :9])
    assert not attention.fits(q.astype(mx.float32), k, v, mask)
    assert not attention.fits(mx.concatenate([q, q], axis=2), k, v, mask)
    assert not attention.fits(q[..., :32], k[..., :32], v[..., :32], mask)
    assert not attention.fits(q, k, v[..., :32], mask)


def test_attention_that_doesnt_fit_is_mlx_lms() -> None:
    q, k, v, mask = attention_inputs(2, 4, 2, 10, 64, mx.float32)
    for given in (mask, None):
        ours = swap.attention_with_cache(q, k, v, cache=None, scale=0.125, mask=given)
        theirs = scaled_dot_product_attention(q, k, v, cache=None, scale=0.125, mask=given)
        assert mx.array_equal(ours, theirs)


# --- the swap ---


def quantized(inputs: int, outputs: int, bias: bool = False) -> nn.QuantizedLinear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    layer.set_dtype(mx.bfloat16)
    return layer.to_quantized(group_size=64, bits=4)


class Holder(nn.Module):
    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        for name, child in zip(("layer", "second", "third"), children, strict=False):
            setattr(self, name, child)


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


@pytest.mark.parametrize("backend_name", ["cuda", "metal"])
def test_only_measured_gains_are_on(backend_name: str) -> None:
    for verdict in kernels.VERDICTS:
        if verdict.backend == backend_name and verdict.on:
            assert verdict.gain is not None
            assert verdict.gain >= 0.10


def test_the_cpu_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.cpu))
    assert device.backend() is None


def test_report_is_one_line(fake_product: list[int]) -> None:
    report = swap.swap(toy_model())
    report.backend = "cuda"
    assert "\n" not in report.describe()
    assert "15 products" in report.describe()


# --- sources ---


@pytest.mark.parametrize("name", ["product.cuh", "attention.cuh", "norm.cuh", "norm.metal"])
def test_sources_are_there_and_balanced(name: str) -> None:
    text = re.sub(r"//.*", "", device.source(name))
    for opening, closing in ("()", "{}", "[]"):
        assert text.count(opening) == text.count(closing)


@pytest.mark.parametrize("key", norms.METAL_BODIES, ids=str)
def test_metal_bodies_name_their_arguments(key: tuple[str, bool]) -> None:
    """MLX passes a kernel only those attributes and shapes that its text names."""
    body = norms.METAL_BODIES[key]
    for name in ("x_shape", "eps[0]", "weight[i]", "threadgroup_position_in_grid"):
        assert name in body
    for opening, closing in ("()", "{}", "[]"):
        assert body.count(opening) == body.count(closing)


def test_cuda_headers_are_included_by_path() -> None:
    line = device.include("product.cuh")
    path = re.fullmatch(r'#include "(/.+/product\.cuh)"\n', line)
    assert path
