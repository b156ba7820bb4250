"""The module against its pure-Python fallback: nanoseconds a call from Python, one JSON object a line.

From the project's Python environment: PYTHONPATH=python python native/benchmarks/bench_python.py
"""

import json
import statistics
import sys
import timeit
from time import perf_counter_ns

from mlx_serving.native import loader, fallback

CALLS = 20_000
RUNS = 11
POOL_SIZE = 1024
STATEMENTS = {
    "pool: acquire and release, hit": "pool.release(pool.acquire())",
    "pool: acquire, write a view, release": (
        "buffer = pool.acquire()\nwith buffer.view() as view: view[0] = 1\npool.release(buffer)"
    ),
    "metrics: record_request": "collector.record_request()",
    "metrics: record_completion": "collector.record_completion(12.5)",
}


def acquire_alone(api):
    """Nanoseconds an acquire, a pool's worth of them at a time, the releases outside the clock."""
    pool = api.CommandBufferPool(POOL_SIZE, backend="host", buffer_bytes=4096)
    acquire = pool.acquire
    held = [None] * POOL_SIZE
    runs = []
    for _ in range(RUNS * 5):
        begin = perf_counter_ns()
        for i in range(POOL_SIZE):
            held[i] = acquire()
        runs.append((perf_counter_ns() - begin) / POOL_SIZE)
        for buffer in held:
            pool.release(buffer)
    return statistics.median(runs)


def call(api, statement):
    names = {"pool": api.CommandBufferPool(backend="host"), "collector": api.MetricsCollector()}
    runs = timeit.repeat(statement, globals=names, number=CALLS, repeat=RUNS)
    return statistics.median(runs) / CALLS * 1e9


def report(name, module_ns, twin_ns):
    figures = {"module_ns": round(module_ns, 1), "twin_ns": round(twin_ns, 1)}
    print(json.dumps({"name": name, **figures, "ratio": round(twin_ns / module_ns, 2)}))


def main():
    module, reason = loader.load("on")
    if module is None:
        sys.exit(reason)
    report("pool: acquire, hit", acquire_alone(module), acquire_alone(fallback))
    for name, statement in STATEMENTS.items():
        report(name, call(module, statement), call(fallback, statement))


if __name__ == "__main__":
    main()
