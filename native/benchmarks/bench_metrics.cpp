// What a record costs, alone and with eight threads at once: nanoseconds a call.
#include <thread>
#include <vector>

#include "kr_metrics_collector.h"
#include "timing.h"

namespace {

constexpr int kThreads = 8;
constexpr int kCallsPerThread = 2'000'000;

timing::Figure measure_contended(kr::MetricsCollector& collector) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&collector, thread] {
      for (int call = 0; call < kCallsPerThread; ++call) collector.record_completion(thread + 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  const double per_call = took.count() / (double{kThreads} * kCallsPerThread);
  return {per_call, per_call};
}

}  // namespace

int main() {
  kr::MetricsCollector collector;
  timing::print("metrics: record_request", timing::measure([&] { collector.record_request(); }));
  double latency_ms = 0;
  timing::print("metrics: record_completion", timing::measure([&] {
                  latency_ms = latency_ms > 1000 ? 0.1 : latency_ms * 1.01 + 0.1;
                  collector.record_completion(latency_ms);
                }));
  timing::print("metrics: record_completion, 8 threads", measure_contended(collector));
  timing::print("metrics: get_metrics",
                timing::measure([&] { static_cast<void>(collector.get_metrics()); }));
}
