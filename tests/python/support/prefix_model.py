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
NewCache = Callable[[int], BlockPromptCache]


def new_cache(parts: int) -> BlockPromptCache:
    return BlockPromptCache(Trimmer(), ROOM * SIZE + 5, BLOCK, parts)


class Reference:
    """Of one cache of `ROOM` blocks. A beginning is a salt with tokens, whole blocks of them, of
    which the first is cut into `parts`."""

    def __init__(self, parts: int) -> None:
        self._part = BLOCK // parts
        self._used: dict[tuple[str, tuple[int, ...]], int] = {}
        self._now = 0
        self.evictions = 0

    @property
    def blocks(self) -> int:
        return len(self._used)

    def found(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        kept = self._kept(tokens, salt)
        return max(end for end in [0, *self._ends(kept)] if end % unit_tokens == 0)

    def match(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        length = self.found(tokens, unit_tokens, salt)
        if length:
            self._use(tokens[: self._kept(tokens, salt)], salt)
        return length

    def insert(self, tokens: list[int], salt: str) -> None:
        self._use(tokens[: self._kept(tokens, salt)], salt)
        kept = self._kept(tokens, salt)
        for end in self._ends(len(tokens)):
            if end <= kept:
                continue
            if len(self._used) == ROOM and not self._evict_one(salt, tuple(tokens)):
                return
            self._used[salt, tuple(tokens[:end])] = self._now

    def evict(self, blocks: int) -> int:
        return sum(self._evict_one("", None) for _ in range(blocks))

    def _kept(self, tokens: list[int], salt: str) -> int:
        length = 0
        for end in self._ends(len(tokens)):
            if (salt, tuple(tokens[:end])) not in self._used:
                break
            length = end
        return length

    def _ends(self, tokens: int) -> list[int]:
        ends = range(1, tokens + 1)
        return [n for n in ends if n % (self._part if n < BLOCK else BLOCK) == 0]

    def _use(self, tokens: list[int], salt: str) -> None:
        self._now += 1
        for end in self._ends(len(tokens)):
            self._used[salt, tuple(tokens[:end])] = self._now

    def _evict_one(self, salt: str, spared: tuple[int, ...] | None) -> bool:
        leaves = [
            (used, key)
            for key, used in self._used.items()
            if not any(
                key[0] == s and len(t) > len(key[1]) and t[: len(key[1])] == key[1]
                for s, t in self._used
            )
            and not (spared is not None and key[0] == salt and spared[: len(key[1])] == key[1])
        ]
        if not leaves:
            return False
        del self._used[min(leaves)[1]]
        self.evictions += 1
        return True


def walk(seed: int, new: NewCache = new_cache, steps: int = 40, parts: int = 1) -> None:
    """Two caches, as of two models, side by side. Raises `AssertionError` where one is wrong."""
    random = Random(seed)
    pairs = [(new(parts), Reference(parts)) for _ in range(2)]
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
