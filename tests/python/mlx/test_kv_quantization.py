"""Which models' keys and values can be quantized, and what is said of the others."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from families.build import build
from mlx_lm.models.cache import KVCache, RotatingKVCache
from mlx_serving.kv.quantized import BatchQuantizedCache, KvQuantization, QuantizedCache
from mlx_serving.mlx import kv_blocks
from mlx_serving.mlx.adapter import CacheFactory
from mlx_serving.mlx.first_passes import first_passes
from mlx_serving.mlx.joining import extend, merged
from mlx_serving.mlx.kv_quantization import NotQuantizable, quantization_of

import toy


def quantization(model: Any, bits: Any = 8) -> KvQuantization:
    return quantization_of(
        CacheFactory(model), lambda found: CacheFactory(model, quantization=found), bits
    )


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("hidden", "group"), [(256, 64), (128, 32), (384, 32)])
def test_the_largest_group_that_heads_are_made_of(bits: int, hidden: int, group: int) -> None:
    assert quantization(toy.model(hidden_size=hidden), bits) == KvQuantization(bits, group)  # type: ignore[arg-type]


REFUSED = [
    ("mamba", "it has ArraysCache, and only a plain KVCache is quantized"),
    ("gpt_oss", "it has RotatingKVCache, and"),
    ("baichuan_m1", "it has CacheList, and"),
]


@pytest.mark.parametrize(("family", "reason"), REFUSED)
def test_other_caches_are_not(family: str, reason: str) -> None:
    with pytest.raises(NotQuantizable) as caught:
        quantization(build(family))
    assert reason in str(caught.value)


def test_heads_that_are_no_whole_groups_are_not() -> None:
    with pytest.raises(NotQuantizable, match="heads of 8 elements are no whole groups of 32"):
        quantization(toy.model())


class Changed:
    """A model whose attention does something else with a quantized cache."""

    def __init__(self, model: Any, wrong: Any) -> None:
        self._model, self._wrong = model, wrong

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, tokens: mx.array, cache: Any) -> mx.array:
        logits = self._model(tokens, cache=cache)
        return self._wrong(logits) if isinstance(cache[0], QuantizedCache) else logits


def fails(logits: mx.array) -> mx.array:
    raise AttributeError("'list' object has no attribute 'shape'")


def test_attention_that_takes_none_is_told() -> None:
    with pytest.raises(NotQuantizable, match=r"takes no quantized keys \(AttributeError: 'list'"):
        quantization(Changed(toy.model(hidden_size=256), fails))


@pytest.mark.parametrize("wrong", [mx.negative, lambda logits: logits * float("nan")])
def test_attention_that_is_wrong_is_told(wrong: Any) -> None:
    with pytest.raises(NotQuantizable, match=r"logits differ by .* of their spread with 8 bits"):
        quantization(Changed(toy.model(hidden_size=256), wrong))


def test_a_model_that_fails_without_it_is_no_reason() -> None:
    class Broken(Changed):
        def __call__(self, tokens: mx.array, cache: Any) -> mx.array:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        quantization(Broken(toy.model(hidden_size=256), fails))


@pytest.mark.parametrize(("bits", "share"), [(8, 0.28125), (4, 0.15625)])
def test_the_cost_of_a_token_is_that_of_its_codes(bits: Any, share: float) -> None:
    model = toy.model(hidden_size=256)
    plain = first_passes(CacheFactory(model), False).kv_cost
    cost = first_passes(CacheFactory(model, quantization=KvQuantization(bits, 64)), False).kv_cost
    assert plain.bytes_per_token == 2 * 2 * 2 * 64 * 4
    assert (cost.bytes_per_token, cost.bytes_fixed) == (share * plain.bytes_per_token, 0)


# --- in blocks, as the prefix store has them ---

SIZES = [KvQuantization(8, 64), KvQuantization(4, 32)]


def filled(quantization: KvQuantization, tokens: int, heads: int = 3) -> Any:
    mx.random.seed(tokens)
    cache = [QuantizedCache(quantization), QuantizedCache(quantization)]
    for layer in cache:
        layer.update_and_fetch(
            mx.random.normal((1, heads, tokens, 64)), mx.random.normal((1, heads, tokens, 128))
        )
    mx.eval([layer.state for layer in cache])
    return cache


def same(codes: Any, others: Any) -> bool:
    return all(bool(mx.array_equal(a, b)) for a, b in zip(codes, others, strict=True))


@pytest.mark.parametrize("quantization", SIZES, ids=str)
@pytest.mark.parametrize("heads", [1, 3])
def test_blocks_of_codes_are_cut_and_joined(quantization: KvQuantization, heads: int) -> None:
    cache = filled(quantization, 70, heads)
    assert kv_blocks.can_cut(cache)
    blocks = kv_blocks.cut(cache, range(0, 65, 16))
    mx.eval(kv_blocks.arrays(blocks))
    assert [len(layer or ()) for layer in blocks[0].layers] == [6, 6]
    per_token = cache[0].nbytes / 256
    assert blocks[0].size_bytes == 16 * 2 * per_token
    for tokens, count in ((64, 4), (49, 4), (32, 2)):
        joined = [QuantizedCache(quantization), QuantizedCache(quantization)]
        kv_blocks.join(joined, blocks[:count], tokens, 100)
        for mine, theirs in zip(joined, cache, strict=True):
            assert mine.offset == tokens and mine.keys is not None
            assert mine.keys[0].shape[2] == tokens + 100
            for part, whole in zip(mine.keys_and_values(), theirs.keys_and_values(), strict=True):
                assert same(part, [array[:, :, :tokens] for array in whole])


def test_blocks_of_codes_are_cut_out_of_a_shared_cache() -> None:
    rows = [filled(SIZES[0], tokens) for tokens in (20, 33)]
    shared = merged(rows)
    assert isinstance(shared[0], BatchQuantizedCache)
    extend(shared, merged([filled(SIZES[0], 50)]))
    for place, padding in ((0, 30), (1, 17)):
        block = kv_blocks.cut(shared, [8, 16], place, padding)[0]
        expected = kv_blocks.cut(rows[place], [8, 16])[0]
        for mine, theirs in zip(block.layers, expected.layers, strict=True):
            assert mine is not None and theirs is not None and same(mine, theirs)


def test_one_kind_among_others_can_t_be_cut() -> None:
    assert not kv_blocks.can_cut([QuantizedCache(SIZES[0]), RotatingKVCache(8)])
    assert kv_blocks.can_cut([QuantizedCache(SIZES[0]), KVCache()])


# --- served ---

TOY = {"hidden_size": 256, "intermediate_size": 64}


@pytest.fixture(scope="module")
def toy_model() -> Any:
    return toy.model(**TOY)


@pytest.fixture(scope="module", params=SIZES, ids=str)
def size(request: pytest.FixtureRequest) -> KvQuantization:
    return request.param  # type: ignore[no-any-return]


PROMPTS = [toy.prompt(seed, length) for seed, length in ((1, 90), (2, 9), (3, 1), (4, 200))]


@pytest.fixture(scope="module")
def truth(toy_model: Any, size: KvQuantization) -> list[list[int]]:
    """Of each prompt alone."""
    runs = [
        toy.Driver(toy_model, quantization=size).run(toy.request(i, tokens, 16))
        for i, tokens in enumerate(PROMPTS)
    ]
    return [run[i] for i, run in enumerate(runs)]


def test_a_batch_answers_as_each_alone(
    toy_model: Any, size: KvQuantization, truth: list[list[int]]
) -> None:
    driver = toy.Driver(toy_model, quantization=size)
    out = driver.run(*(toy.request(i, tokens, 16) for i, tokens in enumerate(PROMPTS)))
    assert [out[i] for i in range(len(PROMPTS))] == truth


def test_rows_that_come_go_and_are_cancelled(
    toy_model: Any, size: KvQuantization, truth: list[list[int]]
) -> None:
    driver = toy.Driver(toy_model, quantization=size, prefix_bytes=1 << 24)
    driver.insert(toy.request(0, PROMPTS[0], 5))
    driver.insert(toy.request(1, PROMPTS[1], 16))
    driver.insert(toy.request(9, PROMPTS[3], 16))
    for _ in range(4):
        driver.step()
    driver.runner.remove(9)
    driver.insert(toy.request(3, PROMPTS[3], 16))
    while driver.runner.delay_seconds() is not None:
        driver.step()
    assert driver.tokens[0] == truth[0][:5]
    assert (driver.tokens[1], driver.tokens[3]) == (truth[1], truth[3])


def test_prefixes_are_kept_as_codes(
    toy_model: Any, size: KvQuantization, truth: list[list[int]]
) -> None:
    driver = toy.Driver(toy_model, quantization=size, prefix_bytes=1 << 24, block_tokens=64)
    assert driver.prompt_cache.in_blocks
    prompt = PROMPTS[3]
    assert driver.run(toy.request(0, prompt, 16))[0] == truth[3]
    per_token = size.bits / 8 + 2 * 4 / size.group_size
    bytes_of_all = (len(prompt) + 16) * 2 * 2 * 2 * 64 * per_token
    assert driver.prompt_cache.figures().size_bytes <= bytes_of_all
    assert driver.run(toy.request(1, prompt, 16))[1] == truth[3]
    assert driver.cached(1) == len(prompt) - 1
    turn = [*prompt, *truth[3], 5, 6]
    alone = toy.Driver(toy_model, quantization=size).run(toy.request(0, turn, 16))[0]
    assert driver.run(toy.request(2, turn, 16))[2] == alone
    assert driver.cached(2) > len(prompt)


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_resume_goes_on_where_it_was(
    toy_model: Any, size: KvQuantization, truth: list[list[int]], deterministic: bool
) -> None:
    for done in (1, 7, 15):
        driver = toy.Driver(toy_model, quantization=size, deterministic=deterministic)
        for i in range(len(PROMPTS)):
            if len(truth[i]) <= done:
                continue
            out = driver.run(toy.request(i, PROMPTS[i], 16, truth[i][:done]))
            assert out[i] == truth[i][done:]


def test_memory_that_rows_hold_is_that_of_codes(toy_model: Any, size: KvQuantization) -> None:
    held = []
    for quantization in (None, size):
        driver = toy.Driver(toy_model, quantization=quantization)
        for i, tokens in enumerate(PROMPTS):
            # None ends before its time.
            driver.insert(toy.request(i, tokens, 16, logit_bias=((toy.END, -100.0),)))
        for _ in range(6):
            driver.step()
        held.append(driver.runner.figures().kv_bytes)
    assert held[1] == {8: 0.28125, 4: 0.1875}[size.bits] * held[0]
