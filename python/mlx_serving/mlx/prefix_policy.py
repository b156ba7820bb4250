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

    def new_cache(self) -> Cache:
        return self._caches.new()

    def available(self, tokens: list[int]) -> int:
        """How many of a prompt's first tokens are kept."""
        return self._prompt_cache.peek(tokens, self._chunks.reuse_unit_tokens)

    def take_over(self, row: Row) -> None:
        """Goes on from what is kept of its beginning, where that is more than it has."""
        unit = self._chunks.reuse_unit_tokens
        if self._prompt_cache.peek(row.prefill, unit) <= row.done:
            return
        match = self._prompt_cache.match(row.prefill, unit)
        if match is not None and match.tokens > row.done:
            row.go_on_from(match.cache, match.tokens)

    def keep_so_far(self, row: Row) -> None:
        """Keeps what is computed of a prompt that others wait for, or that is given up."""
        if self._keeps and row.done > row.reused and self._caches.can_trim(row.cache):
            self._prompt_cache.insert(row.prefill[: row.done], deepcopy(row.cache))

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
