"""Types of krserve_native; the pure-Python fallback in mlx_serving.native.fallback have the same API."""

from typing import Final, Literal, SupportsFloat, SupportsIndex

__version__: Final[str]

class PoolError(RuntimeError):
    """A release that can't be: of a buffer that is foreign, stale or released already."""

class PoolExhausted(PoolError):
    """Four times `pool_size` buffers are out, the most that a pool hands out."""

class CommandBufferPoolStats:
    """A pool's counts since it was made or last reset."""

    @property
    def pool_size(self) -> int: ...
    @property
    def available(self) -> int:
        """Buffers in the pool now."""
    @property
    def total_acquired(self) -> int:
        """`cache_hits + cache_misses`; refused acquires don't count."""
    @property
    def total_released(self) -> int:
        """Buffers that came back, also those that were dropped without `release()`."""
    @property
    def cache_hits(self) -> int: ...
    @property
    def cache_misses(self) -> int:
        """Temporary buffers, made because the pool was empty."""

class CommandBuffer:
    """A buffer on loan. It keeps its pool alive; dropping it returns it too.

    Where the backend is `host`, the object has the buffer protocol.
    """

    @property
    def nbytes(self) -> int:
        """Size of the memory in bytes, whole pages; 0 for Metal and once released."""
    @property
    def address(self) -> int:
        """Of the first byte, or of the id<MTLCommandBuffer>; 0 once released."""
    def view(self) -> memoryview:
        """The memory as writable bytes. Not cleared between holders.

        Must be dropped or released before the buffer is. Raises BufferError once the buffer is
        released, and for Metal.
        """
    def __buffer__(self, flags: int, /) -> memoryview: ...

class CommandBufferPool:
    """A bounded pool of buffers that are made in advance; any thread may use it."""

    def __init__(
        self,
        pool_size: SupportsIndex = 16,
        *,
        backend: Literal["auto", "host", "metal"] = "auto",
        buffer_bytes: SupportsIndex = 65536,
    ) -> None:
        """Makes all `pool_size` (1 to 1024) buffers at once.

        backend: `auto` is Metal where there is a device, else `host`, page-aligned memory of
        `buffer_bytes` (1 to 256 MiB; all together at most 1 GiB), rounded up to whole pages.
        Raises ValueError for anything else.
        """
    @property
    def backend(self) -> Literal["host", "metal"]: ...
    def acquire(self) -> CommandBuffer:
        """A buffer of the pool, else a temporary one. Raises PoolExhausted, MemoryError."""
    def release(self, buffer: CommandBuffer) -> None:
        """Ends the loan.

        Raises PoolError for a buffer of another pool, one acquired before the last `reset()` and
        one released already; BufferError while a view of it is alive. Nothing changes then.
        """
    def reset(self) -> None:
        """Fills the pool up, zeroes the statistics and makes buffers that are out stale."""
    def get_stats(self) -> CommandBufferPoolStats: ...

class Metrics:
    """Figures since the collector was made or last reset. Without completions latencies are 0."""

    @property
    def total_requests(self) -> int: ...
    @property
    def completed_requests(self) -> int: ...
    @property
    def failed_requests(self) -> int: ...
    @property
    def average_latency_ms(self) -> float: ...
    @property
    def p50_latency_ms(self) -> float:
        """Percentiles are nearest-rank, at most 0.4 % off."""
    @property
    def p95_latency_ms(self) -> float: ...
    @property
    def p99_latency_ms(self) -> float: ...
    @property
    def throughput_rps(self) -> float:
        """Completed requests per second."""

class MetricsCollector:
    """Counts requests and their latencies; any thread may record, none waits for another."""

    def __init__(self) -> None: ...
    def record_request(self) -> None: ...
    def record_completion(self, latency_ms: SupportsFloat | SupportsIndex) -> None:
        """Raises ValueError unless 0 <= latency_ms <= 2^32 (50 days)."""
    def record_failure(self) -> None: ...
    def get_metrics(self) -> Metrics: ...
    def reset(self) -> None: ...
