"""The steps of the MLX engine: admission, prefill, decode, prefix cache.

Every step decodes all live rows once, then prefills as much as `prefill_budget.py` allows, one
chunk of each waiting prompt in turn: a short prompt is never behind a long one. A prompt's last
token is fed by the row's first decode step, and so are, in the deterministic profile, the tokens of
a resume; outside it they are prefilled with the prompt.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final, Protocol

import mlx.core as mx

from ..engine import (
    End,
    EngineFigures,
    Host,
    PrefillProgress,
    StepOutput,
    failed,
    is_out_of_memory,
)
from ..engine import Row as OutputRow
from ..messages import Admission, Capabilities, Refused
from .batch import Batch, Cache, Fed, Row
from .grouping import Grouping
from .memory import window_tokens
from .prefill_budget import BORDER_TOKENS, PrefillBudget, allowance_ms
from .prefix import PrefixCache
from .sampling import RowSampling, Sampler

COMPILE_ALLOWANCE_MS: Final = 180_000.0
# MLX keeps freed buffers for the next ones. Giving them back takes as long as a chunk, so it is
# done between prompts or after so many steps, and only where they are many.
BOUND_STEPS: Final = 256
BUFFER_SHARE: Final = 0.1


class Caches(Protocol):
    """A model with its caches: `CacheFactory` of `engine.py`, or a test's."""

    model: Any

    @property
    def in_pieces(self) -> bool:
        """Whether a prompt may be prefilled in pieces."""
        ...

    def new(self) -> Cache: ...
    def can_trim(self, cache: Cache) -> bool: ...
    def trim(self, cache: Cache, tokens: int) -> None: ...


class Steps:
    def __init__(
        self,
        caches: Caches,
        *,
        limits: Capabilities,
        end_tokens: frozenset[int],
        vocabulary: int,
        max_batch: int,
        prefill_budget: PrefillBudget,
        prefixes: PrefixCache[Cache],
        host: Host,
        on_gpu: bool,
        sampler: Sampler,
        grouping: Grouping,
    ) -> None:
        """`on_gpu`: each new shape is compiled on its first use, which may take a minute."""
        self._caches = caches
        self._limits = limits
        self._end_tokens = end_tokens
        self._vocabulary = vocabulary
        self._max_batch = max_batch
        self._budget = prefill_budget
        self._prefixes = prefixes
        self._host = host
        self._on_gpu = on_gpu
        self._batch = Batch(caches.model, sampler, grouping)
        self._waiting: deque[Admission] = deque()
        self._prefilling: deque[Row] = deque()
        self._prefilled: list[Row] = []
        self._steps = 0
        self._shapes: set[tuple[tuple[int, ...], int]] = set()

    @property
    def max_batch(self) -> int:
        return self._max_batch

    # --- admission ---

    def insert(self, request: Admission) -> None:
        """Raises `Refused`."""
        limits = self._limits
        tokens = min(len(request.prompt) + request.max_tokens, limits.context_max)
        needed = limits.kv_bytes_fixed + limits.kv_bytes_per_token * tokens
        if needed > limits.kv_budget_bytes:
            message = f"it needs {needed:.0f} bytes of KV cache, {limits.kv_budget_bytes} are there"
            raise Refused("memory_budget_exceeded", "max_tokens", message)
        if self._places_left() == 0:
            self._waiting.append(request)
        else:
            self._prefilling.append(self._new_row(request))

    def _places_left(self) -> int:
        taken = len(self._batch.rows) + len(self._prefilling) + len(self._prefilled)
        return max(0, self._max_batch - taken)

    def _new_row(self, request: Admission) -> Row:
        emitted = request.emitted
        replays = bool(emitted) and (self._budget.deterministic or not self._caches.in_pieces)
        known = request.prompt if replays else request.prompt + emitted
        cache, cached = self._from_prefix_cache(known)
        first = len(emitted)
        return Row(
            request=request,
            sampling=RowSampling(
                request.sampling, request.prompt, [] if replays else emitted, self._vocabulary
            ),
            prefill=known[:-1],
            last=known[-1],
            forced=emitted if replays else [],
            cache=cache,
            done=cached,
            reused=cached,
            cached=min(cached, len(request.prompt)),
            first=first,
            index=-1 if replays else first - 1,
            end=min(request.max_tokens, self._limits.context_max - len(request.prompt)),
            observe_from=0 if replays else first,
            generated=[] if replays else emitted[:-1],
        )

    def _from_prefix_cache(self, tokens: list[int]) -> tuple[Cache, int]:
        """A cache of our own with as much of the tokens' start as there is, but the last."""
        found = self._prefixes.longest(tokens[:-1])
        if found is None:
            return self._caches.new(), 0
        entry, usable = found
        usable -= usable % (
            BORDER_TOKENS if self._budget.deterministic else self._budget.unit_tokens
        )
        if usable == 0 or (entry.whole and usable < entry.tokens):
            return self._caches.new(), 0
        cache = deepcopy(entry.value)
        self._caches.trim(cache, entry.tokens - usable)
        return cache, usable

    def remove(self, id: int) -> None:
        self._waiting = deque(request for request in self._waiting if request.id != id)
        self._prefilling = deque(row for row in self._prefilling if row.id != id)
        self._prefilled = [row for row in self._prefilled if row.id != id]
        self._batch.remove([row for row in self._batch.rows if row.id == id])

    # --- steps ---

    def delay_seconds(self) -> float | None:
        return 0.0 if self._waiting or self._prefilling or self._batch.rows else None

    def step(self) -> StepOutput:
        output = StepOutput()
        if self._batch.rows:
            self._decode(output)
        while self._waiting and self._places_left():
            self._start(self._waiting.popleft(), output)
        if self._prefilling:
            self._prefill(output)
        else:
            self._budget.idle()
        return output

    def _start(self, request: Admission, output: StepOutput) -> None:
        try:
            self._prefilling.append(self._new_row(request))
        except Exception as error:
            output.ends.append(failed(request.id, error))

    def _decode(self, output: StepOutput) -> None:
        self._announce(self._batch.passes, 1, self._budget.step_seconds)
        start = time.monotonic()
        fed = self._batch.step()
        waits = bool(self._prefilling) and not self._on_gpu
        if waits:
            # Where Python and MLX share the processor, nothing is lost by waiting, and the chunk is
            # measured alone.
            mx.eval(self._batch.tokens)
        self._budget.stepped(
            time.monotonic() - start,
            len(fed),
            alone=not self._prefilling,
            whole=waits or not self._prefilling,
        )
        self._steps += 1
        if self._steps % BOUND_STEPS == 0:
            self._bound_buffers()
        rows: list[OutputRow] = []
        finished: list[Row] = []
        for token in fed:
            self._take(token, rows, finished, output)
        output.rows = rows
        for row in finished:
            self._keep_answer(row)
        self._batch.remove(finished)

    def _take(
        self, fed: Fed, rows: list[OutputRow], finished: list[Row], output: StepOutput
    ) -> None:
        row, index = fed.row, fed.index
        if index < row.first:
            done = row.total - (row.first - 1 - index)
            output.prefills.append(PrefillProgress(row.id, done, row.total, row.cached))
            return
        rows.append((row.id, index, fed.token, fed.logprobs))
        if fed.token in self._end_tokens:
            output.ends.append(End(row.id, "stop"))
        elif index + 1 >= row.end:
            output.ends.append(End(row.id, "length"))
        else:
            return
        finished.append(row)

    def _prefill(self, output: StepOutput) -> None:
        decoding = bool(self._batch.rows)
        self._budget.begin(decoding)
        while self._prefilling:
            row = self._prefilling[0]
            left = len(row.prefill) - row.done
            in_pieces = self._caches.in_pieces
            tokens = (
                self._budget.chunk_tokens(row.done, left, decoding) if left and in_pieces else left
            )
            if left and not tokens:
                break
            self._prefilling.popleft()
            try:
                if tokens:
                    self._prefill_chunk(row, tokens)
            except Exception as error:
                output.ends.append(self._failed(row, error))
                continue
            if row.done < len(row.prefill):
                self._prefilling.append(row)
            elif row.request.prefill_only:
                self._end_prefilled(row, output)
            else:
                self._prefilled.append(row)
        if self._prefilled:
            self._batch.join(self._prefilled)
            self._prefilled = []
            self._bound_buffers()

    def _end_prefilled(self, row: Row, output: StepOutput) -> None:
        """Nothing more is asked of it: what the next request can use is kept. Its last token is
        left to that one, as always."""
        output.prefills.append(PrefillProgress(row.id, row.total, row.total, row.cached))
        output.ends.append(End(row.id, "stop"))

    def _failed(self, row: Row, error: Exception) -> End:
        """The row is to blame, unless memory ran out while others used it too."""
        shared = self._batch.rows or self._prefilling or self._prefilled
        if is_out_of_memory(error) and shared:
            raise error
        mx.clear_cache()
        return failed(row.id, error)

    def _prefill_chunk(self, row: Row, tokens: int) -> None:
        depth = row.done
        self._announce((1,), tokens, self._budget.cost.seconds(tokens, depth))
        start = time.monotonic()
        padding = self._padding(row, tokens)
        chunk = row.prefill[depth : depth + tokens] + [row.last] * padding
        self._caches.model(mx.array([chunk]), cache=row.cache)
        self._caches.trim(row.cache, padding)
        mx.eval([layer.state for layer in row.cache])
        self._budget.prefilled(tokens, depth, time.monotonic() - start)
        row.done += tokens
        self._host.prefilled(PrefillProgress(row.id, row.done, row.total, row.cached))
        self._keep_prompt(row)

    def _padding(self, row: Row, tokens: int) -> int:
        """Tokens that make a prompt's last chunk a whole unit, if they can be taken off again."""
        unit = self._budget.unit_tokens
        if self._budget.deterministic or tokens >= unit or not self._caches.can_trim(row.cache):
            return 0
        # A window that the padding fills has lost what it pushed out.
        if row.done + unit >= window_tokens(row.cache):
            return 0
        return unit - tokens

    def _announce(self, passes: tuple[int, ...], tokens: int, expected_seconds: float) -> None:
        """Says `busy` before what may take long."""
        if self._on_gpu and (passes, tokens) not in self._shapes:
            self._shapes.add((passes, tokens))
            self._host.busy("compilation", COMPILE_ALLOWANCE_MS)
        elif allowance := allowance_ms(expected_seconds):
            self._host.busy("decode" if tokens == 1 else "prefill", allowance)

    def _bound_buffers(self) -> None:
        if mx.get_cache_memory() > BUFFER_SHARE * self._limits.kv_budget_bytes:
            mx.clear_cache()

    # --- prefix cache ---

    def _keep_prompt(self, row: Row) -> None:
        """Keeps a prefilled prompt. In the deterministic profile it ends on a border: a hit must
        leave the same chunks to compute as there were without it."""
        at_end = row.done == len(row.prefill)
        if self._budget.deterministic:
            keep = row.done % BORDER_TOKENS == 0 and len(row.prefill) - row.done < BORDER_TOKENS
        else:
            keep = at_end
        if keep and row.done > row.reused:
            self._keep(row.prefill[: row.done], deepcopy(row.cache))

    def _keep_answer(self, row: Row) -> None:
        """Keeps prompt and answer for the conversation's next turn. Not in the deterministic
        profile: a decode step need not compute what a prefill chunk does, to the last bit."""
        if not self._budget.deterministic and self._prefixes.bytes_max > 0:
            self._keep(row.request.prompt + row.generated, self._batch.extract(row))

    def _keep(self, tokens: Sequence[int], cache: Cache) -> None:
        size = sum(layer.nbytes for layer in cache)
        self._prefixes.put(list(tokens), cache, size, whole=not self._caches.can_trim(cache))

    def figures(self) -> EngineFigures:
        caches = [row.cache for row in (*self._prefilling, *self._prefilled)]
        kv = self._batch.kv_bytes + sum(layer.nbytes for cache in caches for layer in cache)
        return EngineFigures(
            running=len(self._batch.rows),
            waiting=len(self._waiting) + len(self._prefilling),
            prefix_cache_bytes=self._prefixes.size_bytes,
            kv_bytes=kv,
            memory_bytes=mx.get_active_memory() + mx.get_cache_memory(),
        )
