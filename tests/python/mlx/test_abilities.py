"""What a model can do is measured: faults are seen, noise is not, and nothing is left behind."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import mlx.core as mx
import pytest
from mlx_serving.engine import Abilities
from mlx_serving.mlx.abilities import (
    DIFFERENCE_MAX,
    WINDOW_TOKENS_MAX,
    difference,
    measure,
    rounding,
    short_windows,
)
from mlx_serving.mlx.adapter import CacheFactory

from toy import VOCABULARY, model

WINDOW = 32


class Wrong:
    """The toy, whose logits `spoil` changes; it gets the tokens and the cache."""

    def __init__(self, toy: Any, spoil: Any) -> None:
        self._toy, self._spoil = toy, spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        return self._spoil(self._toy(inputs, cache=cache), inputs, cache)


@pytest.fixture(scope="module")
def toy() -> Any:
    return model()


@pytest.fixture(scope="module")
def windowed() -> Any:
    return model(layer_types=["sliding_attention", "full_attention"], sliding_window=WINDOW)


def measured(toy: Any) -> Abilities:
    return measure(CacheFactory(toy), VOCABULARY)


def test_a_model_that_can_do_all(toy: Any, windowed: Any) -> None:
    assert measured(toy) == Abilities()
    assert measured(windowed) == Abilities()


@pytest.mark.parametrize("share", [0.05, 0.5, 2.0])
def test_a_batch_that_is_wrong_without_a_word(toy: Any, share: float) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] == 1:
            return logits
        ragged = cache[0].left_padding[:, None, None] > 0
        return logits + mx.where(ragged, share, 0) * mx.random.normal(logits.shape) * mx.std(logits)

    seen = measured(Wrong(toy, spoil))
    assert not seen.batch and "differ" in str(seen.batch_reason)
    assert (seen.prefix, seen.pieces) == ("part", True)


@pytest.mark.parametrize("rows", [2, 3])
def test_a_batch_that_dies(toy: Any, rows: int) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] == rows:
            raise ValueError("shapes cannot be broadcast")
        return logits

    seen = measured(Wrong(toy, spoil))
    assert not seen.batch and "cannot be broadcast" in str(seen.batch_reason)


def test_rows_that_leave_take_no_others_with_them(toy: Any) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        left = inputs.shape[0] == 2 and cache[0]._idx > 18
        return logits[::-1] if left else logits

    assert not measured(Wrong(toy, spoil)).batch


@pytest.mark.parametrize("noise", [1e-5, 2e-3, 0.02])
def test_noise_is_no_fault(toy: Any, noise: float) -> None:
    """Of every batch, ragged or not."""

    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] == 1:
            return logits
        return logits + noise * mx.random.normal(logits.shape) * mx.std(logits)

    mx.random.seed(1)
    assert measured(Wrong(toy, spoil)).batch


def test_noise_beyond_all_bounds_is_one(toy: Any) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] == 1:
            return logits
        return logits + 3 * DIFFERENCE_MAX * mx.random.normal(logits.shape) * mx.std(logits)

    assert not measured(Wrong(toy, spoil)).batch


@pytest.mark.parametrize("rows", [2, 3])
def test_prompts_in_one_pass_that_spoil_each_other(toy: Any, rows: int) -> None:
    """What a pass over several prompts leaves in their caches is wrong; decoding is right."""

    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] == rows and inputs.shape[1] > 1:
            cache[1].values = cache[1].values[::-1] * 1
        return logits

    seen = measured(Wrong(toy, spoil))
    assert seen.batch and not seen.shared_prefill and "differ" in str(seen.shared_reason)
    assert (seen.prefix, seen.pieces) == ("part", True)


def test_prompts_in_one_pass_that_die(toy: Any) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        if inputs.shape[0] > 1 and inputs.shape[1] > 1:
            raise ValueError("one prompt at a time")
        return logits

    seen = measured(Wrong(toy, spoil))
    assert seen.batch and not seen.shared_prefill
    assert seen.shared_reason == "ValueError: one prompt at a time"


def test_what_is_never_shared_is_not_tried(windowed: Any) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        assert inputs.shape[0] == 1 or inputs.shape[1] == 1
        return logits

    assert measured(Wrong(windowed, spoil)).shared_prefill


def test_numbers_that_are_none(toy: Any) -> None:
    seen = measured(Wrong(toy, lambda logits, *_: logits * float("nan")))
    assert (seen.batch, seen.prefix, seen.pieces) == (False, "none", False)


def test_one_bad_trial_is_chance(toy: Any) -> None:
    calls = []

    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        calls.append(inputs.shape[0])
        once = inputs.shape[0] == 3 and calls.count(3) == 2
        return logits + 5 if once else logits

    mx.random.seed(1)
    assert measured(Wrong(toy, lambda *args: spoil(*args))).batch


def test_pieces_that_are_wrong(toy: Any) -> None:
    def spoil(logits: mx.array, inputs: mx.array, cache: Any) -> mx.array:
        continued = inputs.shape[1] > 1 and cache[0].offset > inputs.shape[1]
        return logits[..., ::-1] if continued else logits

    seen = measured(Wrong(toy, spoil))
    assert (seen.batch, seen.prefix, seen.pieces) == (True, "none", False)


def test_a_cut_that_is_wrong(toy: Any) -> None:
    class Careless(CacheFactory):
        def trim(self, cache: Any, tokens: int) -> None:
            super().trim(cache, max(0, tokens - 1))

    seen = measure(Careless(toy), VOCABULARY)
    assert (seen.batch, seen.prefix, seen.pieces) == (True, "whole", True)


def test_a_copy_that_is_none(toy: Any) -> None:
    class Shared(CacheFactory):
        def new(self) -> Any:
            cache = super().new()
            for layer in cache:
                type(layer).__deepcopy__ = lambda self, memo: self
            return cache

    from mlx_lm.models.cache import KVCache

    try:
        assert measure(Shared(toy), VOCABULARY).prefix == "none"
    finally:
        del KVCache.__deepcopy__


# --- windows ---


def test_windows_are_short_meanwhile_and_long_again(windowed: Any) -> None:
    caches = CacheFactory(windowed)
    arguments = deepcopy(vars(windowed.args))
    with short_windows(caches) as short:
        assert short.new()[0].max_size == WINDOW_TOKENS_MAX
        assert windowed.args.sliding_window == WINDOW_TOKENS_MAX
        assert windowed.model.sliding_window == WINDOW_TOKENS_MAX
    assert caches.new()[0].max_size == WINDOW
    assert vars(windowed.args) == arguments and windowed.model.sliding_window == WINDOW


def test_windows_are_long_again_after_a_failure(windowed: Any) -> None:
    with pytest.raises(RuntimeError), short_windows(CacheFactory(windowed)):
        raise RuntimeError
    assert windowed.model.sliding_window == WINDOW


def test_nothing_is_left_behind(toy: Any) -> None:
    measured(toy)
    before = mx.get_active_memory()
    measured(toy)
    assert mx.get_active_memory() == before and mx.get_cache_memory() == 0


# --- figures ---


def test_differences_are_shares_of_the_spread() -> None:
    mx.random.seed(0)
    logits = mx.random.normal((1000,))
    assert difference(logits, logits).item() == 0
    assert difference(logits * 100, logits * 100 + 10).item() == pytest.approx(0.1, rel=0.1)
    assert difference(mx.random.normal((1000,)), logits).item() == pytest.approx(1.4, rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "unit"), [(mx.float32, 2**-23), (mx.float16, 2**-10), (mx.bfloat16, 2**-7)]
)
def test_the_rounding_unit_is_that_of_the_coarsest_floats(dtype: Any, unit: float) -> None:
    toy = model()
    toy.model.norm.set_dtype(dtype)
    assert rounding(toy) == unit


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
@pytest.mark.parametrize("bits", [4, 8])
def test_coarse_and_quantized_models_can_do_all(dtype: Any, bits: int) -> None:
    import mlx.nn as nn

    toy = model(hidden_size=64, intermediate_size=128)
    nn.quantize(toy, group_size=32, bits=bits)
    toy.set_dtype(dtype)
    assert measured(toy) == Abilities()
