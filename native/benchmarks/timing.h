// Shared by the benchmarks: the time of one call, as the median over many short runs. Private.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

namespace timing {

constexpr int kRuns = 101;
constexpr int kCallsPerRun = 20000;

struct Figure {
  double median_ns;
  double best_ns;
};

// `body` makes one call.
template <typename Body>
Figure measure(Body body) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> runs;
  for (int run = 0; run < kRuns; ++run) {
    const auto begin = Clock::now();
    for (int call = 0; call < kCallsPerRun; ++call) body();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    runs.push_back(took.count() / kCallsPerRun);
  }
  std::sort(runs.begin(), runs.end());
  return {runs[runs.size() / 2], runs.front()};
}

// One JSON object a line.
inline void print(const char* name, Figure figure) {
  std::printf("{\"name\": \"%s\", \"median_ns\": %.1f, \"best_ns\": %.1f}\n", name,
              figure.median_ns, figure.best_ns);
}

}  // namespace timing
