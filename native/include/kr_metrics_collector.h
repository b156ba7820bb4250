// Counts requests and their latencies.
//
// Owns: counters and a log-linear histogram of latencies (as HdrHistogram's, after G. Tene). Knows
// nothing of Python or of what a request is.
//
// The record functions are lock-free and may be called from any thread; no record is ever lost.
// get_metrics() beside running records is not one instant: a completion under way may be in the
// average's sum and not yet in its count, and with a reset() at that very moment stays so.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace kr {

// Longest latency that can be recorded: 2^32 ms, about 50 days.
inline constexpr double kLatencyMsMax = 4294967296.0;
// A percentile is at most this far from the exact one, relative to it. Below 2^-20 ms (about 1 ns)
// a latency counts as 0.
inline constexpr double kPercentileErrorMax = 1.0 / 256;

// Since construction or the last reset().
struct Metrics {
  std::uint64_t total_requests = 0;
  std::uint64_t completed_requests = 0;
  std::uint64_t failed_requests = 0;
  // Of completed requests; 0 without any. The average is no estimate, percentiles are nearest-rank.
  double average_latency_ms = 0;
  double p50_latency_ms = 0;
  double p95_latency_ms = 0;
  double p99_latency_ms = 0;
  // Completed requests per second.
  double throughput_rps = 0;
};

class MetricsCollector {
 public:
  MetricsCollector();
  MetricsCollector(const MetricsCollector&) = delete;
  MetricsCollector& operator=(const MetricsCollector&) = delete;

  void record_request() noexcept { requests_.fetch_add(1, std::memory_order_relaxed); }
  void record_failure() noexcept { failures_.fetch_add(1, std::memory_order_relaxed); }
  // Throws std::invalid_argument and records nothing unless 0 <= latency_ms <= kLatencyMsMax.
  void record_completion(double latency_ms);

  [[nodiscard]] Metrics get_metrics() const;
  void reset();

 private:
  // What reset() subtracts from now on: counters only ever grow, so that a record needs no lock.
  struct Baseline {
    std::uint64_t requests = 0;
    std::uint64_t failures = 0;
    double latency_ms_sum = 0;
    std::vector<std::uint64_t> buckets;
    std::int64_t since_ns = 0;
  };

  [[nodiscard]] std::vector<std::uint64_t> read_buckets() const;

  // Apart, so that threads that record different things don't share a cache line.
  alignas(64) std::atomic<std::uint64_t> requests_{0};
  alignas(64) std::atomic<std::uint64_t> failures_{0};
  alignas(64) std::atomic<double> latency_ms_sum_{0};
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets_;

  mutable std::mutex baseline_mutex_;
  Baseline baseline_;
};

}  // namespace kr
