"""A radix tree of blocks of tokens: which beginnings of prompts are kept, and which go first.

A block is some tokens after all that is before it, and has what is computed of them; blocks that
have the same beginning share it. The last one of a prompt may be shorter, and is a leaf until a
longer one that begins with it takes its place. A block is found by its tokens themselves, a step a
block, and of the one where a prompt parts from all others, what it has in common with it. Each salt
has a tree of its own, and all have one limit. Knows nothing of MLX, nor what a block is made of but
its bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from ..text.block_hashes import BLOCK_TOKENS as HASHED_TOKENS
from ..text.block_hashes import digests
from .caches import KvBlock
from .held_blocks import HeldBlocks

# Of evicted blocks that many are remembered, to tell them from those never seen.
EVICTED_MAX: Final = 65_536


class Node:
    """A block in its place. A root has no block, and is its own salt's."""

    __slots__ = (
        *("chain", "children", "digest", "end", "hashes", "key", "kv", "parent", "rest", "salt"),
        "in_order",
    )

    def __init__(self, salt: str, parent: Node | None, key: bytes, kv: KvBlock | None) -> None:
        self.salt = salt
        self.parent = parent
        self.key = key
        self.kv = kv
        self.chain: int = chained(parent.chain, key) if parent else 0
        self.end: int = parent.end + len(key) // 4 if parent else 0
        self.digest: bytes = parent.digest if parent else salt.encode()
        # Tokens that are in no digest yet.
        self.rest: bytes = parent.rest + key if parent else b""
        found = list(digests(self.digest, self.rest))
        self.hashes = [digest.hex() for digest in found]
        if found:
            self.digest, self.rest = found[-1], self.rest[len(found) * 4 * HASHED_TOKENS :]
        # None of their keys is the beginning of another's.
        self.children: dict[bytes, Node] = {}
        self.in_order: list[bytes] = []

    @property
    def begin(self) -> int:
        return self.end - len(self.key) // 4

    @property
    def size_bytes(self) -> int:
        return self.kv.size_bytes if self.kv else 0

    def add(self, child: Node) -> None:
        self.children[child.key] = child
        insort(self.in_order, child.key)

    def remove(self, child: Node) -> None:
        del self.children[child.key]
        del self.in_order[bisect_left(self.in_order, child.key)]

    def beginning_of(self, key: bytes) -> Node | None:
        """The child with which a longer block begins."""
        place = bisect_left(self.in_order, key)
        if place and key.startswith(self.in_order[place - 1]):
            return self.children[self.in_order[place - 1]]
        return None

    def closest(self, key: bytes) -> tuple[Node | None, int]:
        """The child that begins most like a block, and the number of tokens that they share."""
        place = bisect_left(self.in_order, key)
        neighbours = self.in_order[max(0, place - 1) : place + 1]
        shared, best = max(((_shared(key, one), one) for one in neighbours), default=(0, b""))
        return (self.children[best], shared) if shared else (None, 0)


def _shared(one: bytes, other: bytes) -> int:
    """How many packed tokens two blocks have in common at their beginning."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most // 4
    return next(at for at in range(0, most, 4) if one[at : at + 4] != other[at : at + 4]) // 4


def chained(chain: int, key: bytes) -> int:
    """Stands for a block and all before it, whatever the salt. For figures alone."""
    return hash((chain, key))


@dataclass(frozen=True, slots=True)
class Absent:
    """Why blocks of a prompt aren't there, in tokens."""

    never_seen: int
    evicted: int
    other_salt: int

    @property
    def tokens(self) -> int:
        return self.never_seen + self.evicted + self.other_salt


class TreeObserver(Protocol):
    """Is told what becomes of blocks; it may not change the tree."""

    def added(self, node: Node) -> None: ...

    def removed(self, node: Node) -> None: ...

    def used(self, nodes: Sequence[Node]) -> None:
        """In their order in a path, the first of it first."""
        ...


class BlockTree:
    def __init__(self, block_tokens: int, bytes_max: int) -> None:
        self.block_tokens = block_tokens
        self.bytes_max = bytes_max
        self.size_bytes = 0
        self.evictions = 0
        self.held = HeldBlocks()
        self.observer: TreeObserver | None = None
        self._roots: dict[str, Node] = {}
        # The least recently used first. Whoever uses a block uses all before it, and those count as
        # used after it: so the first is a leaf, always.
        self._order: OrderedDict[Node, None] = OrderedDict()
        self._chains: Counter[int] = Counter()
        self._evicted: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def keys(self, packed: bytes) -> list[bytes]:
        """The blocks of packed tokens, of which the last one may be shorter."""
        ends = self.borders(len(packed) // 4)
        return [packed[4 * first : 4 * end] for first, end in pairwise(ends)]

    def borders(self, tokens: int) -> list[int]:
        """Where blocks begin and end in so many tokens."""
        whole = range(0, tokens + 1, self.block_tokens)
        return [*whole] if tokens % self.block_tokens == 0 else [*whole, tokens]

    def path(self, keys: Sequence[bytes], salt: str) -> list[Node]:
        """As many of these blocks as are here, from the first on. Counts as no use."""
        found: list[Node] = []
        node = self._roots.get(salt)
        for key in keys:
            node = node.children.get(key) if node else None
            if node is None:
                break
            found.append(node)
        return found

    def closest(self, path: Sequence[Node], key: bytes, salt: str) -> tuple[Node | None, int]:
        """Behind a path that is here: the block that begins most like this one, and the number of
        tokens that they share."""
        node = path[-1] if path else self._roots.get(salt)
        return node.closest(key) if node else (None, 0)

    def use(self, path: Sequence[Node]) -> None:
        for node in reversed(path):
            self._order.move_to_end(node)
        if self.observer:
            self.observer.used(path)

    def extend(
        self, path: list[Node], keys: Sequence[bytes], blocks: Sequence[KvBlock], salt: str
    ) -> None:
        """Puts blocks behind a path that is here, as far as there is room without any of it. What
        is there of the first of them as a shorter block goes."""
        self.use(path)
        path = list(path)
        for key, kv in zip(keys, blocks, strict=True):
            before = path[-1] if path else self._roots.get(salt)
            shorter = before.beginning_of(key) if before else None
            if shorter:
                self._remove(shorter)
            self.evict(self.size_bytes + kv.size_bytes - self.bytes_max, sparing=len(path))
            if self.size_bytes + kv.size_bytes > self.bytes_max:
                break
            parent = path[-1] if path else self._root(salt)
            node = Node(salt, parent, key, kv)
            parent.add(node)
            self._chains[node.chain] += 1
            self._evicted.pop(hash((node.chain, salt)), None)
            self.size_bytes += kv.size_bytes
            self._order[node] = None
            self.held.add(node.hashes)
            if self.observer:
                self.observer.added(node)
            path.append(node)
        self.use(path)

    def _root(self, salt: str) -> Node:
        return self._roots.setdefault(salt, Node(salt, None, b"", None))

    def evict(self, size_bytes: int, sparing: int = 0) -> int:
        """Gives so many bytes back, or all but those of the blocks used last, so many of which are
        spared. How many bytes it were."""
        before = self.size_bytes
        while len(self._order) > sparing and before - self.size_bytes < size_bytes:
            self._drop(next(iter(self._order)))
        return before - self.size_bytes

    def _drop(self, leaf: Node) -> None:
        self._remove(leaf)
        self.evictions += 1
        self._evicted[hash((leaf.chain, leaf.salt))] = None
        if len(self._evicted) > EVICTED_MAX:
            self._evicted.popitem(last=False)

    def _remove(self, leaf: Node) -> None:
        parent = leaf.parent
        assert parent is not None and not leaf.children, "only a leaf may go"
        parent.remove(leaf)
        if parent.parent is None and not parent.children:
            del self._roots[leaf.salt]
        del self._order[leaf]
        self.size_bytes -= leaf.size_bytes
        self.held.drop(leaf.hashes)
        if self.observer:
            self.observer.removed(leaf)
        self._chains[leaf.chain] -= 1
        if not self._chains[leaf.chain]:
            del self._chains[leaf.chain]

    def absent(
        self, path: Sequence[Node], keys: Sequence[bytes], salt: str, shared: int = 0
    ) -> Absent:
        """Why the blocks after a path aren't there, of the first of which so many tokens are."""
        chain = path[-1].chain if path else 0
        never_seen = evicted = other_salt = 0
        for key in keys:
            chain = chained(chain, key)
            tokens, shared = len(key) // 4 - shared, 0
            if hash((chain, salt)) in self._evicted:
                evicted += tokens
            elif chain in self._chains:
                other_salt += tokens
            else:
                never_seen += tokens
        return Absent(never_seen, evicted, other_salt)

    def check(self) -> None:
        """Raises `AssertionError` where the tree contradicts itself. For tests."""
        nodes = list(self._nodes())
        assert set(nodes) == set(self._order), "what is in the tree isn't what may be evicted"
        assert len(nodes) == len(self._order), "a block is in two places"
        total = sum(node.size_bytes for node in nodes)
        assert total == self.size_bytes, f"{self.size_bytes} bytes are counted, {total} are kept"
        assert total <= self.bytes_max, f"{total} bytes are kept, {self.bytes_max} are allowed"
        assert Counter(node.chain for node in nodes) == self._chains, "chains are miscounted"
        assert all(root.children for root in self._roots.values()), "a root has no blocks"
        places = {node: place for place, node in enumerate(self._order)}
        for node in nodes:
            parent = node.parent
            assert parent is not None and parent.children.get(node.key) is node, "an orphan"
            assert node.salt == parent.salt, "a block is under another salt"
            assert node.begin == parent.end == self.borders(node.end)[-2], (
                "a block begins in another"
            )
            assert parent.in_order == sorted(parent.children), "blocks are out of order"
            assert parent.beginning_of(node.key) is None, "a block is there twice"
            in_order = parent.parent is None or places[parent] > places[node]
            assert in_order, "a block would go before those after it"

    def _nodes(self) -> Iterator[Node]:
        stack = list(self._roots.values())
        while stack:
            node = stack.pop()
            stack += node.children.values()
            if node.parent is not None:
                yield node
