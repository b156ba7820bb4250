#include "pool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

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

/// Processors' worth of time that so many microseconds in so many are, or 0: no quota.
int processors_of(std::istream& quota, std::istream& period) {
  double used = 0, of = 0;
  if (!(quota >> used && period >> of) || used <= 0 || of <= 0) return 0;
  return std::max(1, int(used / of + 0.5));
}

/// The lower one, where 0 is none.
int lower(int a, int b) { return a == 0 || b == 0 ? a + b : std::min(a, b); }

/// The path of the control group of version 2 that this process is in, "/" where there is none.
std::string control_group() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);)
    if (line.rfind("0::/", 0) == 0) return line.substr(3);
  return "/";
}

/// What the control group and all that it is part of allow, or 0.
int control_group_limit() {
  const std::string root = "/sys/fs/cgroup";
  int limit = 0;
  for (std::string path = control_group();; path.erase(path.find_last_of('/'))) {
    std::ifstream v2(root + path + "/cpu.max");
    limit = lower(limit, processors_of(v2, v2));
    if (path.find('/') == std::string::npos) break;
  }
  std::ifstream v1_quota(root + "/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period(root + "/cpu/cpu.cfs_period_us");
  return lower(limit, processors_of(v1_quota, v1_period));
}

/// Those that this process may run on. The standard library counts all that are there.
int processors() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
#endif
  return std::max(1, int(std::thread::hardware_concurrency()));
}

}  // namespace

int thread_count() {
  if (const char* asked = std::getenv("KRSERVE_THREADS"))
    if (const int count = std::atoi(asked); count > 0) return std::min(count, kThreadsMax);
  return std::min(lower(processors(), control_group_limit()), kThreadsMax);
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
