"""One family with a KV cache of 8 bits: whether it can have one; whether it says the same alone, in
a batch, after a prefix was reused and after a resume; and how far that is from a plain cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
from mlx_serving.kv.quantized import KvQuantization
from mlx_serving.mlx.abilities import measure
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.kv_quantization import NotQuantizable, quantization_of

from .build import build_wide
from .compare import (
    NEW_TOKENS,
    PREFIX_BYTES,
    PROMPT_TOKENS,
    REASON_CHARACTERS_MAX,
    RESUMED_AT,
    Serving,
    first_difference,
    prompt,
    told,
)

BITS: Final = 8


@dataclass(frozen=True)
class KvSeen:
    """`refused`: why it can't be; `differs`: None if all tokens are the same; `difference`: of a
    log-probability, the largest over a prompt."""

    refused: str | None
    differs: str | None
    difference: float | None


def compare_kv(family: str) -> KvSeen:
    try:
        model = build_wide(family)
        found = quantization_of(
            CacheFactory(model), lambda one: CacheFactory(model, quantization=one), BITS
        )
    except NotQuantizable as reason:
        return KvSeen(str(reason), None, None)
    except Exception as error:
        # The values that its instance is made of don't make a wider one.
        said = f"{type(error).__name__}: {error}"[:REASON_CHARACTERS_MAX]
        return KvSeen(f"not compared ({said})", None, None)
    comparison = KvComparison(model, found)
    return KvSeen(None, told(comparison.differs), comparison.difference())


class KvComparison:
    def __init__(self, model: Any, quantization: KvQuantization) -> None:
        self._model = model
        self._quantization = quantization
        self._caches = CacheFactory(model, quantization=quantization)
        self._vocabulary = int(model(mx.array([[1]])).shape[-1])
        self.abilities = measure(self._caches, self._vocabulary)
        self.prompts = [prompt(seed, count) for seed, count in enumerate(PROMPT_TOKENS)]

    def serving(self, prefix_bytes: int = 0) -> Serving:
        return Serving(
            self._model,
            self._vocabulary,
            self.abilities,
            prefix_bytes,
            quantization=self._quantization,
        )

    def differs(self) -> str | None:
        truth = [self.serving().run([(tokens, [])])[0] for tokens in self.prompts]
        return first_difference(self._cases(truth))

    def _cases(self, truth: list[list[int]]) -> Iterator[tuple[str, list[int], list[int]]]:
        for rows in (2, 3, 4):
            out = self.serving().run([(tokens, []) for tokens in self.prompts[:rows]])
            for i, tokens in enumerate(out):
                yield f"row {i + 1} of {rows}", tokens, truth[i]
        kept = self.serving(PREFIX_BYTES)
        turn = [*self.prompts[0], *truth[0], 5, 6, 7]
        for name, asked in (("first", self.prompts[0]), ("again", self.prompts[0]), ("turn", turn)):
            alone = self.serving().run([(asked, [])])[0]
            yield name, kept.run([(asked, [])])[0], alone
        for count in RESUMED_AT:
            out = self.serving().run([(self.prompts[0], truth[0][:count]), (self.prompts[3], [])])
            yield f"after {count} tokens", out[0], truth[0][count:]
            yield "its neighbour", out[1], truth[3]

    def difference(self) -> float:
        """Over the tokens that follow a prompt, each fed in turn."""
        tokens = self.prompts[0] + self.serving().run([(self.prompts[0], [])])[0]
        plain, quantized = (
            self._logprobs(caches, tokens) for caches in (CacheFactory(self._model), self._caches)
        )
        found: Any = mx.max(mx.abs(plain - quantized)).item()
        return round(float(found), 4)

    def _logprobs(self, caches: CacheFactory, tokens: list[int]) -> mx.array:
        cache = caches.new()
        start = len(tokens) - NEW_TOKENS
        self._model(mx.array([tokens[:start]]), cache=cache)
        rows = [self._model(mx.array([[token]]), cache=cache)[0, -1] for token in tokens[start:]]
        logits = mx.stack(rows).astype(mx.float32)
        chosen = mx.array(tokens[start + 1 :])[:, None]
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        return mx.take_along_axis(logprobs[:-1], chosen, axis=-1)
