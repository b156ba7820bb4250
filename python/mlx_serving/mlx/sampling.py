"""From logits to tokens, for all rows of a batch at once.

A draw is a function of (seed, position) alone: one number from a hash picks the token by the
inverse of the cumulative distribution, so a seed depends neither on the neighbours in the batch
nor on where the request runs, and a resumed request draws what it would have drawn.

Order: logit bias and penalties, the mask of a grammar, temperature, top-k, top-p, min-p.
Log-probabilities are the model's own, before any of that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import mlx.core as mx
import numpy as np

from ..engine import RowLogprobs
from ..grammar.matcher import WORD_BITS
from ..messages import Sampling

# 23 bits, so that the number times a sum stays below the sum in float32.
UNIFORM_BITS: Final = 23
_MASK: Final = (1 << 64) - 1
NEVER_DROPPED: Final = 2.0
# Below it quotients overflow float32, and at it only the likeliest token is left.
TEMPERATURE_MIN: Final = 1e-20


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for one draw: splitmix64 of the seed's lower half and the position.

    A seed of more than 32 bits takes a second round, with its upper half.
    """
    z = _splitmix((seed << 32 | position) & _MASK)
    upper = seed >> 32
    if upper:
        z = _splitmix(z ^ upper)
    return float((z >> (64 - UNIFORM_BITS)) / (1 << UNIFORM_BITS))


def _splitmix(z: int) -> int:
    z = (z + 0x9E37_79B9_7F4A_7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return z ^ (z >> 31)


class RowSampling:
    """How one row is sampled, and what its penalties have seen.

    `generated`: tokens that are out already; later ones come by `observe`.
    """

    def __init__(
        self, sampling: Sampling, prompt: Sequence[int], generated: Sequence[int], vocabulary: int
    ) -> None:
        self.sampling = sampling
        self._counts: mx.array | None = None
        self._prompt: mx.array | None = None
        self._bias: tuple[mx.array, mx.array] | None = None
        repeats = sampling.repetition_penalty != 1
        if repeats or sampling.presence_penalty or sampling.frequency_penalty:
            self._counts = _counts(generated, vocabulary)
        if repeats:
            self._prompt = _counts(prompt, vocabulary) > 0
        if sampling.logit_bias:
            tokens, values = zip(*sampling.logit_bias, strict=True)
            self._bias = mx.array(tokens), mx.array(values, dtype=mx.float32)

    @property
    def changes_logits(self) -> bool:
        return self._counts is not None or self._bias is not None

    def observe(self, token: mx.array) -> None:
        """Takes note of a generated token, an array of one element that may not be computed yet."""
        if self._counts is not None:
            self._counts = self._counts.at[token].add(1.0)

    def adjust(self, logits: mx.array) -> mx.array:
        """Bias and penalties on one row, shape (1, vocabulary)."""
        sampling = self.sampling
        if self._counts is not None:
            counts = self._counts[None]
            used = counts > 0
            if self._prompt is not None:
                factor = sampling.repetition_penalty
                worse = mx.where(logits < 0, logits * factor, logits / factor)
                logits = mx.where(used | self._prompt[None], worse, logits)
            logits = logits - sampling.frequency_penalty * counts
            logits = logits - sampling.presence_penalty * used
        if self._bias is not None:
            tokens, values = self._bias
            logits = logits.at[:, tokens].add(values)
        return logits


@dataclass(frozen=True, slots=True)
class PackedMasks:
    """The masks there are, words of 32 bits each [masks, words], and which one is whose: `of_row`
    has its place for every row, or -1."""

    words: mx.array
    of_row: list[int]


def packed_masks(masks: Masks | None) -> PackedMasks | None:
    """None where no row has one."""
    some = [mask for mask in masks or () if mask is not None]
    if not some:
        return None
    places = iter(range(len(some)))
    words = np.frombuffer(b"".join(some), dtype="<u4").reshape(len(some), -1)
    return PackedMasks(mx.array(words), [-1 if m is None else next(places) for m in masks or ()])


@mx.compile
def _allowed(words: mx.array) -> mx.array:
    """A boolean for every bit, [masks, 32 x words]."""
    bits = (words[:, :, None] >> mx.arange(WORD_BITS, dtype=mx.uint32)) & 1
    return bits.reshape(words.shape[0], -1) > 0


def _masked(logits: mx.array, packed: PackedMasks) -> mx.array:
    """-inf for what may not be drawn."""
    allowed = _allowed(packed.words)[:, : logits.shape[-1]]
    rows = [row for row, place in enumerate(packed.of_row) if place >= 0]
    if len(rows) == logits.shape[0]:
        return mx.where(allowed, logits, -math.inf)
    masked = mx.array(logits)
    masked[mx.array(rows)] = mx.where(allowed, logits[mx.array(rows)], -math.inf)
    return masked


def _counts(tokens: Sequence[int], vocabulary: int) -> mx.array:
    counts = mx.zeros((vocabulary,), dtype=mx.float32)
    if not tokens:
        return counts
    numbers = Counter(tokens)
    return counts.at[mx.array(list(numbers))].add(
        mx.array(list(numbers.values()), dtype=mx.float32)
    )


@dataclass(slots=True)
class LazyLogprobs:
    """Log-probabilities of one draw, not computed yet: () and twice (n,)."""

    sampled: mx.array
    tokens: mx.array
    values: mx.array

    def read(self) -> RowLogprobs:
        tokens = cast(list[int], self.tokens.tolist())
        values = cast(list[float], self.values.tolist())
        top = sorted(zip(tokens, values, strict=True), key=lambda pair: -pair[1])
        return RowLogprobs(cast(float, self.sampled.item()), top)


Masks = list[bytes | None]
"""Of each row what may be drawn, a bit for every token as `Matcher.mask` has them, or None: all."""


class Sampler(Protocol):
    """Computes what `draw` decides, for logits (rows, vocabulary) of float32, lazily."""

    def tokens(
        self,
        logits: mx.array,
        rows: Sequence[RowSampling],
        positions: Sequence[int],
        masks: Masks | None = None,
    ) -> mx.array: ...

    def logprobs(
        self, logits: mx.array, tokens: mx.array, rows: Sequence[RowSampling]
    ) -> list[LazyLogprobs | None]: ...


def draw(
    logits: mx.array,
    rows: Sequence[RowSampling],
    positions: Sequence[int],
    sampler: Sampler,
    masks: Masks | None = None,
) -> tuple[mx.array, list[LazyLogprobs | None]]:
    """Tokens (rows,) for logits (rows, vocabulary), lazily, and log-probabilities where a row
    wants them."""
    logits = logits.astype(mx.float32)
    tokens = sampler.tokens(_adjusted(logits, rows), rows, positions, masks)
    return tokens, sampler.logprobs(logits, tokens, rows)


def _adjusted(logits: mx.array, rows: Sequence[RowSampling]) -> mx.array:
    if not any(row.changes_logits for row in rows):
        return logits
    return mx.concatenate([row.adjust(logits[i : i + 1]) for i, row in enumerate(rows)])


class StockSampler:
    """With operations of MLX."""

    def tokens(
        self,
        logits: mx.array,
        rows: Sequence[RowSampling],
        positions: Sequence[int],
        masks: Masks | None = None,
    ) -> mx.array:
        if (packed := packed_masks(masks)) is not None:
            logits = _masked(logits, packed)
        hot = [i for i, row in enumerate(rows) if row.sampling.temperature > 0]
        if len(hot) < len(rows):
            tokens = mx.argmax(logits, axis=-1).astype(mx.uint32)
        if not hot:
            return tokens
        chosen = logits if len(hot) == len(rows) else logits[mx.array(hot)]
        numbers = [uniform(rows[i].sampling.seed, positions[i]) for i in hot]
        drawn = _drawn(chosen, [rows[i].sampling for i in hot], mx.array(numbers)[:, None])
        if len(hot) == len(rows):
            return drawn
        tokens[mx.array(hot)] = drawn
        return tokens

    def logprobs(
        self, logits: mx.array, tokens: mx.array, rows: Sequence[RowSampling]
    ) -> list[LazyLogprobs | None]:
        return [
            _row_logprobs(logits[i], tokens[i], row.sampling.logprobs)
            if row.sampling.logprobs >= 0
            else None
            for i, row in enumerate(rows)
        ]


def _column(rows: Sequence[Sampling], value: Callable[[Sampling], float]) -> mx.array:
    return mx.array([value(row) for row in rows], dtype=mx.float32)[:, None]


def _drawn(logits: mx.array, rows: Sequence[Sampling], numbers: mx.array) -> mx.array:
    logits = logits / _column(rows, lambda row: max(row.temperature, TEMPERATURE_MIN))
    if any(row.top_k > 0 or row.top_p < 1 for row in rows):
        logits = _most_likely(logits, rows)
    if any(row.min_p > 0 for row in rows):
        least = _column(rows, lambda row: math.log(row.min_p) if row.min_p > 0 else -math.inf)
        logits = mx.where(logits < logits.max(axis=-1, keepdims=True) + least, -math.inf, logits)
    cumulative = mx.cumsum(mx.softmax(logits, axis=-1), axis=-1)
    target = numbers * cumulative[:, -1:]
    return (cumulative <= target).sum(axis=-1).astype(mx.uint32)


def _most_likely(logits: mx.array, rows: Sequence[Sampling]) -> mx.array:
    """-inf for all but the `top_k` likeliest, and for what lies beyond the mass `top_p`."""
    vocabulary = logits.shape[-1]
    ordered = mx.sort(logits, axis=-1)
    if any(row.top_k > 0 for row in rows):
        places = [vocabulary - min(row.top_k or vocabulary, vocabulary) for row in rows]
        least = mx.take_along_axis(ordered, mx.array(places)[:, None], axis=-1)
        logits = mx.where(logits < least, -math.inf, logits)
        ordered = mx.where(ordered < least, -math.inf, ordered)
    if any(row.top_p < 1 for row in rows):
        mass = _column(rows, lambda row: row.top_p if row.top_p < 1 else NEVER_DROPPED)
        probabilities = mx.softmax(ordered, axis=-1)
        above = mx.cumsum(probabilities, axis=-1, reverse=True, inclusive=False)
        dropped = (above >= mass).sum(axis=-1, keepdims=True)
        least = mx.take_along_axis(ordered, mx.minimum(dropped, vocabulary - 1), axis=-1)
        logits = mx.where(logits < least, -math.inf, logits)
    return logits


def _row_logprobs(logits: mx.array, token: mx.array, count: int) -> LazyLogprobs:
    values = logits - mx.logsumexp(logits)
    count = min(count, values.size)
    top = mx.argpartition(-values, kth=max(count - 1, 0))[:count]
    return LazyLogprobs(values[token], top, values[top])


def arrays(drawn: Sequence[LazyLogprobs | None]) -> list[mx.array]:
    """Everything that has to be computed with the step."""
    return [
        array
        for logprobs in drawn
        if logprobs is not None
        for array in (logprobs.sampled, logprobs.tokens, logprobs.values)
    ]
