"""Which prompts begin with a cached prefix, and what is kept for the prompts to come."""

from __future__ import annotations

from typing import Final

from ..engine import PrefixCounts
from .batch import Batch
from .caches import Cache, Caches
from .chunk_policy import ChunkPolicy
from .kv_sources import RowSource
from .prompt_cache import BlockChanges, PromptCache, PromptCacheFigures
from .row import Row

# Of what can be kept as a whole only, a record is made each time that so many tokens are computed.
RECORD_TOKENS: Final = 2048


class PrefixPolicy:
    def __init__(self, prompt_cache: PromptCache, caches: Caches, chunks: ChunkPolicy) -> None:
        self._prompt_cache = prompt_cache
        self._caches = caches
        self._chunks = chunks
        # Where nothing can be kept, nothing is copied for it.
        self._keeps = prompt_cache.figures().bytes_max > 0

    def figures(self) -> PromptCacheFigures:
        return self._prompt_cache.figures()

    def changes(self) -> BlockChanges:
        return self._prompt_cache.changes()

    def counts(self) -> PrefixCounts:
        return self._prompt_cache.counts()

    def peek(self, tokens: list[int], salt: str) -> int:
        """How many of these tokens `start` would find now."""
        return self._prompt_cache.peek(tokens[:-1], self._chunks.reuse_unit_tokens, salt)

    def start(self, tokens: list[int], salt: str) -> tuple[Cache, int]:
        """A cache for these tokens with as much of their beginning as there is, and how much that
        is. The last token is always left: its logits are wanted."""
        match = self._prompt_cache.match(tokens[:-1], self._chunks.reuse_unit_tokens, salt)
        return (self._caches.new(), 0) if match is None else (match.cache, match.tokens)

    def take_over(self, row: Row) -> None:
        """Gives a row its cache, or one in which more of its prompt is computed than in its own."""
        known = [*row.prefill, row.last]
        if not row.has_begun or self.peek(known, row.request.salt) > row.done:
            row.go_on_from(*self.start(known, row.request.salt))

    def keep_prompt(self, row: Row, waits: bool = True) -> None:
        """After each chunk of a prompt: keeps what is computed, where that is worth it. `waits`:
        the chunk has been waited for, so what is copied of it is too."""
        is_record_due = row.done // RECORD_TOKENS > row.kept // RECORD_TOKENS
        ends = self._chunks.keeps_prompt(row.done, row.left)
        if self._prompt_cache.in_blocks or is_record_due or ends:
            self.keep_so_far(row, waits)

    def keep_so_far(self, row: Row, waits: bool = True) -> None:
        """Keeps a prompt as far as it is computed, which may be all that will be of it. In blocks
        only what is whole units: a chunk that ends before one isn't what another prompt's is."""
        tokens = row.done
        if self._prompt_cache.in_blocks:
            tokens -= tokens % self._chunks.reuse_unit_tokens
        if self._keeps and tokens > row.kept:
            row.kept = tokens
            source = RowSource(row.cache, waits)
            self._prompt_cache.insert(row.prefill[:tokens], source, row.request.salt)

    def keep_answer(self, row: Row, batch: Batch) -> None:
        """Keeps prompt and answer for the conversation's next turn."""
        if self._keeps and self._chunks.keeps_answers:
            tokens = row.request.prompt + row.generated
            self._prompt_cache.insert(tokens, batch.source(row), row.request.salt)
