"""Prompt caches without a model: caches that know their tokens, and what is found of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mlx_serving.mlx.caches import KvBlock
from mlx_serving.mlx.prompt_cache import PromptCache


class Layer:
    """Of a cache: the tokens that are computed, and what they take."""

    def __init__(self, tokens: Sequence[int], nbytes: int, whole: bool = False) -> None:
        self.tokens, self.nbytes, self.whole = list(tokens), nbytes, whole


class Trimmer:
    """`BlockCaches` without a model. A block knows all tokens before it too."""

    model: Any = None
    can_cut = True

    def __init__(self) -> None:
        self.rooms: list[int] = []

    def new(self) -> list[Any]:
        raise AssertionError("a prompt cache makes no empty caches")

    def joined(self, blocks: Sequence[KvBlock], tokens: int, room_tokens: int) -> list[Any]:
        made: list[int] = []
        for block in blocks:
            before, own = block.layers[0]
            assert list(before) == made, "a block is joined to others than it was computed after"
            assert len(made) < tokens, "a block is joined that isn't needed"
            made += own
        assert len(made) >= tokens
        del made[tokens:]
        self.rooms.append(room_tokens)
        return [Layer(made, 0)]

    def can_trim(self, cache: list[Any]) -> bool:
        return not cache[0].whole

    def trim(self, cache: list[Any], tokens: int) -> None:
        assert tokens == 0 or self.can_trim(cache)
        cache[0].tokens = cache[0].tokens[: len(cache[0].tokens) - tokens]


class Given:
    """A `Source` of tokens, `size_bytes` a block or for the whole. Knows what was taken of it."""

    def __init__(self, tokens: Sequence[int], size_bytes: int = 10, whole: bool = False) -> None:
        self._tokens, self._size_bytes, self._whole = tuple(tokens), size_bytes, whole
        self.taken: list[tuple[int, int]] = []

    def blocks(self, borders: Sequence[int]) -> list[KvBlock]:
        self.taken.append((borders[0], borders[-1]))
        assert borders[0] < borders[-1] <= len(self._tokens) and sorted(borders) == list(borders)
        return [
            KvBlock([(self._tokens[:at], self._tokens[at:end])], self._size_bytes)
            for at, end in pairwise(borders)
        ]

    def whole(self) -> list[Any]:
        self.taken.append((0, len(self._tokens)))
        return [Layer(self._tokens, self._size_bytes, self._whole)]


def put(
    cache: PromptCache,
    tokens: Sequence[int],
    size_bytes: int = 10,
    whole: bool = False,
    salt: str = "",
) -> list[tuple[int, int]]:
    """What was copied for it."""
    source = Given(tokens, size_bytes, whole)
    cache.insert(tokens, source, salt)
    cache.check()
    return source.taken


def found(
    cache: PromptCache, tokens: list[int], unit_tokens: int = 1, salt: str = ""
) -> list[int] | None:
    """The tokens of what is found, which must be a beginning of those asked for."""
    expected = cache.peek(tokens, unit_tokens, salt)
    match = cache.match(tokens, unit_tokens, salt)
    cache.check()
    if match is None:
        assert expected == 0
        return None
    assert match.cache[0].tokens == tokens[: match.tokens] and match.tokens == expected > 0
    return tokens[: match.tokens]
