// A bounded pool of buffers that are made in advance: memory of the host, or Metal command buffers.
//
// Owns: how many buffers exist, who holds them, and the statistics. Knows nothing of Python, of MLX
// or of what is put into a buffer.
//
// All functions of CommandBufferPool may be called from any thread. A CommandBuffer is a value of
// its holder, like a std::unique_ptr: two threads must not use the same one at once, except that
// two releases of it at the same time are safe (one succeeds, the other is told so).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>

namespace kr {

inline constexpr std::size_t kPoolSizeDefault = 16;
inline constexpr std::size_t kPoolSizeMax = 1024;
inline constexpr std::size_t kBufferBytesDefault = std::size_t{64} << 10;
inline constexpr std::size_t kBufferBytesMax = std::size_t{256} << 20;
inline constexpr std::size_t kPoolBytesMax = std::size_t{1} << 30;
// At most this many times `pool_size` buffers are out at once; acquire() refuses more.
inline constexpr std::size_t kOutstandingPerSlotMax = 4;

// A release that can't be: a buffer that is foreign, stale, empty or released already.
class PoolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// As many buffers are out as the hard cap allows.
class PoolExhausted : public PoolError {
 public:
  using PoolError::PoolError;
};

enum class PoolBackend {
  automatic,  // Metal where there is a Metal device, else the host's memory.
  host,       // Page-aligned memory of the host.
  metal,      // MTLCommandBuffers of a queue that the pool owns.
};

struct CommandBufferPoolStats {
  std::size_t pool_size = 0;
  std::size_t available = 0;         // In the pool now; at most pool_size.
  std::uint64_t total_acquired = 0;  // cache_hits + cache_misses. Refused acquires don't count.
  std::uint64_t total_released = 0;  // Those that were dropped without release() included.
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;  // The pool was empty: a temporary buffer was made.
};

namespace detail {
class BufferResource;
class PoolCore;
}  // namespace detail

// A buffer on loan. It keeps its pool alive; destroying it without release() returns it too.
class CommandBuffer {
 public:
  CommandBuffer() noexcept;
  CommandBuffer(CommandBuffer&&) noexcept;
  CommandBuffer& operator=(CommandBuffer&&) noexcept;
  CommandBuffer(const CommandBuffer&) = delete;
  CommandBuffer& operator=(const CommandBuffer&) = delete;
  ~CommandBuffer();

  // False once released, and for a default-constructed or moved-from buffer.
  explicit operator bool() const noexcept { return resource_ != nullptr; }

  // Host memory: the first byte, aligned to a page. Zeros when the pool was made, later whatever
  // the last holder left. Metal or empty: nullptr.
  [[nodiscard]] void* data() const noexcept;
  // Bytes at data(): `buffer_bytes` rounded up to whole pages. Metal or empty: 0.
  [[nodiscard]] std::size_t bytes() const noexcept;
  // Metal: the id<MTLCommandBuffer>, not retained for the caller. Host: the same as data().
  [[nodiscard]] void* native_handle() const noexcept;

 private:
  friend class detail::PoolCore;
  friend class CommandBufferPool;
  CommandBuffer(std::shared_ptr<detail::PoolCore> core,
                std::unique_ptr<detail::BufferResource> resource, std::uint64_t epoch) noexcept;
  void drop() noexcept;

  // A buffer that is out is owned by its handle alone: whatever happens to the pool meanwhile, its
  // memory stays valid, and nobody else can be given it.
  std::shared_ptr<detail::PoolCore> core_;
  std::unique_ptr<detail::BufferResource> resource_;
  std::uint64_t epoch_ = 0;
};

class CommandBufferPool {
 public:
  // Makes all `pool_size` buffers at once. Throws std::invalid_argument unless
  // 1 <= pool_size <= kPoolSizeMax, 1 <= buffer_bytes <= kBufferBytesMax and (host) their product
  // <= kPoolBytesMax, or if the backend isn't there; std::bad_alloc.
  explicit CommandBufferPool(std::size_t pool_size = kPoolSizeDefault,
                             PoolBackend backend = PoolBackend::automatic,
                             std::size_t buffer_bytes = kBufferBytesDefault);
  ~CommandBufferPool();
  CommandBufferPool(const CommandBufferPool&) = delete;
  CommandBufferPool& operator=(const CommandBufferPool&) = delete;

  // A buffer from the pool, without allocating anything (a hit), else a temporary one (a miss).
  // Throws PoolExhausted at the hard cap, std::bad_alloc.
  [[nodiscard]] CommandBuffer acquire();

  // Ends the loan; `buffer` is empty afterwards. Throws PoolError and changes nothing if the buffer
  // is empty, already released, of another pool, or was acquired before the last reset().
  void release(CommandBuffer& buffer);

  // Fills the pool up and zeroes the statistics. Buffers that are out become stale: they stay
  // usable until dropped, but can't be released. If it throws (std::bad_alloc), nothing changed.
  void reset();

  [[nodiscard]] CommandBufferPoolStats get_stats() const;

  // host or metal, never automatic.
  [[nodiscard]] PoolBackend backend() const noexcept;
  // True if a miss, a release or a reset may wait for the device (Metal limits its queue).
  [[nodiscard]] bool may_block() const noexcept;

 private:
  std::shared_ptr<detail::PoolCore> core_;
};

}  // namespace kr
