"""Which prompt cache a model has: one in blocks, where its caches can be cut into them, else one of
whole records. The blocks are those by which the orchestrator places requests."""

from __future__ import annotations

from ..text.block_hashes import BLOCK_TOKENS
from .block_cache import BlockPromptCache
from .caches import BlockCaches
from .prompt_cache import PromptCache
from .whole_cache import WholePromptCache


def prefix_store(
    caches: BlockCaches, bytes_max: int, block_tokens: int = BLOCK_TOKENS
) -> PromptCache:
    if caches.can_cut:
        return BlockPromptCache(caches, bytes_max, block_tokens)
    return WholePromptCache(caches, bytes_max)
