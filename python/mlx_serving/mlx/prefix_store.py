"""Which prompt cache a model has: one in blocks, where its caches can be cut into them, else one of
whole records. The blocks are those by which the orchestrator places requests."""

from __future__ import annotations

from typing import Final

from ..text.block_hashes import BLOCK_TOKENS
from .block_cache import BlockPromptCache
from .caches import BlockCaches
from .prompt_cache import PromptCache
from .whole_cache import WholePromptCache

# The first block is cut into so many: a short prompt is found by eight tokens, a long one isn't
# joined of that many.
FIRST_PARTS: Final = 8


def prefix_store(
    caches: BlockCaches, bytes_max: int, block_tokens: int = BLOCK_TOKENS
) -> PromptCache:
    if caches.can_cut:
        parts = FIRST_PARTS if block_tokens % FIRST_PARTS == 0 else 1
        return BlockPromptCache(caches, bytes_max, block_tokens, parts)
    return WholePromptCache(caches, bytes_max)
