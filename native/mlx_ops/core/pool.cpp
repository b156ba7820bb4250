#include "pool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kr::ops {
namespace {

// More pieces than threads, so that one that is slow or late leaves its share to the others.
constexpr int kPiecesPerThread = 4;
constexpr int kThreadsMax = 256;

using Clock = std::chrono::steady_clock;
// How long a helper watches for the next round before it sleeps. The rounds of one operation
// follow each other faster than that, and a wake-up costs more.
constexpr auto kHelperSpin = std::chrono::microseconds(50);
// How long the caller watches the last pieces of others. Once it sleeps, its core is free for the
// helper, which may be waiting for one.
constexpr auto kCallerSpin = std::chrono::microseconds(100);

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Watches until done() or the time is over.
template <class Done>
bool spin(Clock::duration time, Done done) {
  const auto end = Clock::now() + time;
  do {
    for (int i = 0; i < 32; i++) {
      if (done()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return done();
}

/// Processors' worth of time that a control group allows, or 0: "quota period" in microseconds.
int control_group_limit() {
  double quota = 0, period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> quota >> period && period > 0)
    return std::max(1, int(quota / period + 0.5));
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0)
    return std::max(1, int(quota / period + 0.5));
  return 0;
}

}  // namespace

int thread_count() {
  if (const char* asked = std::getenv("KRSERVE_THREADS"))
    if (const int count = std::atoi(asked); count > 0) return std::min(count, kThreadsMax);
  const int processors = std::max(1, int(std::thread::hardware_concurrency()));
  const int limit = control_group_limit();
  return std::min(limit ? std::min(limit, processors) : processors, kThreadsMax);
}

Pool& Pool::shared() {
  static Pool* const pool = new Pool(thread_count());
  return *pool;
}

Pool::Pool(int size) : size_(size) {
  for (int i = 1; i < size; i++) std::thread([this] { help(); }).detach();
}

int Pool::step_of(int count, int grain) const {
  const int pieces = size_ * kPiecesPerThread;
  return std::max({1, grain, (count + pieces - 1) / pieces});
}

void Pool::work_on() {
  for (;;) {
    const uint64_t claim = claims_.fetch_add(1, std::memory_order_acq_rel);
    const auto count = int32_t(claim >> 32);
    const auto piece = uint32_t(claim);
    if (piece >= uint32_t(count)) return;
    function_(context_, int(piece));
    if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) finished_.notify_all();
  }
}

void Pool::help() {
  for (uint32_t seen = 0;;) {
    const auto changed = [&] { return round_.load(std::memory_order_acquire) != seen; };
    if (!spin(kHelperSpin, changed)) round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    work_on();
  }
}

void Pool::run(int count, Function function, const void* context) {
  std::unique_lock<std::mutex> lock(busy_, std::defer_lock);
  if (count < 2 || size_ < 2 || !lock.try_lock()) {
    for (int i = 0; i < count; i++) function(context, i);
    return;
  }
  function_ = function;
  context_ = context;
  finished_.store(0, std::memory_order_relaxed);
  claims_.store(uint64_t(uint32_t(count)) << 32, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work_on();
  const auto done = [&] { return finished_.load(std::memory_order_acquire) == count; };
  if (spin(kCallerSpin, done)) return;
  for (int32_t now; (now = finished_.load(std::memory_order_acquire)) != count;)
    finished_.wait(now, std::memory_order_acquire);
}

}  // namespace kr::ops
