"""The link thread's resources: the collector of request metrics, and the pool of buffers in which
frames wait for the socket. Both are krserve_native's or their fallback.
"""

from __future__ import annotations

from typing import Any

from .. import native
from ..acceleration import module_parts
from ..messages import NativeFigures, NativePool
from ..native import fallback
from ..native.choice import is_wanted
from .outgoing import STAGE_BYTES, STAGES, Outgoing, PlainOutgoing, StagedOutgoing


class LinkResources:
    """What the link thread works with: the collector of request metrics, and the pool, if any."""

    def __init__(self) -> None:
        module: Any = native if is_wanted("metrics") else fallback
        self.collector = module.MetricsCollector()
        self._pool: Any = None

    def outgoing(self) -> Outgoing:
        """Where frames wait for the socket: staged in the module's pool, where that is on. The
        fallback's pool would only cost."""
        if not module_parts()["pool"]["on"]:
            return PlainOutgoing()
        self._pool = native.CommandBufferPool(STAGES, backend="host", buffer_bytes=STAGE_BYTES)
        return StagedOutgoing(self._pool, native.PoolExhausted)

    def figures(self) -> NativeFigures:
        metrics = self.collector.get_metrics()
        return {
            "module": {**native.status()},
            "metrics": {
                "totalRequests": metrics.total_requests,
                "completedRequests": metrics.completed_requests,
                "failedRequests": metrics.failed_requests,
                "averageLatencyMs": metrics.average_latency_ms,
                "p50LatencyMs": metrics.p50_latency_ms,
                "p95LatencyMs": metrics.p95_latency_ms,
                "p99LatencyMs": metrics.p99_latency_ms,
                "throughputRps": metrics.throughput_rps,
            },
            "pool": self._pool_figures(),
        }

    def _pool_figures(self) -> NativePool | None:
        if self._pool is None:
            return None
        stats = self._pool.get_stats()
        return {
            "poolSize": stats.pool_size,
            "available": stats.available,
            "totalAcquired": stats.total_acquired,
            "totalReleased": stats.total_released,
            "cacheHits": stats.cache_hits,
            "cacheMisses": stats.cache_misses,
        }
