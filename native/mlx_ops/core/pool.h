// The threads that share the work of one operation.
//
// The caller works too. Pieces are claimed one by one, so a thread that a busy neighbour keeps off
// its core simply claims none, and nobody waits for it. What the caller may have to wait for is a
// piece that a helper has begun.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace kr::ops {

class Pool {
 public:
  /// The one pool of the process. Its threads start with the first call and never end: there is no
  /// moment at exit when none of MLX's threads could still be using it.
  static Pool& shared();

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Threads, the caller included.
  int size() const { return size_; }

  /// Calls work(i) once for each 0 <= i < count, on several threads, and returns when all are done.
  /// Several callers may come at once; all but one then work alone. `work` must not throw.
  template <class Work>
  void run(int count, const Work& work) {
    run(count, [](const void* context, int i) { (*static_cast<const Work*>(context))(i); }, &work);
  }

  /// Calls work(begin, end) for ranges that cover 0 .. count, each of at least `grain` unless it is
  /// the last one.
  template <class Work>
  void run_ranges(int count, int grain, const Work& work) {
    const int step = step_of(count, grain);
    run((count + step - 1) / step, [&](int i) {
      const int begin = i * step;
      work(begin, count - begin < step ? count : begin + step);
    });
  }

 private:
  using Function = void (*)(const void* context, int i);

  explicit Pool(int size);
  ~Pool() = default;

  void run(int count, Function function, const void* context);
  int step_of(int count, int grain) const;
  void work_on();
  void help();

  const int size_;
  std::mutex busy_;
  Function function_ = nullptr;
  const void* context_ = nullptr;
  // Number of pieces and next piece in one word: whoever claims a piece knows by the same access
  // that there is one, and until it is finished `function_` stays as it is.
  alignas(64) std::atomic<uint64_t> claims_{0};
  alignas(64) std::atomic<int32_t> finished_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

/// How many threads suit this process: KRSERVE_THREADS, else the processors it may use, fewer where
/// a control group allows less processor time.
int thread_count();

}  // namespace kr::ops
