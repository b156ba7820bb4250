#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "kr_metrics_collector.h"
#include "latency_histogram.h"

using kr::MetricsCollector;

namespace {

// Nearest rank on the latencies themselves.
double exact_percentile(std::vector<double> latencies, std::size_t percent) {
  std::sort(latencies.begin(), latencies.end());
  const std::size_t rank = (latencies.size() * percent + 99) / 100;
  return latencies[rank - 1];
}

bool is_close(double got, double exact) {
  return std::fabs(got - exact) <= kr::kPercentileErrorMax * exact;
}

void check_percentiles(const std::vector<double>& latencies) {
  MetricsCollector collector;
  double sum = 0;
  for (const double latency : latencies) {
    collector.record_completion(latency);
    sum += latency;
  }
  const auto metrics = collector.get_metrics();
  CHECK(metrics.completed_requests == latencies.size());
  CHECK(metrics.average_latency_ms == sum / static_cast<double>(latencies.size()));
  CHECK(is_close(metrics.p50_latency_ms, exact_percentile(latencies, 50)));
  CHECK(is_close(metrics.p95_latency_ms, exact_percentile(latencies, 95)));
  CHECK(is_close(metrics.p99_latency_ms, exact_percentile(latencies, 99)));
}

template <typename Distribution>
std::vector<double> sample(Distribution distribution, std::size_t count) {
  std::mt19937_64 random(42);
  std::vector<double> latencies(count);
  for (double& latency : latencies) latency = std::fabs(distribution(random));
  return latencies;
}

}  // namespace

TEST_CASE(a_new_collector_is_all_zero) {
  const auto metrics = MetricsCollector().get_metrics();
  CHECK(metrics.total_requests == 0 && metrics.completed_requests == 0);
  CHECK(metrics.failed_requests == 0);
  CHECK(metrics.average_latency_ms == 0);
  CHECK(metrics.p50_latency_ms == 0 && metrics.p95_latency_ms == 0 && metrics.p99_latency_ms == 0);
  CHECK(metrics.throughput_rps == 0);
}

TEST_CASE(requests_completions_and_failures_are_counted_apart) {
  MetricsCollector collector;
  for (int i = 0; i < 5; ++i) collector.record_request();
  for (int i = 0; i < 3; ++i) collector.record_completion(10.0 * (i + 1));
  collector.record_failure();
  const auto metrics = collector.get_metrics();
  CHECK(metrics.total_requests == 5);
  CHECK(metrics.completed_requests == 3);
  CHECK(metrics.failed_requests == 1);
  CHECK(metrics.average_latency_ms == 20);
  CHECK(metrics.throughput_rps > 0);
}

TEST_CASE(percentiles_of_few_latencies) {
  check_percentiles({12.5});
  check_percentiles({1, 2});
  check_percentiles({3, 1, 2});
  check_percentiles({0, 0, 0, 1000});
}

TEST_CASE(percentiles_of_every_hundred) {
  std::vector<double> latencies;
  for (int i = 1; i <= 100; ++i) latencies.push_back(i);
  check_percentiles(latencies);
  latencies.push_back(101);
  check_percentiles(latencies);
}

TEST_CASE(percentiles_of_distributions) {
  check_percentiles(sample(std::uniform_real_distribution<double>(0, 1), 20000));
  check_percentiles(sample(std::lognormal_distribution<double>(3, 1.5), 20000));
  check_percentiles(sample(std::exponential_distribution<double>(0.01), 20000));
  check_percentiles(sample(std::normal_distribution<double>(50, 1), 20000));
}

TEST_CASE(every_bucket_holds_its_error) {
  // A step of less than a bucket, over the whole range.
  double before = 0;
  for (double latency = std::ldexp(1.0, kr::detail::kOctaveMin); latency <= kr::kLatencyMsMax;
       latency *= 1.003) {
    const std::size_t bucket = kr::detail::bucket_of(latency);
    CHECK(bucket < kr::detail::kBuckets);
    const double middle = kr::detail::middle_of(bucket);
    CHECK(is_close(middle, latency));
    CHECK(middle >= before);
    before = middle;
  }
}

TEST_CASE(the_ends_of_the_range_are_kept) {
  CHECK(kr::detail::bucket_of(0) == 0);
  CHECK(kr::detail::bucket_of(std::nextafter(std::ldexp(1.0, kr::detail::kOctaveMin), 0)) == 0);
  CHECK(kr::detail::bucket_of(std::ldexp(1.0, kr::detail::kOctaveMin)) == 1);
  CHECK(kr::detail::bucket_of(kr::kLatencyMsMax) == kr::detail::kBuckets - 1);
  MetricsCollector collector;
  collector.record_completion(-0.0);
  collector.record_completion(std::numeric_limits<double>::denorm_min());
  collector.record_completion(kr::kLatencyMsMax);
  const auto metrics = collector.get_metrics();
  CHECK(metrics.completed_requests == 3);
  CHECK(metrics.p50_latency_ms == 0);
  CHECK(metrics.p99_latency_ms == kr::kLatencyMsMax);
}

TEST_CASE(latencies_that_are_none_are_refused_and_not_counted) {
  MetricsCollector collector;
  for (const double latency :
       {std::numeric_limits<double>::quiet_NaN(), -1.0, std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), std::nextafter(kr::kLatencyMsMax, 1e300),
        -std::numeric_limits<double>::denorm_min(), 1e300}) {
    CHECK_THROWS(std::invalid_argument, collector.record_completion(latency));
  }
  const auto metrics = collector.get_metrics();
  CHECK(metrics.completed_requests == 0 && metrics.average_latency_ms == 0);
}

TEST_CASE(reset_starts_anew) {
  MetricsCollector collector;
  collector.record_request();
  collector.record_completion(1000);
  collector.record_failure();
  collector.reset();
  auto metrics = collector.get_metrics();
  CHECK(metrics.total_requests == 0 && metrics.completed_requests == 0);
  CHECK(metrics.failed_requests == 0 && metrics.average_latency_ms == 0);
  CHECK(metrics.p99_latency_ms == 0 && metrics.throughput_rps == 0);
  collector.record_request();
  collector.record_completion(4);
  metrics = collector.get_metrics();
  CHECK(metrics.total_requests == 1 && metrics.completed_requests == 1);
  CHECK(metrics.average_latency_ms == 4);
  CHECK(is_close(metrics.p99_latency_ms, 4));
}

TEST_MAIN()
