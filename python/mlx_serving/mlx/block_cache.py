"""A prompt cache that keeps keys and values in blocks, each once, whichever prompts begin with it.

For models of which all that a token leaves in a cache are its keys and values. A match joins blocks
into a cache of the row's own, so nobody but the tree uses a block, and any leaf may be evicted at
any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

from ..engine import PrefixCounts
from ..messages import pack_tokens
from .block_tree import BlockTree, Node
from .caches import BlockCaches
from .prompt_cache import Match, PromptCacheFigures, Source


class BlockPromptCache:
    """Implements `PromptCache`."""

    in_blocks = True

    def __init__(self, caches: BlockCaches, bytes_max: int, block_tokens: int) -> None:
        self._caches = caches
        self._tree = BlockTree(block_tokens, bytes_max)
        self._counts = PrefixCounts()
        # Of a block, once one is known.
        self._block_bytes = 1

    def peek(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> int:
        keys = self._tree.keys(pack_tokens(list(tokens)))
        return self._usable(self._tree.path(keys, salt), unit_tokens)

    def match(self, tokens: Sequence[int], unit_tokens: int, salt: str = "") -> Match | None:
        keys = self._tree.keys(pack_tokens(list(tokens)))
        path = self._tree.path(keys, salt)
        usable = self._usable(path, unit_tokens)
        self._count(len(tokens), usable, path, keys, salt)
        if not usable:
            return None
        self._tree.use(path)
        blocks = [node.kv for node in path[: usable // self._tree.block_tokens] if node.kv]
        return Match(self._caches.joined(blocks, usable, len(tokens) - usable + 1), usable)

    def _usable(self, path: Sequence[Node], unit_tokens: int) -> int:
        tokens = len(path) * self._tree.block_tokens
        return tokens - tokens % lcm(unit_tokens, self._tree.block_tokens)

    def _count(
        self, tokens: int, usable: int, path: Sequence[Node], keys: Sequence[bytes], salt: str
    ) -> None:
        counts, block = self._counts, self._tree.block_tokens
        absent = self._tree.absent(path, keys[len(path) :], salt)
        counts.hit += usable
        counts.never_seen += absent.never_seen * block
        counts.evicted += absent.evicted * block
        counts.other_salt += absent.other_salt * block
        counts.below_block += len(path) * block - usable + tokens - len(keys) * block

    def insert(self, tokens: Sequence[int], source: Source, salt: str = "") -> None:
        tree = self._tree
        room = tree.bytes_max // self._block_bytes
        keys = tree.keys(pack_tokens(list(tokens)))[:room]
        path = tree.path(keys, salt)
        tree.use(path)
        if len(path) == len(keys):
            return
        start, end = (blocks * tree.block_tokens for blocks in (len(path), len(keys)))
        blocks = source.blocks(start, end, tree.block_tokens)
        self._block_bytes = max(1, blocks[0].size_bytes)
        tree.extend(path, keys[len(path) :], blocks, salt)

    def evict(self, size_bytes: int) -> int:
        return self._tree.evict(size_bytes)

    def figures(self) -> PromptCacheFigures:
        return PromptCacheFigures(len(self._tree), self._tree.size_bytes, self._tree.bytes_max)

    def counts(self) -> PrefixCounts:
        self._counts.evictions = self._tree.evictions
        return self._counts

    def check(self) -> None:
        self._tree.check()
