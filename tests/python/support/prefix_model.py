"""What a prompt cache in blocks must do, in the plainest words: a dict of beginnings, each with the
time of its last use. Walks at random through a cache and the dict, and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.tokens import pack_tokens

from prefixes import Given, Trimmer, found

BLOCK = 3
SIZE = 10
ROOM = 4
NewCache = Callable[[], BlockPromptCache]


def new_cache() -> BlockPromptCache:
    return BlockPromptCache(Trimmer(), ROOM * SIZE + 5, BLOCK, match_tokens_min=1)


class Reference:
    """Of one cache of `ROOM` blocks. A beginning is a salt with tokens: whole blocks of them, and
    at its end maybe a shorter one, unless another begins with it."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, tuple[int, ...]], int] = {}
        self._now = 0
        self.evictions = 0

    @property
    def blocks(self) -> int:
        return len(self._used)

    def found(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        """Whatever a beginning has in common with it, if the whole blocks before are there."""
        whole = self._whole(tokens, salt)
        best = max((_common(t, tokens) for t in self._next(tokens[:whole], salt)), default=0)
        return max(whole, best) // unit_tokens * unit_tokens

    def match(self, tokens: list[int], unit_tokens: int, salt: str) -> int:
        length = self.found(tokens, unit_tokens, salt)
        if length:
            self._use_closest(tokens, salt)
        return length

    def insert(self, tokens: list[int], salt: str) -> None:
        self._use_closest(tokens, salt)
        known = self.found(tokens, 1, salt)
        if known == len(tokens):
            return
        whole = self._whole(tokens, salt)
        self._use(tokens[:whole], salt)
        for end in _ends(len(tokens)):
            if end <= whole:
                continue
            for other in self._next(tokens[: (end - 1) // BLOCK * BLOCK], salt):
                if other == tuple(tokens[: len(other)]) and len(other) < end:
                    del self._used[salt, other]
            if len(self._used) == ROOM and not self._evict_one(salt, tuple(tokens)):
                return
            self._used[salt, tuple(tokens[:end])] = self._now

    def evict(self, blocks: int) -> int:
        return sum(self._evict_one("", None) for _ in range(blocks))

    def _whole(self, tokens: list[int], salt: str) -> int:
        """Tokens in blocks that are there as they are."""
        length = 0
        for end in _ends(len(tokens)):
            if (salt, tuple(tokens[:end])) not in self._used:
                break
            length = end
        return length

    def _next(self, before: list[int], salt: str) -> list[tuple[int, ...]]:
        """The beginnings that are a block longer."""
        return [
            t
            for s, t in self._used
            if s == salt
            and len(before) < len(t) <= len(before) + BLOCK
            and t[: len(before)] == tuple(before)
        ]

    def _use_closest(self, tokens: list[int], salt: str) -> None:
        """Its whole blocks, and the one that has most in common behind them; of several the last
        one before it by its bytes, else the first one behind it."""
        whole = self._whole(tokens, salt)
        after = self._next(tokens[:whole], salt)
        best = max((_common(t, tokens) for t in after), default=0)
        own = pack_tokens(tokens[whole : whole + BLOCK])
        alike = sorted(
            (pack_tokens(list(t[whole:])), t) for t in after if _common(t, tokens) == best > whole
        )
        before = [t for packed, t in alike if packed < own][-1:]
        behind = [t for packed, t in alike if packed >= own][:1]
        # Where both are as close, it is the later one.
        closest = (before + behind)[-1:]
        self._use(list(closest[0]) if closest and whole < len(tokens) else tokens[:whole], salt)

    def _use(self, tokens: list[int], salt: str) -> None:
        self._now += 1
        for end in _ends(len(tokens)):
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


def _ends(tokens: int) -> list[int]:
    whole = range(BLOCK, tokens + 1, BLOCK)
    return [*whole, tokens] if tokens % BLOCK else [*whole]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def walk(seed: int, new: NewCache = new_cache, steps: int = 40) -> None:
    """Two caches, as of two models, side by side. Raises `AssertionError` where one is wrong."""
    random = Random(seed)
    pairs = [(new(), Reference()) for _ in range(2)]
    for _ in range(steps):
        cache, reference = random.choice(pairs)
        tokens = [random.randrange(2) for _ in range(random.randrange(17))]
        salt = random.choice(["", "", "mine"])
        action = random.random()
        if action < 0.5:
            source = Given(tokens, SIZE)
            known = reference.found(tokens, 1, salt)
            cache.insert(tokens, source, salt)
            assert known < len(tokens) or not source.taken, "what is there is copied again"
            assert all(start == known // BLOCK * BLOCK for start, _ in source.taken)
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
