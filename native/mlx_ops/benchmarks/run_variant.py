"""Measures one variant of the engine in a process of its own: `compare.py` starts it.

Prints one JSON object a measurement: {"what", "tokens_per_second"}. Variants:
  stock      MLX as pip gives it
  blas       the same with an optimized BLAS under it and float32 weights
  fast       krserve_mlx_ops, and the BLAS
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("stock", "blas", "fast"), required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 8, 16])
    parser.add_argument("--prefill", type=int, default=300)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    model = load(arguments.variant, arguments.model)
    prefill(model, 8)
    if arguments.prefill:
        report("prefill", best(arguments.seconds, lambda: prefill(model, arguments.prefill)))
    for rows in arguments.rows:
        batch = Batch(model, rows, arguments.context)
        report(f"{rows} rows", best(arguments.seconds, batch.decode))


def load(variant: str, folder: Path, keep_quantized: bool = False) -> Any:
    if variant != "stock":
        from mlx_serving.fast import blas

        assert blas.load()["on"], blas.status()
    import mlx.core as mx
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    if variant == "blas" and not keep_quantized:
        dequantize(model)
    if variant == "fast":
        from mlx_serving.fast import accelerate

        done = accelerate(model)
        assert done.on, done.reason
        print(done.describe(), file=sys.stderr)
    mx.eval(model.parameters())
    return model


def dequantize(model: Any) -> None:
    """To float32, for which MLX calls the BLAS."""
    import mlx.nn as nn
    from mlx_lm.utils import dequantize_model

    dequantize_model(model)
    assert not any(isinstance(module, nn.QuantizedLinear) for module in model.modules())


def best(seconds: float, measure: Any) -> float:
    """The best of the measurements that fit into the time; others disturb, nothing speeds up."""
    measured = [measure()]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        measured.append(measure())
    return max(measured)


def prefill(model: Any, tokens: int) -> float:
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    prompt = mx.arange(10, 10 + tokens)[None]
    start = time.perf_counter()
    model(prompt, cache=cache)
    mx.eval([layer.state for layer in cache])
    return tokens / (time.perf_counter() - start)


class Batch:
    """Rows of about `context` tokens that decode together, greedily, each step queued before the
    last one is read, as the server does it."""

    steps = 8

    def __init__(self, model: Any, rows: int, context: int) -> None:
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        self.model = model
        one = make_prompt_cache(model)
        model(mx.arange(10, 10 + context)[None], cache=one)
        mx.eval([layer.state for layer in one])
        caches = [deepcopy(one) for _ in range(rows)]
        for i, cache in enumerate(caches):
            for layer in cache:
                layer.trim(i % 5)
        self.cache = [layers[0].merge(list(layers)) for layers in zip(*caches, strict=True)]
        self.tokens = mx.array([5] * rows)
        self.tokens = self.step()

    def step(self) -> Any:
        import mlx.core as mx

        logits = self.model(self.tokens[:, None], cache=self.cache)[:, -1, :]
        tokens = mx.argmax(logits, axis=-1)
        mx.async_eval(tokens)
        return tokens

    def decode(self) -> float:
        start = time.perf_counter()
        for _ in range(self.steps):
            following = self.step()
            self.tokens.tolist()
            self.tokens = following
        return self.steps * self.tokens.size / (time.perf_counter() - start)


def report(what: str, tokens_per_second: float) -> None:
    print(json.dumps({"what": what, "tokens_per_second": tokens_per_second}), flush=True)


if __name__ == "__main__":
    # A setting for one machine's OpenBLAS is none for a comparison.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    main()
