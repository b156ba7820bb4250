"""krserve_native in pure Python: the same classes, answers and errors, for where it isn't built.

Documentation of the API: `native/bindings/krserve_native.pyi`. Differences: the pool's buffers are
always the host's memory, objects have the buffer protocol from Python 3.12 on (`view()` works
everywhere), and a record takes a lock. Needs the standard library only.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import threading
import time
from collections import deque
from dataclasses import dataclass
from operator import index
from typing import Final, SupportsFloat, SupportsIndex

__version__: Final = "1.0.0"

POOL_SIZE_MAX: Final = 1024
BUFFER_BYTES_MAX: Final = 256 << 20
POOL_BYTES_MAX: Final = 1 << 30
OUTSTANDING_PER_SLOT_MAX: Final = 4

LATENCY_MS_MAX: Final = 2.0**32
OCTAVE_MIN: Final = -20
OCTAVE_MAX: Final = 32
SUB_BUCKETS: Final = 128
LAST_BUCKET: Final = (OCTAVE_MAX - OCTAVE_MIN) * SUB_BUCKETS + 1


class PoolError(RuntimeError):
    """A release that can't be: of a buffer that is foreign, stale or released already."""


class PoolExhausted(PoolError):
    """Four times `pool_size` buffers are out, the most that a pool hands out."""


@dataclass(frozen=True, slots=True)
class CommandBufferPoolStats:
    pool_size: int
    available: int
    total_acquired: int
    total_released: int
    cache_hits: int
    cache_misses: int


class CommandBuffer:
    """A buffer on loan; dropping it returns it too."""

    __slots__ = ("_epoch", "_memory", "_pool")

    def __init__(self, pool: CommandBufferPool, memory: mmap.mmap, epoch: int) -> None:
        self._pool = pool
        self._memory: mmap.mmap | None = memory
        self._epoch = epoch

    @property
    def nbytes(self) -> int:
        return 0 if self._memory is None else len(self._memory)

    @property
    def address(self) -> int:
        return (
            0 if self._memory is None else ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        )

    def view(self) -> memoryview:
        if self._memory is None:
            raise BufferError("the buffer was released")
        return memoryview(self._memory)

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.view()

    def __del__(self) -> None:
        # Runs anywhere, in the middle of the pool's own functions too: so it takes no lock.
        memory = getattr(self, "_memory", None)
        if memory is not None:
            self._pool._dropped.append((memory, self._epoch))


class CommandBufferPool:
    def __init__(
        self,
        pool_size: SupportsIndex = 16,
        *,
        backend: str = "auto",
        buffer_bytes: SupportsIndex = 65536,
    ) -> None:
        size, count_bytes = index(pool_size), index(buffer_bytes)
        if backend not in ("auto", "host", "metal"):
            raise ValueError(f"backend must be auto, host or metal, not {backend}")
        _check_between("pool_size", size, POOL_SIZE_MAX)
        _check_between("buffer_bytes", count_bytes, BUFFER_BYTES_MAX)
        if backend == "metal":
            raise ValueError("Metal is not available here")
        _check_between("pool_size * buffer_bytes", size * count_bytes, POOL_BYTES_MAX)
        self._pool_size = size
        self._bytes = -(-count_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._lock = threading.Lock()
        self._dropped: deque[tuple[mmap.mmap, int]] = deque()
        self._epoch = 0
        self._free = [_make_memory(self._bytes) for _ in range(size)]
        self._clear_counts()

    @property
    def backend(self) -> str:
        return "host"

    def acquire(self) -> CommandBuffer:
        with self._lock:
            self._collect_dropped()
            if self._outstanding >= self._pool_size * OUTSTANDING_PER_SLOT_MAX:
                raise PoolExhausted(
                    f"{self._outstanding} buffers are out, the most that a pool of "
                    f"{self._pool_size} hands out"
                )
            if self._free:
                memory = self._free.pop()
                self._hits += 1
            else:
                memory = _make_memory(self._bytes)
                self._misses += 1
            self._outstanding += 1
            return CommandBuffer(self, memory, self._epoch)

    def release(self, buffer: CommandBuffer) -> None:
        if not isinstance(buffer, CommandBuffer):
            raise TypeError(f"a CommandBuffer is needed, not {type(buffer).__name__}")
        with buffer._pool._lock:
            memory = buffer._memory
            if memory is not None and _is_viewed(memory):
                raise BufferError("views of the buffer are in use")
            if buffer._pool is not self:
                raise PoolError("the buffer belongs to another pool")
            if memory is None:
                raise PoolError("the buffer was released already")
            if buffer._epoch != self._epoch:
                raise PoolError("the buffer is stale: the pool was reset")
            buffer._memory = None
            self._take_back(memory)

    def reset(self) -> None:
        with self._lock:
            missing = self._pool_size - len(self._free)
            self._free += [_make_memory(self._bytes) for _ in range(missing)]
            self._epoch += 1
            self._clear_counts()

    def get_stats(self) -> CommandBufferPoolStats:
        with self._lock:
            self._collect_dropped()
            return CommandBufferPoolStats(
                pool_size=self._pool_size,
                available=len(self._free),
                total_acquired=self._hits + self._misses,
                total_released=self._released,
                cache_hits=self._hits,
                cache_misses=self._misses,
            )

    # The rest expects the lock to be held.

    def _clear_counts(self) -> None:
        self._outstanding = self._released = self._hits = self._misses = 0

    def _take_back(self, memory: mmap.mmap) -> None:
        self._outstanding -= 1
        self._released += 1
        if len(self._free) < self._pool_size:
            self._free.append(memory)

    def _collect_dropped(self) -> None:
        for _ in range(len(self._dropped)):
            memory, epoch = self._dropped.popleft()
            if epoch != self._epoch:
                continue
            # As in the module, where a view keeps its buffer: it is back when its views have gone.
            if _is_viewed(memory):
                self._dropped.append((memory, epoch))
            else:
                self._take_back(memory)


def _check_between(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be from 1 to {most}, not {value}")


def _make_memory(count_bytes: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, count_bytes)
    except OSError as error:
        raise MemoryError(f"no memory for a buffer of {count_bytes} bytes") from error


def _is_viewed(memory: mmap.mmap) -> bool:
    # The one thing that tells whether views are alive; to the same size it changes nothing.
    try:
        memory.resize(len(memory))
    except BufferError:
        return True
    except SystemError:
        # No mremap(), as on macOS: this is refused only after the views were looked at.
        return False
    return False


@dataclass(frozen=True, slots=True)
class Metrics:
    total_requests: int
    completed_requests: int
    failed_requests: int
    average_latency_ms: float
    p50_latency_ms: float
    p95_latency_ms: float
    p99_latency_ms: float
    throughput_rps: float


class MetricsCollector:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def record_request(self) -> None:
        with self._lock:
            self._requests += 1

    def record_completion(self, latency_ms: SupportsFloat | SupportsIndex) -> None:
        # isfinite() takes what C takes for a number; float() takes strings too.
        finite = math.isfinite(latency_ms)
        latency = float(latency_ms)
        if not (finite and 0 <= latency <= LATENCY_MS_MAX):
            raise ValueError(f"latency_ms must be from 0 to {LATENCY_MS_MAX:.0f}, not {latency:g}")
        bucket = _bucket_of(latency)
        with self._lock:
            self._latency_ms_sum += latency
            self._completed += 1
            self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def record_failure(self) -> None:
        with self._lock:
            self._failures += 1

    def get_metrics(self) -> Metrics:
        with self._lock:
            completed = self._completed
            elapsed_ns = time.monotonic_ns() - self._since_ns
            return Metrics(
                total_requests=self._requests,
                completed_requests=completed,
                failed_requests=self._failures,
                average_latency_ms=self._latency_ms_sum / completed if completed else 0.0,
                p50_latency_ms=self._percentile(50),
                p95_latency_ms=self._percentile(95),
                p99_latency_ms=self._percentile(99),
                throughput_rps=completed * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0,
            )

    def reset(self) -> None:
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._requests = self._completed = self._failures = 0
        self._latency_ms_sum = 0.0
        self._buckets: dict[int, int] = {}
        self._since_ns = time.monotonic_ns()

    def _percentile(self, percent: int) -> float:
        """Nearest rank: the smallest latency that at least `percent` of all don't exceed."""
        rank = (self._completed * percent + 99) // 100
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return _middle_of(bucket)
        return 0.0


def _bucket_of(latency_ms: float) -> int:
    """Each power of two is cut into 128 equal buckets, as in native/src/latency_histogram.h."""
    mantissa, exponent = math.frexp(latency_ms)
    octave = exponent - 1 - OCTAVE_MIN
    if latency_ms == 0 or octave < 0:
        return 0
    return octave * SUB_BUCKETS + int((2 * mantissa - 1) * SUB_BUCKETS) + 1


def _middle_of(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    if bucket == LAST_BUCKET:
        return LATENCY_MS_MAX
    octave, sub_bucket = divmod(bucket - 1, SUB_BUCKETS)
    return math.ldexp(1 + (sub_bucket + 0.5) / SUB_BUCKETS, OCTAVE_MIN + octave)
