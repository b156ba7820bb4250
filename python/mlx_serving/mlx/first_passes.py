"""The first forward passes of a loaded model: they touch its weights, compile on a GPU, and tell
what a pass costs and how much memory a token takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import mlx.core as mx

from .caches import Cache, Caches
from .memory import KvCost, kv_cost
from .pass_cost import PassCost

WARM_UP_TOKENS: Final = 4
# A second length tells what a token costs from what a pass does.
WARM_UP_CHUNK_TOKENS: Final = 32
WARM_UP_CHUNK_TOKENS_MIN: Final = 8
WARM_UP_CHUNK_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class FirstPasses:
    pass_seconds: float
    """Of a decode step of one row."""
    cost: PassCost
    kv_cost: KvCost
    vocabulary: int
    """As long as the logits are."""


def first_passes(caches: Caches, on_gpu: bool) -> FirstPasses:
    """The first passes compile, the second are measured."""
    _short_run(caches)
    if on_gpu:
        _chunk_seconds(caches, WARM_UP_CHUNK_TOKENS)
    start = time.monotonic()
    cache, vocabulary = _short_run(caches)
    pass_seconds = (time.monotonic() - start) / 2
    tokens = _chunk_tokens(pass_seconds)
    token_seconds = (_chunk_seconds(caches, tokens) - pass_seconds) / tokens
    cost = PassCost(pass_seconds, token_seconds, tokens)
    return FirstPasses(pass_seconds, cost, kv_cost(cache, WARM_UP_TOKENS), vocabulary)


def _chunk_tokens(pass_seconds: float) -> int:
    """Fewer where a pass is slow: no start waits for the measurement."""
    fitting = int(WARM_UP_CHUNK_SECONDS / pass_seconds)
    return min(WARM_UP_CHUNK_TOKENS, max(WARM_UP_CHUNK_TOKENS_MIN, fitting))


def _chunk_seconds(caches: Caches, tokens: int) -> float:
    start = time.monotonic()
    cache = caches.new()
    caches.model(mx.zeros((1, tokens), dtype=mx.uint32), cache=cache)
    mx.eval([layer.state for layer in cache])
    return time.monotonic() - start


def _short_run(caches: Caches) -> tuple[Cache, int]:
    cache = caches.new()
    caches.model(mx.arange(WARM_UP_TOKENS - 1)[None], cache=cache)
    logits = caches.model(mx.array([[0]]), cache=cache)
    mx.eval(logits, [layer.state for layer in cache])
    return cache, int(logits.shape[-1])
