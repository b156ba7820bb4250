"""The tree of blocks: compared with a plain dict on random walks, and each of its rules broken on
purpose: a walk that doesn't notice is no test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from mlx_serving.messages import pack_tokens
from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.mlx.block_tree import EVICTED_MAX, Absent, BlockTree, Node
from mlx_serving.mlx.caches import KvBlock

from prefix_model import walk

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_walk_agrees_with_a_plain_dict(seed: int) -> None:
    walk(seed)
    walk(seed, parts=2)


def test_the_first_block_is_cut_finer() -> None:
    tree = BlockTree(8, 100, 4)
    assert tree.borders(7) == [0, 2, 4, 6]
    assert tree.borders(8) == [0, 2, 4, 6, 8]
    assert tree.borders(25) == [0, 2, 4, 6, 8, 16, 24]
    keys = tree.keys(pack_tokens(list(range(17))))
    assert [len(key) // 4 for key in keys] == [2, 2, 2, 2, 8]
    assert BlockTree(8, 100).borders(25) == [0, 8, 16, 24]


class DropsAReference(BlockTree):
    """An evicted block is still its parent's child."""

    def _drop(self, leaf: Node) -> None:
        parent = leaf.parent
        super()._drop(leaf)
        if parent is not None:
            parent.children[leaf.key] = leaf


class EvictsWhatIsUsed(BlockTree):
    def evict(self, size_bytes: int, sparing: int = 0) -> int:
        return super().evict(size_bytes)


class ForgetsTheSalt(BlockTree):
    def path(self, keys: Sequence[bytes], salt: str) -> list[Node]:
        return super().path(keys, "")

    def extend(
        self, path: list[Node], keys: Sequence[bytes], blocks: Sequence[KvBlock], salt: str
    ) -> None:
        super().extend(path, keys, blocks, "")


class SharesAcrossModels(BlockTree):
    roots: dict[str, Node]

    def __init__(self, block_tokens: int, bytes_max: int, first_parts: int = 1) -> None:
        super().__init__(block_tokens, bytes_max, first_parts)
        self._roots = self.roots


class NeverUses(BlockTree):
    def use(self, path: Sequence[Node]) -> None:
        pass


class UsesTheLeafLast(BlockTree):
    def use(self, path: Sequence[Node]) -> None:
        super().use(path[::-1])


class ComparesNoTokens(BlockTree):
    """Blocks are taken for equal where their first tokens are."""

    def keys(self, packed: bytes) -> list[bytes]:
        return [key[:4] * self.block_tokens for key in super().keys(packed)]


class KeepsPartsOfBlocks(BlockTree):
    def keys(self, packed: bytes) -> list[bytes]:
        whole = super().keys(packed)
        tail = packed[len(whole) * 4 * self.block_tokens :]
        return [*whole, tail] if tail else whole


class CountsNoBytes(BlockTree):
    def _drop(self, leaf: Node) -> None:
        super()._drop(leaf)
        self.size_bytes += leaf.size_bytes


class EvictsTheYoungest(BlockTree):
    def evict(self, size_bytes: int, sparing: int = 0) -> int:
        self._order = type(self._order)(reversed(self._order.items()))
        try:
            return super().evict(size_bytes, sparing)
        finally:
            self._order = type(self._order)(reversed(self._order.items()))


class HasNoLimit(BlockTree):
    def extend(
        self, path: list[Node], keys: Sequence[bytes], blocks: Sequence[KvBlock], salt: str
    ) -> None:
        limit, self.bytes_max = self.bytes_max, 1 << 30
        super().extend(path, keys, blocks, salt)
        self.bytes_max = limit


class HangsBlocksOnTheRoot(BlockTree):
    def extend(
        self, path: list[Node], keys: Sequence[bytes], blocks: Sequence[KvBlock], salt: str
    ) -> None:
        super().extend([], keys, blocks, salt)


MUTATIONS: list[type[BlockTree]] = [
    DropsAReference,
    EvictsWhatIsUsed,
    ForgetsTheSalt,
    SharesAcrossModels,
    NeverUses,
    UsesTheLeafLast,
    ComparesNoTokens,
    KeepsPartsOfBlocks,
    CountsNoBytes,
    EvictsTheYoungest,
    HasNoLimit,
    HangsBlocksOnTheRoot,
]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_is_noticed(
    mutation: type[BlockTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlx_serving.mlx.block_cache.BlockTree", mutation)
    monkeypatch.setattr(SharesAcrossModels, "roots", {}, raising=False)
    with pytest.raises((AssertionError, KeyError)):
        for seed in SEEDS:
            walk(seed)


def block(size_bytes: int = 10) -> KvBlock:
    return KvBlock([], size_bytes)


def kept(tree: BlockTree, tokens: list[int], salt: str = "") -> None:
    keys = tree.keys(pack_tokens(tokens))
    path = tree.path(keys, salt)
    tree.extend(path, keys[len(path) :], [block() for _ in keys[len(path) :]], salt)
    tree.check()


def absent(tree: BlockTree, tokens: list[int], salt: str = "") -> Absent:
    keys = tree.keys(pack_tokens(tokens))
    path = tree.path(keys, salt)
    return tree.absent(path, keys[len(path) :], salt)


def test_what_is_absent_has_a_reason() -> None:
    tree = BlockTree(2, 40)
    assert absent(tree, [1, 1, 2, 2]) == Absent(4, 0, 0)
    kept(tree, [1, 1, 2, 2])
    assert absent(tree, [1, 1, 2, 2, 3, 3, 9]) == Absent(2, 0, 0)
    assert absent(tree, [1, 1, 2, 2, 3, 3], "other") == Absent(2, 0, 4)
    kept(tree, [5, 5, 6, 6, 7, 7, 8, 8])
    assert absent(tree, [1, 1, 2, 2]) == Absent(0, 4, 0)
    # The same tokens after others are another block.
    assert absent(tree, [6, 6, 2, 2]) == Absent(4, 0, 0)
    # Kept again, it is there; evicted under one salt says nothing of another.
    kept(tree, [1, 1])
    assert absent(tree, [1, 1, 2, 2]) == Absent(0, 2, 0)
    assert absent(tree, [2, 2], "other") == Absent(2, 0, 0)
    assert tree.evictions == 3


def test_of_evicted_blocks_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVICTED_MAX > 0
    monkeypatch.setattr("mlx_serving.mlx.block_tree.EVICTED_MAX", 2)
    tree = BlockTree(1, 10)
    for token in range(4):
        kept(tree, [token])
    reasons = [absent(tree, [token]) for token in range(3)]
    assert reasons == [Absent(1, 0, 0), Absent(0, 1, 0), Absent(0, 1, 0)]


def test_a_prompt_longer_than_all_room_keeps_its_beginning() -> None:
    tree = BlockTree(1, 30)
    kept(tree, [9, 8])
    kept(tree, [1, 2, 3, 4, 5])
    assert len(tree.path(tree.keys(pack_tokens([1, 2, 3, 4, 5])), "")) == 3
    assert len(tree.path(tree.keys(pack_tokens([9, 8])), "")) == 0


def test_ten_thousand_tokens_are_found_by_a_step_a_block() -> None:
    tree = BlockTree(64, 1 << 40)
    for conversation in range(20):
        kept(tree, [*range(10_000), conversation, *range(700)])
    keys = tree.keys(pack_tokens(list(range(10_000))))
    steps = 0

    class Counted(dict[bytes, Node]):
        def get(self, key: bytes, default: object = None) -> object:  # type: ignore[override]
            nonlocal steps
            steps += 1
            return super().get(key)

    for node in tree.path(keys, ""):
        node.children = Counted(node.children)
    assert len(tree.path(keys, "")) == len(keys) == 156
    assert steps <= len(keys)


CONTRADICTIONS: dict[str, Callable[[BlockTree, Node], object]] = {
    "miscounted": lambda tree, node: tree._chains.update({node.chain: 1}),
    "an orphan": lambda tree, node: setattr(node, "parent", Node("", None, b"", None)),
    "another salt": lambda tree, node: setattr(node, "salt", "other"),
    "bytes are counted": lambda tree, node: setattr(tree, "size_bytes", 7),
    "may be evicted": lambda tree, node: tree._order.pop(node),
    "before those after it": lambda tree, node: tree._order.move_to_end(node),
}


@pytest.mark.parametrize("told", CONTRADICTIONS)
def test_a_contradiction_is_told(told: str) -> None:
    tree = BlockTree(1, 100)
    kept(tree, [1, 2])
    leaf = tree.path(tree.keys(pack_tokens([1, 2])), "")[-1]
    CONTRADICTIONS[told](tree, leaf)
    with pytest.raises(AssertionError, match=told):
        tree.check()


def test_a_cache_has_a_tree() -> None:
    from prefixes import Trimmer

    assert isinstance(BlockPromptCache(Trimmer(), 1, 2)._tree, BlockTree)
