"""The GPU kernels against MLX's own, on a CUDA GPU. Prints JSON.

    python python/benchmarks/kernels.py [--only step norms] [--rows 1 8 16 32 64] [--rounds 5]

`step`: a decode step of a model of Llama 3's 8B shape with random weights, 4 bits in groups of 64,
the same for all variants: mlx-lm's own, with each kernel alone, with all of them, and bfloat16.
`norms`: RMSNorm, and sum and RMSNorm, as one kernel of ours, as `mx.fast`, as composed operations
and these compiled.

Variants alternate within a round. A figure is the median of its rounds' medians, in milliseconds
or microseconds, with the smallest and the largest of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from mlx_lm.models.cache import BatchKVCache, KVCache
from mlx_serving.kernels import norms
from mlx_serving.kernels.swap import swap

WIDTH = 4096
EPS = 1e-5
PADDING_MAX = 32
WARM_UP_STEPS = 5
NORMS_IN_A_ROW = 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=["step", "norms"], default=["step", "norms"])
    parser.add_argument("--variants", nargs="+", help="of a step; all if left out")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--context", type=int, default=200)
    parser.add_argument("--layers", type=int, default=32)
    arguments = parser.parse_args()
    if not mx.cuda.is_available():
        sys.exit("this needs MLX with a CUDA GPU")
    result: dict[str, Any] = {
        "device": mx.device_info()["device_name"],
        "mlx": mx.__version__,
        "context": arguments.context,
        "rounds": arguments.rounds,
    }
    if "norms" in arguments.only:
        result["norms_us"] = measure_norms(arguments)
    if "step" in arguments.only:
        result["step_ms"] = measure_steps(arguments)
    print(json.dumps(result, indent=1))


# --- steps ---


def measure_steps(arguments: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    models = variants(arguments.layers)
    if arguments.variants:
        models = {name: models[name] for name in arguments.variants}
    gc.collect()
    gc.freeze()
    found: dict[str, dict[int, list[float]]] = {name: {} for name in models}
    for rows in arguments.rows:
        rounds: dict[str, list[float]] = {name: [] for name in models}
        # The first round compiles.
        for round_ in range(arguments.rounds + 1):
            for name, model in models.items():
                milliseconds = step_milliseconds(model, rows, arguments)
                if round_ > 0:
                    rounds[name].append(milliseconds)
        for name, values in rounds.items():
            found[name][rows] = summary(values)
            print(f"{rows} rows, {name}: {found[name][rows]}", file=sys.stderr)
    return found


def variants(layers: int) -> dict[str, Any]:
    plain = model_8b(layers)
    nn.quantize(plain, group_size=64, bits=4)
    for _, array in tree_flatten(plain.parameters()):
        mx.eval(array)
    models = {"mlx-lm": plain}
    for name, parts in {
        "product": {"attentions": False},
        "attention": {"products": False},
        "both": {},
    }.items():
        model = model_8b(layers)
        nn.quantize(model, group_size=64, bits=4)
        model.update(plain.parameters())
        swap(model, **parts)
        models[name] = model
    with_norms = model_8b(layers)
    nn.quantize(with_norms, group_size=64, bits=4)
    with_norms.update(plain.parameters())
    swap(with_norms)
    for layer in with_norms.layers:
        layer.__class__ = BlockWithSumAndNorm
    models["both, sum and norm"] = with_norms
    dense = model_8b(layers)
    for _, array in tree_flatten(dense.parameters()):
        mx.eval(array)
    models["bfloat16"] = dense
    return models


class BlockWithSumAndNorm(llama.TransformerBlock):
    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        r = self.self_attn(self.input_layernorm(x), mask, cache)
        norm = self.post_attention_layernorm
        h, normed = norms.add_rms_norm(x, r, norm.weight, norm.eps)
        return h + self.mlp(normed)


def model_8b(layers: int) -> Any:
    model = llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=WIDTH,
            num_hidden_layers=layers,
            intermediate_size=14336,
            num_attention_heads=32,
            num_key_value_heads=8,
            rms_norm_eps=EPS,
            vocab_size=128256,
            rope_theta=500000.0,
            max_position_embeddings=8192,
            tie_word_embeddings=False,
        )
    )
    model.set_dtype(mx.bfloat16)
    return model


def step_milliseconds(model: Any, rows: int, arguments: argparse.Namespace) -> float:
    """The median of some steps, each queued before the one before is read, as a server does."""
    cache = filled_cache(model, rows, arguments.context)

    def step(tokens: mx.array) -> mx.array:
        return mx.argmax(model(tokens[:, None], cache=cache)[:, -1], axis=-1)

    tokens = step(mx.zeros((rows,), dtype=mx.uint32))
    for _ in range(WARM_UP_STEPS):
        tokens = step(tokens)
        mx.eval(tokens)
    times = []
    last = time.perf_counter()
    for _ in range(arguments.steps):
        following = step(tokens)
        mx.async_eval(following)
        mx.eval(tokens)
        now = time.perf_counter()
        times.append(now - last)
        last, tokens = now, following
    mx.eval(tokens)
    return statistics.median(times[1:]) * 1e3


def filled_cache(model: Any, rows: int, context: int) -> list[BatchKVCache]:
    """Sequences of different lengths."""
    caches = []
    for _ in model.layers:
        of_rows = []
        for row in range(rows):
            shape = (1, 8, context - row * 7 % PADDING_MAX, 128)
            cache = KVCache()
            cache.update_and_fetch(*(mx.random.normal(shape).astype(mx.bfloat16) for _ in "kv"))
            of_rows.append(cache)
        merged = BatchKVCache.merge(of_rows)
        mx.eval(merged.keys, merged.values)
        caches.append(merged)
    return caches


# --- norms ---


def measure_norms(arguments: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    weight = mx.random.normal((WIDTH,)).astype(mx.bfloat16)
    compiled = mx.compile(norms.rms_norm_reference)
    add_compiled = mx.compile(norms.add_rms_norm_reference)
    functions: dict[str, Callable[[mx.array], mx.array]] = {
        "norm, ours": lambda x: norms.rms_norm(x, weight, EPS),
        "norm, mx.fast": lambda x: mx.fast.rms_norm(x, weight, EPS),
        "norm, composed": lambda x: norms.rms_norm_reference(x, weight, EPS),
        "norm, compiled": lambda x: compiled(x, weight, EPS),
        "sum and norm, ours": lambda x: norms.add_rms_norm(x, x, weight, EPS)[1],
        "sum and norm, mx.fast": lambda x: mx.fast.rms_norm(x + x, weight, EPS),
        "sum and norm, composed": lambda x: norms.add_rms_norm_reference(x, x, weight, EPS)[1],
        "sum and norm, compiled": lambda x: add_compiled(x, x, weight, EPS)[1],
    }
    found: dict[str, dict[int, list[float]]] = {name: {} for name in functions}
    for rows in (1, 64, 4096):
        x = mx.random.normal((rows, WIDTH)).astype(mx.bfloat16)
        mx.eval(x)
        rounds: dict[str, list[float]] = {name: [] for name in functions}
        for round_ in range(arguments.rounds + 1):
            for name, function in functions.items():
                microseconds = norm_microseconds(function, x)
                if round_ > 0:
                    rounds[name].append(microseconds)
        for name, values in rounds.items():
            found[name][rows] = summary(values)
    return found


def norm_microseconds(function: Callable[[mx.array], mx.array], x: mx.array) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        y = x
        for _ in range(NORMS_IN_A_ROW):
            y = function(y)
        mx.eval(y)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / NORMS_IN_A_ROW * 1e6


def summary(values: list[float]) -> list[float]:
    """Median, smallest, largest."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


if __name__ == "__main__":
    main()
