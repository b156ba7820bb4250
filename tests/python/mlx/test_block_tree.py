"""The tree of blocks: compared with a plain dict on random walks, and each of its rules broken on
purpose: a walk that doesn't notice is no test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from mlx_serving.mlx.block_cache import BlockPromptCache
from mlx_serving.mlx.block_tree import EVICTED_MAX, Absent, BlockTree, Node
from mlx_serving.mlx.caches import KvBlock
from mlx_serving.tokens import pack_tokens

from prefix_model import walk

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_walk_agrees_with_a_plain_dict(seed: int) -> None:
    walk(seed)


def test_the_last_block_may_be_shorter() -> None:
    tree = BlockTree(8, 100)
    assert [tree.borders(n) for n in (0, 5, 8, 25)] == [[0], [0, 5], [0, 8], [0, 8, 16, 24, 25]]
    keys = tree.keys(pack_tokens(list(range(17))))
    assert [len(key) // 4 for key in keys] == [8, 8, 1]


class DropsAReference(BlockTree):
    """An evicted block is still its parent's child."""

    def _drop(self, leaf: Node) -> None:
        parent = leaf.parent
        super()._drop(leaf)
        if parent is not None:
            parent.add(leaf)


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

    def __init__(self, block_tokens: int, bytes_max: int) -> None:
        super().__init__(block_tokens, bytes_max)
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


class KeepsWholeBlocksAlone(BlockTree):
    def keys(self, packed: bytes) -> list[bytes]:
        return [key for key in super().keys(packed) if len(key) == 4 * self.block_tokens]


class FindsNoPartOfABlock(BlockTree):
    def closest(self, path: Sequence[Node], key: bytes, salt: str) -> tuple[Node | None, int]:
        return None, 0


class TakesAllOfTheClosest(BlockTree):
    def closest(self, path: Sequence[Node], key: bytes, salt: str) -> tuple[Node | None, int]:
        node, shared = super().closest(path, key, salt)
        return node, len(key) // 4 if shared else 0


class KeepsTheShorterToo(BlockTree):
    def _remove(self, leaf: Node) -> None:
        if self.evicting:
            super()._remove(leaf)

    evicting = False

    def evict(self, size_bytes: int, sparing: int = 0) -> int:
        self.evicting = True
        try:
            return super().evict(size_bytes, sparing)
        finally:
            self.evicting = False


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
    KeepsWholeBlocksAlone,
    FindsNoPartOfABlock,
    TakesAllOfTheClosest,
    KeepsTheShorterToo,
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
    assert absent(tree, [1, 1, 2, 2, 3, 3]) == Absent(2, 0, 0)
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


def test_what_is_there_of_the_first_missing_block_is_not_absent() -> None:
    tree = BlockTree(4, 100)
    kept(tree, [1, 2, 3, 4, 5, 6, 7, 8])
    keys = tree.keys(pack_tokens([1, 2, 3, 4, 5, 6, 9, 9, 1, 1, 1, 1]))
    path = tree.path(keys, "")
    node, shared = tree.closest(path, keys[1], "")
    assert node and node.end == 8 and shared == 2
    assert tree.absent(path, keys[1:], "", shared) == Absent(6, 0, 0)
    assert tree.closest([], keys[1], "other") == (None, 0)


def test_a_longer_block_takes_the_place_of_a_shorter_one() -> None:
    tree = BlockTree(4, 30)
    kept(tree, [1, 2])
    kept(tree, [1, 3])
    kept(tree, [1, 2, 3])
    assert [node.key[::4] for node in tree._order] == [bytes([1, 3]), bytes([1, 2, 3])]
    # Its place is no eviction, and what it said is still there.
    assert tree.evictions == 0 and tree.size_bytes == 20
    assert tree.closest([], pack_tokens([1, 2, 9, 9]), "")[1] == 2


def test_a_block_that_finds_no_room_costs_the_shorter_one_alone() -> None:
    tree = BlockTree(4, 10)
    kept(tree, [1, 2])
    tree.extend([], tree.keys(pack_tokens([1, 2, 3])), [block(11)], "")
    tree.check()
    assert len(tree) == 0 and tree.size_bytes == 0


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
    keys = tree.keys(pack_tokens(list(range(156 * 64))))
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
