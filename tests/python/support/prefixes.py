"""Prompt caches without a model: caches that know their tokens, and what is found of them."""

from __future__ import annotations

from typing import Any

from mlx_serving.mlx.prompt_cache import PromptCache


class Layer:
    """Of a cache: the tokens that are computed, and what they take."""

    def __init__(self, tokens: list[int], nbytes: int, whole: bool = False) -> None:
        self.tokens, self.nbytes, self.whole = list(tokens), nbytes, whole


class Trimmer:
    """`Caches` without a model."""

    model: Any = None

    def new(self) -> list[Any]:
        raise AssertionError("a prompt cache makes no empty caches")

    def can_trim(self, cache: list[Any]) -> bool:
        return not cache[0].whole

    def trim(self, cache: list[Any], tokens: int) -> None:
        assert tokens == 0 or self.can_trim(cache)
        cache[0].tokens = cache[0].tokens[: len(cache[0].tokens) - tokens]


def put(cache: PromptCache, tokens: list[int], size_bytes: int = 10, whole: bool = False) -> None:
    cache.insert(tokens, [Layer(tokens, size_bytes, whole)])
    cache.check()


def found(cache: PromptCache, tokens: list[int], unit_tokens: int = 1) -> list[int] | None:
    """The tokens of what is found, which must be a beginning of those asked for."""
    match = cache.match(tokens, unit_tokens)
    cache.check()
    if match is None:
        return None
    assert match.cache[0].tokens == tokens[: match.tokens] and match.tokens > 0
    return tokens[: match.tokens]
