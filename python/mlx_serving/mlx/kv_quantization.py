"""Whether a model's keys and values can be quantized, and in groups of how many elements.

Found out on the loaded model: which caches it makes, how long its heads are, and whether its
attention takes quantized ones, which not all of mlx-lm's families do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import mlx.core as mx

from ..kv.quantized import GROUP_SIZES, Bits, KvQuantization
from .abilities import REASON_CHARACTERS_MAX, difference, number
from .caches import Cache, Caches

QUANTIZABLE: Final = "KVCache"
TRIAL_TOKENS: Final = 12
TRIAL_BITS: Final = 8
# Of the logits' own spread: 8 bits make 0.001 to 0.05, what is wrong 0.3 and more. 4 bits would
# hide it, and take the same way.
TRIAL_DIFFERENCE_MAX: Final = 0.2

NewCaches = Callable[[KvQuantization], Caches]


class NotQuantizable(Exception):
    """Says in one line why not."""


def quantization_of(plain: Caches, quantized: NewCaches, bits: Bits) -> KvQuantization:
    """`plain`: the model's own caches. Raises `NotQuantizable`, or what the model does without."""
    cache = plain.new()
    kinds = sorted({type(layer).__name__ for layer in cache} - {QUANTIZABLE})
    if kinds or not cache:
        raise NotQuantizable(
            f"it has {' and '.join(kinds) or 'no caches'}, and only a plain KVCache is quantized"
        )
    truth = _logits(plain, cache)
    found = KvQuantization(bits, _group_size(cache))
    try:
        other = quantized(KvQuantization(TRIAL_BITS, found.group_size))
        seen = number(difference(_logits(other, other.new()), truth))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:REASON_CHARACTERS_MAX]
        raise NotQuantizable(f"its attention takes no quantized keys ({said})") from error
    # Not a number is no answer either.
    if not seen <= TRIAL_DIFFERENCE_MAX:
        raise NotQuantizable(
            f"its logits differ by {seen:.2g} of their spread with {TRIAL_BITS} bits"
        )
    return found


def _logits(caches: Caches, cache: Cache) -> mx.array:
    """Of a short prompt and one step after it."""
    first = caches.model(mx.arange(1, TRIAL_TOKENS)[None], cache=cache)[0, -1]
    second = caches.model(mx.array([[0]]), cache=cache)[0, -1]
    return mx.stack([first, second]).astype(mx.float32)


def _group_size(cache: Cache) -> int:
    dims = sorted(
        {
            array.shape[-1]
            for layer in cache
            if layer.keys is not None
            for array in (layer.keys, layer.values)
        }
    )
    for size in GROUP_SIZES:
        if dims and all(dim % size == 0 for dim in dims):
            return size
    heads = " and ".join(map(str, dims)) or "no"
    raise NotQuantizable(f"heads of {heads} elements are no whole groups of {GROUP_SIZES[-1]}")
