"""The sampler on krserve_mlx_ops: no sort of the vocabulary, one operation for all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from ..fast.operations import native
from .sampling import LazyLogprobs, Masks, RowSampling, packed_masks, uniform


class FastSampler:
    def tokens(
        self,
        logits: mx.array,
        rows: Sequence[RowSampling],
        positions: Sequence[int],
        masks: Masks | None = None,
    ) -> mx.array:
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
