"""The last hidden states of a model that makes text: what its vectors of texts are the mean of.

mlx-lm's models keep what comes before the head in a module of their own, whose name differs by
family. It is found by trying: what gives states, and no logits, is it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import mlx.core as mx

from .caches import Cache

INNER_NAMES: Final = ("model", "backbone", "transformer", "language_model")
PROBE: Final = (0, 0, 0)


class CausalStates:
    """Implements `States`."""

    in_pieces = True

    def __init__(self, inner: Any, dimensions: int) -> None:
        self._inner = inner
        self.dimensions = dimensions

    def states(self, tokens: mx.array, lengths: list[int], cache: Cache | None) -> mx.array:
        states: mx.array = self._inner(tokens, cache=cache)
        return states

    def pool(self, states: mx.array, lengths: list[int]) -> mx.array:
        """The sum: its direction is the mean's."""
        return masked_sum(states, lengths)


def masked_sum(states: mx.array, lengths: list[int]) -> mx.array:
    """Over the tokens that are no padding."""
    is_token = mx.arange(states.shape[1])[None] < mx.array(lengths)[:, None]
    return mx.where(is_token[..., None], states.astype(mx.float32), 0).sum(axis=1)


def states_of(model: Any, vocabulary: int) -> CausalStates | None:
    """None where nothing in the model gives states that could be told from logits."""
    for inner in _inner_modules(model):
        try:
            states = inner(mx.array([PROBE]), cache=None)
            mx.eval(states)
        except Exception:
            # Whatever a module of another kind makes of tokens.
            continue
        shape: tuple[int, ...] = getattr(states, "shape", ())
        if len(shape) == 3 and shape[1] == len(PROBE) and shape[-1] != vocabulary:
            return CausalStates(inner, int(shape[-1]))
    return None


def _inner_modules(model: Any) -> Iterator[Any]:
    for name in INNER_NAMES:
        inner = getattr(model, name, None)
        if callable(inner):
            yield inner
            yield from _inner_modules(inner)
