"""Which prompts begin with a cached prefix, and which caches are kept for the prompts to come."""

from __future__ import annotations

from copy import deepcopy

from .batch import Batch
from .caches import Cache, Caches
from .chunk_policy import ChunkPolicy
from .prompt_cache import PromptCache
from .row import Row


class PrefixPolicy:
    def __init__(self, prompt_cache: PromptCache, caches: Caches, chunks: ChunkPolicy) -> None:
        self._prompt_cache = prompt_cache
        self._caches = caches
        self._chunks = chunks
        # Where nothing can be kept, nothing is copied for it.
        self._keeps = prompt_cache.figures().bytes_max > 0

    @property
    def size_bytes(self) -> int:
        return self._prompt_cache.figures().size_bytes

    def start(self, tokens: list[int]) -> tuple[Cache, int]:
        """A cache for these tokens with as much of their beginning as there is, and how much that
        is. The last token is always left: its logits are wanted."""
        match = self._prompt_cache.match(tokens[:-1], self._chunks.reuse_unit_tokens)
        return (self._caches.new(), 0) if match is None else (match.cache, match.tokens)

    def keep_prompt(self, row: Row) -> None:
        """Keeps a prompt as far as it is computed, where that is worth it."""
        if not self._keeps or row.done <= row.reused:
            return
        if self._chunks.keeps_prompt(row.done, row.left):
            self._prompt_cache.insert(row.prefill[: row.done], deepcopy(row.cache))

    def keep_answer(self, row: Row, batch: Batch) -> None:
        """Keeps prompt and answer for the conversation's next turn."""
        if self._keeps and self._chunks.keeps_answers:
            self._prompt_cache.insert(row.request.prompt + row.generated, batch.extract(row))
