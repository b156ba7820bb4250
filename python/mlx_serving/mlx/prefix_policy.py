"""Which prompts begin with a cached prefix, and what is kept for the prompts to come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil, lcm
from typing import Final

from ..engine import DiskCounts, PrefixCounts
from ..text.block_hashes import BLOCK_TOKENS
from . import growth
from .batch import Batch
from .caches import Cache, Caches
from .chunk_policy import ChunkPolicy
from .kv_sources import RowSource
from .prefix_disk import PrefixDisk
from .prompt_cache import BlockChanges, PromptCache, PromptCacheFigures
from .row import Row

# Of what can be kept as a whole only, a record is made each time that so many tokens are computed.
RECORD_TOKENS: Final = 2048
# Tokens of a prompt that a step may cut into blocks beside decoding: a millisecond or two, where
# each array of a block is a kernel.
KEPT_AT_ONCE: Final = 128
# Caches of rows that have ended, which wait to be cut.
LEAVING_MAX: Final = 4


@dataclass(slots=True, eq=False)
class Leaving:
    """A row that has ended: `kept` of its tokens are in the prompt cache."""

    tokens: list[int]
    cache: Cache
    salt: str
    kept: int


class PrefixPolicy:
    def __init__(
        self,
        prompt_cache: PromptCache,
        caches: Caches,
        chunks: ChunkPolicy,
        *,
        trickles: bool = False,
        disk: PrefixDisk | None = None,
    ) -> None:
        """`trickles`: to cut blocks takes longer than a step may, so a prompt is kept bit by bit
        while its row decodes; `disk`: where blocks outlive this worker."""
        self._prompt_cache = prompt_cache
        self._caches = caches
        self._chunks = chunks
        # Where nothing can be kept, nothing is copied for it.
        self.keeps = prompt_cache.figures().bytes_max > 0
        self._trickles = trickles
        self._disk = disk
        self._leaving: deque[Leaving] = deque()

    def figures(self) -> PromptCacheFigures:
        return self._prompt_cache.figures()

    def lend(self, size_bytes: float) -> None:
        """So much of what it may keep is a row's, until it is told another number."""
        self._prompt_cache.lend(ceil(size_bytes))

    def changes(self) -> BlockChanges:
        return self._prompt_cache.changes()

    def counts(self) -> PrefixCounts:
        return self._prompt_cache.counts()

    def check(self) -> None:
        self._prompt_cache.check()

    def disk_counts(self) -> DiskCounts | None:
        return self._disk.counts() if self._disk else None

    def delay_seconds(self) -> float | None:
        """Until `keep_up` has something to do; None: it has nothing."""
        return self._disk.delay_seconds if self._disk else None

    def keep_up(self, batch: Batch) -> None:
        """Once a step, after its rows have decoded."""
        if self._disk:
            self._disk.keep_up(beside_rows=bool(batch.rows))

    def finish(self, seconds: float) -> None:
        if self._disk:
            self._disk.finish(seconds)

    def awaits(self, id: int, tokens: list[int], salt: str, may_wait: bool) -> bool:
        """Whether more of them is on its way, so that `peek` will find more. `may_wait`: nothing
        else could be done meanwhile."""
        if self._disk is None:
            return False
        self._keep_rest(tokens, salt)
        return self._disk.awaits(id, tokens[:-1], salt, may_wait)

    def forget(self, id: int) -> None:
        """A request that has no row and gets none."""
        if self._disk:
            self._disk.forget(id)

    def peek(self, tokens: list[int], salt: str) -> int:
        """How many of these tokens `start` would find now."""
        self._keep_rest(tokens, salt)
        return self._prompt_cache.peek(tokens[:-1], self._chunks.reuse_unit_tokens, salt)

    def start(self, tokens: list[int], salt: str) -> tuple[Cache, int]:
        """A cache for these tokens with as much of their beginning as there is, and how much that
        is. The last token is always left: its logits are wanted."""
        self._keep_rest(tokens, salt)
        match = self._prompt_cache.match(tokens[:-1], self._chunks.reuse_unit_tokens, salt)
        if match is not None:
            return match.cache, match.tokens
        cache = self._caches.new()
        if not self._chunks.padding_tokens(1):
            growth.reserve(cache, len(tokens))
        return cache, 0

    def found_at_once(self, tokens: int) -> int:
        """How many of so many tokens that a prompt has in common with another it finds, once that
        one is computed; blocks aside, which are kept when another wants them."""
        if not self.keeps or (self._trickles and self._prompt_cache.in_blocks):
            return 0
        return tokens - tokens % self._chunks.reuse_unit_tokens

    def take_over(self, row: Row) -> None:
        """Gives a row its cache, or one in which more of its prompt is computed than in its own."""
        known = [*row.prefill, row.last]
        if not row.has_begun or self.peek(known, row.request.salt) > row.done:
            row.go_on_from(*self.start(known, row.request.salt))

    def begin_at(self, row: Row, tokens: int) -> None:
        """Gives a row its cache with so many tokens of its prompt, of which more may be there; with
        others, where that can't be."""
        known = [*row.prefill, row.last]
        if not tokens and self.peek(known, row.request.salt):
            row.go_on_from(self._caches.new(), 0)
            return
        cache, found = self.start(known, row.request.salt)
        if found > tokens and self._caches.can_trim(cache):
            self._caches.trim(cache, found - tokens)
            found = tokens
        row.go_on_from(cache, found)

    def keep_prompt(self, row: Row, waits: bool = True, wanted: bool = False) -> None:
        """After each chunk of a prompt: keeps what is computed, where that is worth it. `waits`:
        the chunk has been waited for, so what is copied of it is too; `wanted`: it is over, and
        another goes on from it."""
        if not self._prompt_cache.in_blocks:
            is_record_due = row.done // RECORD_TOKENS > row.kept // RECORD_TOKENS
            if is_record_due or self._chunks.keeps_prompt(row.done, row.left):
                self.keep_so_far(row, waits)
        elif wanted:
            self.keep_so_far(row, waits)
        elif not self._trickles:
            # What fills no block comes again: with the next chunk, or the answer.
            self._keep(row, self._units(row.done - row.done % BLOCK_TOKENS), waits)

    def keep_so_far(self, row: Row, waits: bool = True) -> None:
        """Keeps a prompt as far as it is computed, which may be all that will be of it."""
        self._keep(row, self._units(row.done), waits)

    def _keep(self, row: Row, tokens: int, waits: bool) -> None:
        if self.keeps and tokens > row.kept:
            row.kept = tokens
            source = RowSource(row.cache, waits)
            self._prompt_cache.insert(row.prefill[:tokens], source, row.request.salt)

    def _units(self, tokens: int) -> int:
        """In blocks only what is whole units: a chunk that ends before one isn't what another
        prompt's is."""
        unit = self._chunks.reuse_unit_tokens if self._prompt_cache.in_blocks else 1
        return tokens - tokens % unit

    def keep_some(self, batch: Batch) -> None:
        """A few more blocks of a row that has ended, or of the prompt of one that decodes."""
        if not (self._trickles and self.keeps and self._prompt_cache.in_blocks):
            return
        while self._leaving and not batch.rows:
            # Nobody waits for it, and nothing comes that would go on with it.
            one = self._leaving.popleft()
            self._keep_leaving(one, len(one.tokens))
        unit = lcm(self._chunks.reuse_unit_tokens, BLOCK_TOKENS)
        if self._leaving:
            one = self._leaving[0]
            one.kept += max(unit, KEPT_AT_ONCE)
            if one.kept >= len(one.tokens):
                self._leaving.popleft()
            self._keep_leaving(one, one.kept)
            return
        for row in batch.rows:
            whole = len(row.prefill) - len(row.prefill) % unit
            if row.kept >= whole:
                continue
            row.kept = min(whole, row.kept - row.kept % unit + max(unit, KEPT_AT_ONCE))
            self._prompt_cache.insert(row.prefill[: row.kept], batch.source(row), row.request.salt)
            return

    def keep_answer(self, row: Row, batch: Batch) -> None:
        """Keeps prompt and answer for the conversation's next turn."""
        if not (self.keeps and self._chunks.keeps_answers):
            return
        tokens, salt = row.request.prompt + row.generated, row.request.salt
        if not (self._trickles and self._prompt_cache.in_blocks and len(batch.rows) > 1):
            self._prompt_cache.insert(tokens, batch.source(row), salt)
            return
        self._leaving.append(Leaving(tokens, batch.source(row).whole(), salt, row.kept))
        if len(self._leaving) > LEAVING_MAX:
            one = self._leaving.popleft()
            self._keep_leaving(one, len(one.tokens))

    def _keep_rest(self, tokens: list[int], salt: str) -> None:
        """Of rows that have ended and begin as these tokens do, all that is not kept yet."""
        for one in list(self._leaving):
            if one.salt == salt and one.tokens[:BLOCK_TOKENS] == tokens[:BLOCK_TOKENS]:
                self._leaving.remove(one)
                self._keep_leaving(one, len(one.tokens))

    def _keep_leaving(self, one: Leaving, tokens: int) -> None:
        self._prompt_cache.insert(one.tokens[:tokens], RowSource(one.cache, waits=False), one.salt)
