#include <cmath>
#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "kr_metrics_collector.h"
#include "latency_histogram.h"
#include "utils.h"

namespace kr {
namespace detail {

double middle_of(std::size_t bucket) noexcept {
  if (bucket == 0) return 0;
  if (bucket == kBuckets - 1) return kLatencyMsMax;
  const std::size_t octave = (bucket - 1) / kSubBuckets;
  const std::size_t sub_bucket = (bucket - 1) % kSubBuckets;
  const double mantissa = 1 + (static_cast<double>(sub_bucket) + 0.5) / kSubBuckets;
  return std::ldexp(mantissa, kOctaveMin + static_cast<int>(octave));
}

namespace {

// Nearest rank: the smallest latency that at least `percent` of all don't exceed.
double percentile(const std::vector<std::uint64_t>& buckets, std::uint64_t count,
                  std::uint64_t percent) noexcept {
  if (count == 0) return 0;
  const std::uint64_t rank = count / 100 * percent + (count % 100 * percent + 99) / 100;
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    seen += buckets[bucket];
    if (seen >= rank) return middle_of(bucket);
  }
  return kLatencyMsMax;
}

}  // namespace
}  // namespace detail

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "records must not lock");
static_assert(std::atomic<double>::is_always_lock_free, "records must not lock");
static_assert(kLatencyMsMax == static_cast<double>(std::uint64_t{1} << detail::kOctaveMax));
static_assert(kPercentileErrorMax == 0.5 / detail::kSubBuckets);

MetricsCollector::MetricsCollector()
    : buckets_(std::make_unique<std::atomic<std::uint64_t>[]>(detail::kBuckets)) {
  baseline_.buckets.assign(detail::kBuckets, 0);
  baseline_.since_ns = detail::monotonic_ns();
}

void MetricsCollector::record_completion(double latency_ms) {
  // Written so that NaN fails too.
  if (!(latency_ms >= 0 && latency_ms <= kLatencyMsMax)) {
    char text[80];
    std::snprintf(text, sizeof text, "latency_ms must be from 0 to %.0f, not %g", kLatencyMsMax,
                  latency_ms);
    throw std::invalid_argument(text);
  }
  // C++17 has no fetch_add for floating point.
  double sum = latency_ms_sum_.load(std::memory_order_relaxed);
  while (!latency_ms_sum_.compare_exchange_weak(sum, sum + latency_ms, std::memory_order_relaxed)) {
  }
  // fabs: -0.0 counts as 0. Released after the sum: who sees the count sees the latency in the sum.
  buckets_[detail::bucket_of(std::fabs(latency_ms))].fetch_add(1, std::memory_order_release);
}

std::vector<std::uint64_t> MetricsCollector::read_buckets() const {
  std::vector<std::uint64_t> counts(detail::kBuckets);
  for (std::size_t bucket = 0; bucket < detail::kBuckets; ++bucket) {
    counts[bucket] = buckets_[bucket].load(std::memory_order_acquire);
  }
  return counts;
}

Metrics MetricsCollector::get_metrics() const {
  const std::lock_guard lock(baseline_mutex_);
  std::vector<std::uint64_t> counts = read_buckets();
  for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
    counts[bucket] -= baseline_.buckets[bucket];
  }
  const std::uint64_t completed = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  const double sum = latency_ms_sum_.load(std::memory_order_relaxed) - baseline_.latency_ms_sum;
  const auto elapsed_ns = static_cast<double>(detail::monotonic_ns() - baseline_.since_ns);

  Metrics metrics;
  metrics.total_requests = requests_.load(std::memory_order_relaxed) - baseline_.requests;
  metrics.failed_requests = failures_.load(std::memory_order_relaxed) - baseline_.failures;
  metrics.completed_requests = completed;
  if (completed > 0) metrics.average_latency_ms = sum / static_cast<double>(completed);
  metrics.p50_latency_ms = detail::percentile(counts, completed, 50);
  metrics.p95_latency_ms = detail::percentile(counts, completed, 95);
  metrics.p99_latency_ms = detail::percentile(counts, completed, 99);
  if (elapsed_ns > 0) metrics.throughput_rps = static_cast<double>(completed) * 1e9 / elapsed_ns;
  return metrics;
}

void MetricsCollector::reset() {
  const std::lock_guard lock(baseline_mutex_);
  baseline_.buckets = read_buckets();
  baseline_.latency_ms_sum = latency_ms_sum_.load(std::memory_order_relaxed);
  baseline_.requests = requests_.load(std::memory_order_relaxed);
  baseline_.failures = failures_.load(std::memory_order_relaxed);
  baseline_.since_ns = detail::monotonic_ns();
}

}  // namespace kr
