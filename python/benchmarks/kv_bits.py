"""What a quantized KV cache loses, and what it costs in time. Prints JSON.

    python python/benchmarks/kv_bits.py [--model FOLDER] [--tokens 1024] [--rounds 5]

Loss: the log-probability of each true next token of the project's own pages, `--tokens` of each,
every one predicted from all before it on its page; against the same with a plain cache. `mean` and
`max` of |Δ log-probability|, and the ratio of the perplexities. It depends on no load.

Time: a decode step of one row with so many tokens before it, plain and quantized in turn; median,
smallest and largest of the rounds, in milliseconds. Only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mlx_serving.fast import blas

# Before MLX, which finds its names in it.
blas.load()

import mlx.core as mx  # noqa: E402
from mlx_lm.utils import load_tokenizer  # noqa: E402
from mlx_serving import fast  # noqa: E402
from mlx_serving.mlx.adapter import CacheFactory, bytes_of, load_weights  # noqa: E402
from mlx_serving.mlx.kv_quantization import quantization_of  # noqa: E402
from mlx_serving.models.sources import EMBEDDED_ID  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/OPERATIONS.md", "docs/NATIVE.md", "docs/CLIENT.md")
CHUNK_TOKENS = 128
BITS = (0, 8, 4)
STEPS_A_ROUND = 8
BUDGET_BYTES = 1 << 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a folder; the embedded model if left out")
    parser.add_argument("--tokens", type=int, default=1024, help="of each page")
    parser.add_argument("--rounds", type=int, default=5, help="0: no times")
    parser.add_argument("--depths", type=int, nargs="+", default=[256, 1024, 4096])
    arguments = parser.parse_args()
    folder = arguments.model or embedded()
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    weights = load_weights(folder, BUDGET_BYTES, on_gpu)
    weights_bytes = bytes_of(weights.model)
    report = None if on_gpu else fast.accelerate(weights.model).describe()
    tokenizer = load_tokenizer(folder)
    plain = CacheFactory(weights.model)
    caches = {bits: plain if bits == 0 else quantized(plain, bits) for bits in BITS}
    pages = [tokens_of(tokenizer, page, arguments.tokens) for page in PAGES]
    result: dict[str, Any] = {
        "model": folder.name,
        "weights_bytes": weights_bytes,
        "native": report,
        "pages": dict(zip(PAGES, map(len, pages), strict=True)),
        "bytes_per_token": {bits: bytes_per_token(one) for bits, one in caches.items()},
        "loss": loss(caches, pages),
    }
    if arguments.rounds:
        result["step_ms"] = times(caches, arguments.depths, arguments.rounds)
    print(json.dumps(result, indent=1))


def embedded() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("MLX_SERVING_CACHE") or Path(base, "mlx-serving")
    return Path(root, "models", EMBEDDED_ID)


def quantized(plain: CacheFactory, bits: Any) -> CacheFactory:
    def caches(found: Any) -> CacheFactory:
        return CacheFactory(plain.model, quantization=found)

    return caches(quantization_of(plain, caches, bits))


def tokens_of(tokenizer: Any, page: str, count: int) -> list[int]:
    found: list[int] = tokenizer.encode((ROOT / page).read_text("utf-8"))
    return found[: count + 1]


def bytes_per_token(caches: CacheFactory) -> float:
    cache = caches.new()
    caches.model(mx.array([[1]]), cache=cache)
    layer_tokens = cache[0].step
    return sum(layer.nbytes for layer in cache) / layer_tokens


def loss(caches: dict[int, CacheFactory], pages: list[list[int]]) -> dict[int, Any]:
    logprobs = {
        bits: mx.concatenate([page_logprobs(one, page) for page in pages])
        for bits, one in caches.items()
    }
    truth = logprobs[0]
    result: dict[int, Any] = {}
    for bits, mine in logprobs.items():
        difference = mx.abs(mine - truth)
        ratio = mx.exp(mx.mean(truth) - mx.mean(mine))
        result[bits] = {
            "tokens": mine.size,
            "perplexity": number(mx.exp(-mx.mean(mine))),
            "perplexity_ratio": number(ratio),
            "mean": number(mx.mean(difference)),
            "p99": number(mx.sort(difference)[int(0.99 * mine.size)]),
            "max": number(mx.max(difference)),
        }
    return result


def page_logprobs(caches: CacheFactory, page: list[int]) -> mx.array:
    cache = caches.new()
    parts = []
    for start in range(0, len(page) - 1, CHUNK_TOKENS):
        fed = page[start : min(start + CHUNK_TOKENS, len(page) - 1)]
        logits = caches.model(mx.array([fed]), cache=cache)[0].astype(mx.float32)
        true = mx.array(page[start + 1 : start + 1 + len(fed)])[:, None]
        chosen = mx.take_along_axis(logits, true, axis=-1)[:, 0]
        parts.append(chosen - mx.logsumexp(logits, axis=-1))
        mx.eval(parts[-1], [layer.state for layer in cache])
    return mx.concatenate(parts)


def number(array: mx.array) -> float:
    found: Any = array.item()
    return float(f"{found:.4g}")


def times(caches: dict[int, CacheFactory], depths: list[int], rounds: int) -> dict[int, Any]:
    result: dict[int, Any] = {}
    for depth in depths:
        steps = {bits: stepper(one, depth) for bits, one in caches.items()}
        found: dict[int, list[float]] = {bits: [] for bits in steps}
        for _ in range(rounds):
            for bits, step in steps.items():
                found[bits].append(step())
        result[depth] = {
            bits: [round(statistics.median(all), 3), round(min(all), 3), round(max(all), 3)]
            for bits, all in found.items()
        }
    return result


def stepper(caches: CacheFactory, depth: int) -> Callable[[], float]:
    cache = caches.new()
    for start in range(0, depth, CHUNK_TOKENS):
        fed = [1 + i % 500 for i in range(start, min(start + CHUNK_TOKENS, depth))]
        caches.model(mx.array([fed]), cache=cache)
        mx.eval([layer.state for layer in cache])

    def step() -> float:
        begun = time.perf_counter()
        for _ in range(STEPS_A_ROUND):
            mx.eval(caches.model(mx.array([[7]]), cache=cache))
        seconds = (time.perf_counter() - begun) / STEPS_A_ROUND
        for layer in cache:
            layer.trim(STEPS_A_ROUND)
        return 1000 * seconds

    return step


if __name__ == "__main__":
    main()
