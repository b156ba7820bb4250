"""A prompt cache that keeps keys and values in blocks, each once, whichever prompts begin with it.

For models of which all that a token leaves in a cache are its keys and values. A match joins blocks
into a cache of the row's own, so nobody but the tree uses a block, and any leaf may be evicted at
any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..engine import PrefixCounts
from ..tokens import pack_tokens
from .block_tree import BlockTree, Node, TreeObserver
from .caches import BlockCaches
from .prompt_cache import MATCH_TOKENS_MIN, BlockChanges, Match, PromptCacheFigures, Source


@dataclass(frozen=True, slots=True)
class Found:
    """What the tree has of some tokens: whole blocks, and what they share with one more."""

    keys: list[bytes]
    path: list[Node]
    closest: Node | None
    shared: int

    @property
    def tokens(self) -> int:
        return (self.path[-1].end if self.path else 0) + self.shared

    @property
    def nodes(self) -> list[Node]:
        return [*self.path, self.closest] if self.closest else self.path

    @property
    def missing(self) -> list[bytes]:
        return self.keys[len(self.path) :]

    @property
    def is_whole(self) -> bool:
        return 4 * self.tokens == sum(map(len, self.keys))


class BlockPromptCache:
    """Implements `PromptCache`."""

    in_blocks = True

    def __init__(
        self,
        caches: BlockCaches,
        bytes_max: int,
        block_tokens: int,
        match_tokens_min: int = MATCH_TOKENS_MIN,
    ) -> None:
        self._caches = caches
        self._match_tokens_min = match_tokens_min
        self._bytes_max = bytes_max
        self._tree = BlockTree(block_tokens, bytes_max)
        self._counts = PrefixCounts()
        # Of a whole block, once one is known.
        self._block_bytes: int | None = None

    @property
    def block_tokens(self) -> int:
        return self._tree.block_tokens

    def observe(self, observer: TreeObserver) -> None:
        self._tree.observer = observer

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        return self._usable(self.find(tokens, salt), unit_tokens)

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        found = self.find(tokens, salt)
        usable = self._usable(found, unit_tokens)
        self._count(len(tokens), usable, found, salt)
        if not usable:
            return None
        self._tree.use(found.nodes)
        blocks = [node.kv for node in found.nodes if node.kv and node.begin < usable]
        return Match(self._caches.joined(blocks, usable, len(tokens) - usable + 1), usable)

    def find(self, tokens: Sequence[int], salt: str) -> Found:
        keys = self._tree.keys(pack_tokens(list(tokens)))
        path = self._tree.path(keys, salt)
        if len(path) == len(keys):
            return Found(keys, path, None, 0)
        return Found(keys, path, *self._tree.closest(path, keys[len(path)], salt))

    def _usable(self, found: Found, unit_tokens: int) -> int:
        """As much of it as is whole units."""
        usable = found.tokens - found.tokens % unit_tokens
        return usable if usable >= self._match_tokens_min else 0

    def _count(self, tokens: int, usable: int, found: Found, salt: str) -> None:
        whole = [key for key in found.missing if len(key) == 4 * self._tree.block_tokens]
        absent = self._tree.absent(found.path, whole, salt, found.shared)
        counts = self._counts
        counts.hit += usable
        counts.never_seen += absent.never_seen
        counts.evicted += absent.evicted
        counts.other_salt += absent.other_salt
        counts.below_block += tokens - usable - absent.tokens

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        tree = self._tree
        found = self.find(tokens[: self._room_tokens], salt)
        tree.use(found.nodes)
        if found.is_whole:
            return
        borders = tree.borders(sum(map(len, found.keys)) // 4)[len(found.path) :]
        blocks = source.blocks(borders)
        if borders[1] - borders[0] == tree.block_tokens:
            self._block_bytes = max(1, blocks[0].size_bytes)
        tree.extend(found.path, found.missing, blocks, salt)

    @property
    def _room_tokens(self) -> int | None:
        """For so many there is room; None: that is not known."""
        tree, block_bytes = self._tree, self._block_bytes
        return tree.bytes_max // block_bytes * tree.block_tokens if block_bytes else None

    def evict(self, size_bytes: int) -> int:
        return self._tree.evict(size_bytes)

    def lend(self, size_bytes: int) -> None:
        self._tree.bytes_max = max(0, self._bytes_max - size_bytes)
        self.evict(self._tree.size_bytes - self._tree.bytes_max)

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(len(self._tree), self._tree.size_bytes, self._bytes_max)

    def counts(self) -> PrefixCounts:
        self._counts.evictions = self._tree.evictions
        return self._counts

    def changes(self) -> BlockChanges:
        return self._tree.held.changes()

    def check(self) -> None:
        self._tree.check()
