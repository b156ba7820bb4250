// What a pooled buffer costs against one that is made on the spot, in nanoseconds.
// release.
#include <chrono>
#include <vector>

#include "kr_command_buffer_pool.h"
#include "timing.h"

namespace {

// Acquires alone, the releases outside the clock. `skipped`: acquired before, unmeasured.
timing::Figure measure_acquire(kr::CommandBufferPool& pool, std::size_t skipped,
                               std::size_t measured) {
  using Clock = std::chrono::steady_clock;
  std::vector<kr::CommandBuffer> held(skipped + measured);
  std::vector<double> runs;
  for (int run = 0; run < timing::kRuns; ++run) {
    for (std::size_t i = 0; i < skipped; ++i) held[i] = pool.acquire();
    const auto begin = Clock::now();
    for (std::size_t i = skipped; i < held.size(); ++i) held[i] = pool.acquire();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    for (auto& buffer : held) pool.release(buffer);
    runs.push_back(took.count() / static_cast<double>(measured));
  }
  std::sort(runs.begin(), runs.end());
  return {runs[runs.size() / 2], runs.front()};
}

}  // namespace

int main() {
  constexpr std::size_t kPoolSize = 1024;
  kr::CommandBufferPool pool(kPoolSize, kr::PoolBackend::host);
  timing::print("pool: acquire, hit", measure_acquire(pool, 0, kPoolSize));
  timing::print("pool: acquire, miss (64 KiB)", measure_acquire(pool, kPoolSize, kPoolSize));
  timing::print("pool: acquire and release, hit", timing::measure([&] {
                  kr::CommandBuffer buffer = pool.acquire();
                  pool.release(buffer);
                }));
}
