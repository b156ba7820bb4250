"""The sampler on krserve_mlx_ops: no sort of the vocabulary, one operation for all rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final, cast

import mlx.core as mx

from ..fast.operations import native
from ..messages import Sampling
from .sampling import LazyLogprobs, Masks, RowSampling, StockSampler, packed_masks, uniform

# What decides a draw here, and what has done its part before a draw, or does it after.
_KNOWN: Final = frozenset(
    {"temperature", "top_k", "top_p", "min_p", "seed"}
    | {"repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias"}
    | {"stop", "logprobs"}
)


def others_than_known(sampling: type[Any]) -> list[tuple[str, Any]]:
    """The fields of which the operation knows nothing, with the values at which they do nothing."""
    return [
        (field.name, field.default)
        for field in fields(sampling)
        if field.name not in _KNOWN and field.default is not MISSING
    ]


class FastSampler:
    """Rows that ask for what the operation doesn't know are drawn with operations of MLX."""

    def __init__(self, others: Iterable[tuple[str, Any]] = others_than_known(Sampling)) -> None:
        self._others = list(others)
        self._stock = StockSampler()

    def _knows(self, row: RowSampling) -> bool:
        return all(getattr(row.sampling, name) == neutral for name, neutral in self._others)

    def tokens(
        self,
        logits: mx.array,
        rows: Sequence[RowSampling],
        positions: Sequence[int],
        masks: Masks | None = None,
    ) -> mx.array:
        if self._others and not all(map(self._knows, rows)):
            return self._stock.tokens(logits, rows, positions, masks)
        vocabulary = logits.shape[-1]
        draws = [
            native.Draw(
                sampling.temperature,
                # It may be any u32, and the kernel's is an int.
                min(sampling.top_k, vocabulary),
                sampling.top_p,
                sampling.min_p,
                uniform(sampling.seed, position) if sampling.temperature > 0 else 0.0,
            )
            for sampling, position in zip((row.sampling for row in rows), positions, strict=True)
        ]
        packed = packed_masks(masks)
        if packed is None:
            return cast(mx.array, native.sample(logits, draws))
        return cast(mx.array, native.sample_masked(logits, draws, packed.words, packed.of_row))

    def logprobs(
        self, logits: mx.array, tokens: mx.array, rows: Sequence[RowSampling]
    ) -> list[LazyLogprobs | None]:
        out: list[LazyLogprobs | None] = [None] * len(rows)
        asking = [i for i, row in enumerate(rows) if row.sampling.logprobs >= 0]
        if not asking:
            return out
        if len(asking) < len(rows):
            places = mx.array(asking)
            logits, tokens = logits[places], tokens[places]
        counts = [min(rows[i].sampling.logprobs, logits.shape[-1]) for i in asking]
        sampled, top, values = native.top_logprobs(logits, tokens, max(counts))
        for j, (i, count) in enumerate(zip(asking, counts, strict=True)):
            out[i] = LazyLogprobs(sampled[j], top[j, :count], values[j, :count])
        return out
