"""The built module without anything around it: its classes, its errors, its memory.

Needs the standard library only, since it also runs under sanitizers. More of the module's
behaviour, side by side with its pure-Python fallback, is in tests/python.
"""

import threading
import unittest

import krserve_native as kr


class Pool(unittest.TestCase):
    def setUp(self):
        self.pool = kr.CommandBufferPool(2, backend="host", buffer_bytes=4096)

    def test_views_write_through(self):
        buffer = self.pool.acquire()
        with buffer.view() as view:
            view[:5] = b"hello"
        self.assertEqual(bytes(memoryview(buffer)[:5]), b"hello")
        self.pool.release(buffer)
        self.assertEqual(buffer.nbytes, 0)
        with self.assertRaises(BufferError):
            buffer.view()

    def test_a_view_in_use_holds_the_buffer(self):
        buffer = self.pool.acquire()
        view = buffer.view()[10:20]
        with self.assertRaises(BufferError):
            self.pool.release(buffer)
        self.assertEqual(self.pool.get_stats().total_released, 0)
        view.release()
        self.pool.release(buffer)

    def test_a_view_outlives_buffer_and_pool(self):
        view = kr.CommandBufferPool(1, backend="host").acquire().view()
        view[-1] = 3
        self.assertEqual(view[-1], 3)

    def test_bad_releases(self):
        buffer = self.pool.acquire()
        with self.assertRaisesRegex(kr.PoolError, "another pool"):
            kr.CommandBufferPool(1, backend="host").release(buffer)
        self.pool.reset()
        with self.assertRaisesRegex(kr.PoolError, "stale"):
            self.pool.release(buffer)
        buffer = self.pool.acquire()
        self.pool.release(buffer)
        with self.assertRaisesRegex(kr.PoolError, "released already"):
            self.pool.release(buffer)
        for nothing in (None, object(), memoryview(b"x")):
            with self.assertRaises(TypeError):
                self.pool.release(nothing)

    def test_bad_sizes(self):
        for size in (0, -1, 1025, 10**9, 2**63, -(2**70)):
            with self.assertRaisesRegex(ValueError, "pool_size"):
                kr.CommandBufferPool(size)
            with self.assertRaisesRegex(ValueError, "buffer_bytes"):
                kr.CommandBufferPool(1, backend="host", buffer_bytes=size * 2**20)
        for size in ("16", 1.5, None):
            with self.assertRaises(TypeError):
                kr.CommandBufferPool(size)

    def test_exhaustion(self):
        held = [self.pool.acquire() for _ in range(8)]
        self.assertRaises(kr.PoolExhausted, self.pool.acquire)
        self.assertTrue(issubclass(kr.PoolExhausted, kr.PoolError))
        del held
        stats = self.pool.get_stats()
        self.assertEqual((stats.available, stats.cache_misses, stats.total_released), (2, 6, 8))

    def test_threads(self):
        def work():
            for _ in range(2000):
                buffer = self.pool.acquire()
                with buffer.view() as view:
                    view[0] = 1
                self.pool.release(buffer)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.pool.get_stats().total_released, 8000)


class Collector(unittest.TestCase):
    def test_figures(self):
        collector = kr.MetricsCollector()
        for latency in range(1, 101):
            collector.record_request()
            collector.record_completion(latency)
        collector.record_failure()
        metrics = collector.get_metrics()
        self.assertEqual(metrics.total_requests, 100)
        self.assertEqual(metrics.failed_requests, 1)
        self.assertEqual(metrics.average_latency_ms, 50.5)
        self.assertAlmostEqual(metrics.p99_latency_ms, 99, delta=0.5)
        self.assertIn("completed_requests=100", repr(metrics))
        with self.assertRaises(AttributeError):
            metrics.total_requests = 1

    def test_bad_latencies(self):
        collector = kr.MetricsCollector()
        for latency in (float("nan"), float("inf"), -float("inf"), -1, 1e300):
            with self.assertRaisesRegex(ValueError, "latency_ms"):
                collector.record_completion(latency)
        for latency in ("1", None):
            with self.assertRaises(TypeError):
                collector.record_completion(latency)
        self.assertEqual(collector.get_metrics().completed_requests, 0)


if __name__ == "__main__":
    unittest.main()
