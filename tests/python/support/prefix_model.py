"""What a prompt cache in blocks must do, in the plainest words: a dict of beginnings, each with the
time of its last use. Walks at random through a cache and the dict, and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mlx_serving.mlx.block_cache import BlockPromptCache

from prefixes import Given, Trimmer, found

BLOCK = 2
SIZE = 10
ROOM = 4
NewCache = Callable[[], BlockPromptCache]


def new_cache() -> BlockPromptCache:
    return BlockPromptCache(Trimmer(), ROOM * SIZE + 5, BLOCK)


class Reference:
    """Of one cache of `ROOM` blocks. A beginning is a salt with tokens, whole blocks of them."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, tuple[int, ...]], int] = {}
        self._now = 0
        self.evictions = 0

    @property
    def blocks(self) -> int:
        return len(self._used)

    def found(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        return self._kept(tokens, salt) // unit_tokens * unit_tokens // BLOCK * BLOCK

    def match(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        length = self.found(tokens, unit_tokens, salt)
        if length:
            self._use(tokens[: self._kept(tokens, salt)], salt)
        return length

    def insert(self, tokens: list[int], salt: str) -> None:
        self._use(tokens[: self._kept(tokens, salt)], salt)
        for end in range(self._kept(tokens, salt) + BLOCK, len(tokens) + 1, BLOCK):
            if len(self._used) == ROOM and not self._evict_one(salt, tuple(tokens)):
                return
            self._used[salt, tuple(tokens[:end])] = self._now

    def evict(self, blocks: int) -> int:
        return sum(self._evict_one("", None) for _ in range(blocks))

    def _kept(self, tokens: list[int], salt: str) -> int:
        length = 0
        while (salt, tuple(tokens[: length + BLOCK])) in self._used and length < len(tokens):
            length += BLOCK
        return length

    def _use(self, tokens: list[int], salt: str) -> None:
        self._now += 1
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            self._used[salt, tuple(tokens[:end])] = self._now

    def _evict_one(self, salt: str, spared: tuple[int, ...] | None) -> bool:
        leaves = [
            (used, key)
            for key, used in self._used.items()
            if not any(key[0] == s and t[:-BLOCK] == key[1] for s, t in self._used)
            and not (spared is not None and key[0] == salt and spared[: len(key[1])] == key[1])
        ]
        if not leaves:
            return False
        del self._used[min(leaves)[1]]
        self.evictions += 1
        return True


def walk(seed: int, new: NewCache = new_cache, steps: int = 40) -> None:
    """Two caches, as of two models, side by side. Raises `AssertionError` where one is wrong."""
    random = Random(seed)
    pairs = [(new(), Reference()) for _ in range(2)]
    for _ in range(steps):
        cache, reference = random.choice(pairs)
        tokens = [random.randrange(2) for _ in range(random.randrange(11))]
        salt = random.choice(["", "", "mine"])
        action = random.random()
        if action < 0.5:
            source = Given(tokens, SIZE)
            known = reference.found(tokens, 1, salt)
            cache.insert(tokens, source, salt)
            assert all(start == known for start, _ in source.taken), "what is there is copied again"
            reference.insert(tokens, salt)
        elif action < 0.95:
            unit = random.choice([1, 1, 2, 4])
            expected = reference.match(tokens, unit, salt)
            assert len(found(cache, tokens, unit, salt) or []) == expected, f"of {tokens}"
        else:
            blocks = random.randrange(3)
            assert cache.evict(blocks * SIZE) == reference.evict(blocks) * SIZE
        for checked, its_reference in pairs:
            checked.check()
            figures = checked.figures()
            assert figures.entries == its_reference.blocks
            assert figures.size_bytes == its_reference.blocks * SIZE
            assert checked.counts().evictions == its_reference.evictions
