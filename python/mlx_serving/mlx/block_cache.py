"""A prompt cache that keeps keys and values in blocks, each once, whichever prompts begin with it.

For models of which all that a token leaves in a cache are its keys and values. A match joins blocks
into a cache of the row's own, so nobody but the tree uses a block, and any leaf may be evicted at
any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..engine import PrefixCounts
from ..messages import pack_tokens
from .block_tree import BlockTree, Node
from .caches import BlockCaches
from .prompt_cache import BlockChanges, Match, PromptCacheFigures, Source


class BlockPromptCache:
    """Implements `PromptCache`."""

    in_blocks = True

    def __init__(
        self, caches: BlockCaches, bytes_max: int, block_tokens: int, first_parts: int = 1
    ) -> None:
        self._caches = caches
        self._tree = BlockTree(block_tokens, bytes_max, first_parts)
        self._counts = PrefixCounts()
        # Tokens for which there is room, once a whole block is known.
        self._room_tokens: int | None = None

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        keys = self._tree.keys(pack_tokens(list(tokens)))
        return _end(self._usable(self._tree.path(keys, salt), unit_tokens))

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        keys = self._tree.keys(pack_tokens(list(tokens)))
        path = self._tree.path(keys, salt)
        used = self._usable(path, unit_tokens)
        usable = _end(used)
        self._count(len(tokens), usable, path, keys, salt)
        if not usable:
            return None
        self._tree.use(path)
        blocks = [node.kv for node in used if node.kv]
        return Match(self._caches.joined(blocks, usable, len(tokens) - usable + 1), usable)

    def _usable(self, path: list[Node], unit_tokens: int) -> list[Node]:
        """As much of it as is whole units."""
        count = len(path)
        while count and path[count - 1].end % unit_tokens:
            count -= 1
        return path[:count]

    def _count(
        self, tokens: int, usable: int, path: Sequence[Node], keys: Sequence[bytes], salt: str
    ) -> None:
        counts = self._counts
        absent = self._tree.absent(path, keys[len(path) :], salt)
        counts.hit += usable
        counts.never_seen += absent.never_seen
        counts.evicted += absent.evicted
        counts.other_salt += absent.other_salt
        counts.below_block += _end(path) - usable + tokens - sum(map(len, keys)) // 4

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        tree = self._tree
        keys = tree.keys(pack_tokens(list(tokens[: self._room_tokens])))
        path = tree.path(keys, salt)
        tree.use(path)
        if len(path) == len(keys):
            return
        borders = tree.borders(len(tokens))[len(path) : len(keys) + 1]
        blocks = source.blocks(borders)
        if borders[-1] - borders[-2] == tree.block_tokens:
            last_bytes = max(1, blocks[-1].size_bytes)
            self._room_tokens = tree.bytes_max * tree.block_tokens // last_bytes
        tree.extend(path, keys[len(path) :], blocks, salt)

    def evict(self, size_bytes: int) -> int:
        return self._tree.evict(size_bytes)

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(len(self._tree), self._tree.size_bytes, self._tree.bytes_max)

    def counts(self) -> PrefixCounts:
        self._counts.evictions = self._tree.evictions
        return self._counts

    def changes(self) -> BlockChanges:
        return self._tree.held.changes()

    def check(self) -> None:
        self._tree.check()


def _end(path: Sequence[Node]) -> int:
    return path[-1].end if path else 0
