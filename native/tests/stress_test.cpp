// Eight threads for a second or two each; what the thread and address sanitizers look at.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "kr_command_buffer_pool.h"
#include "kr_metrics_collector.h"

namespace {

constexpr int kThreads = 8;
constexpr auto kDuration = std::chrono::milliseconds(1500);

// Runs `body(thread, index)` again and again on every thread; returns how often in all.
template <typename Body>
std::uint64_t hammer(Body body) {
  std::atomic<std::uint64_t> total{0};
  const auto end = std::chrono::steady_clock::now() + kDuration;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::uint64_t count = 0;
      while (std::chrono::steady_clock::now() < end) body(thread, count++);
      total += count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return total;
}

// True if the memory is the holder's alone while it is written and read.
bool is_mine(const kr::CommandBuffer& buffer, int thread) {
  std::memset(buffer.data(), thread + 1, 256);
  const auto* bytes = static_cast<const unsigned char*>(buffer.data());
  for (int i = 0; i < 256; ++i) {
    if (bytes[i] != thread + 1) return false;
  }
  return true;
}

}  // namespace

TEST_CASE(threads_never_share_a_buffer_and_none_is_lost) {
  kr::CommandBufferPool pool(4, kr::PoolBackend::host, 256);
  std::atomic<std::uint64_t> refused{0};
  const std::uint64_t rounds = hammer([&](int thread, std::uint64_t index) {
    try {
      kr::CommandBuffer first = pool.acquire();
      kr::CommandBuffer second = pool.acquire();
      CHECK(is_mine(first, thread) && is_mine(second, thread));
      pool.release(second);
      if (index % 3 != 0) pool.release(first);
    } catch (const kr::PoolExhausted&) {
      ++refused;
    }
  });
  const auto stats = pool.get_stats();
  CHECK(stats.available == 4);
  CHECK(stats.total_released == stats.total_acquired);
  CHECK(stats.cache_hits + stats.cache_misses == stats.total_acquired);
  CHECK(stats.total_acquired + refused >= rounds);
}

TEST_CASE(reset_under_use) {
  kr::CommandBufferPool pool(4, kr::PoolBackend::host, 256);
  std::atomic<std::uint64_t> released{0};
  hammer([&](int thread, std::uint64_t index) {
    try {
      if (thread == 0 && index % 16 == 0) pool.reset();
      kr::CommandBuffer buffer = pool.acquire();
      CHECK(is_mine(buffer, thread));
      pool.release(buffer);
      ++released;
    } catch (const kr::PoolError&) {
      // Exhausted, or stale because of the reset.
    }
    CHECK(pool.get_stats().available <= 4);
  });
  CHECK(released > 0);
  pool.reset();
  CHECK(pool.get_stats().available == 4);
}

TEST_CASE(a_release_by_two_threads_succeeds_once) {
  kr::CommandBufferPool pool(2, kr::PoolBackend::host, 256);
  for (int round = 0; round < 500; ++round) {
    kr::CommandBuffer buffer = pool.acquire();
    std::atomic<int> succeeded{0};
    std::atomic<int> refused{0};
    const auto release = [&] {
      try {
        pool.release(buffer);
        ++succeeded;
      } catch (const kr::PoolError&) {
        ++refused;
      }
    };
    std::thread one(release);
    std::thread other(release);
    one.join();
    other.join();
    CHECK(succeeded == 1 && refused == 1);
  }
  CHECK(pool.get_stats().available == 2);
}

TEST_CASE(no_record_is_lost) {
  kr::MetricsCollector collector;
  std::atomic<std::uint64_t> reads{0};
  // The same latency everywhere: all threads meet in one bucket.
  const std::uint64_t count = hammer([&](int, std::uint64_t index) {
    collector.record_request();
    if (index % 4 == 0) {
      collector.record_failure();
    } else {
      collector.record_completion(2);
    }
    if (index % 512 == 0) {
      const auto metrics = collector.get_metrics();
      CHECK(metrics.p50_latency_ms <= metrics.p99_latency_ms);
      CHECK(metrics.average_latency_ms >= 0);
      ++reads;
    }
  });
  const auto metrics = collector.get_metrics();
  CHECK(reads >= kThreads);
  CHECK(metrics.total_requests == count);
  CHECK(metrics.completed_requests + metrics.failed_requests == count);
  CHECK(metrics.average_latency_ms == 2);
}

TEST_CASE(collector_reset_beside_records) {
  kr::MetricsCollector collector;
  const std::uint64_t count = hammer([&](int thread, std::uint64_t index) {
    collector.record_request();
    collector.record_completion(1);
    if (thread == 0 && index % 64 == 0) collector.reset();
    if (thread == 1 && index % 64 == 0) CHECK(collector.get_metrics().p99_latency_ms < 1.01);
  });
  CHECK(collector.get_metrics().total_requests <= count);
  collector.reset();
  CHECK(collector.get_metrics().total_requests == 0);
  CHECK(collector.get_metrics().completed_requests == 0);
}

TEST_MAIN()
