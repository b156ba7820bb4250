// The pool itself, the same for every backend: a stack of free buffers under a mutex.
//
// A buffer that is out belongs to its handle, so the pool needs no table of slots: what comes back
// is kept while there is room and freed otherwise. Epochs make handles from before a reset() stale.
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "buffer_source.h"
#include "kr_command_buffer_pool.h"

namespace kr {
namespace detail {

class PoolCore {
 public:
  PoolCore(std::size_t pool_size, PoolBackend backend, std::unique_ptr<BufferSource> source)
      : pool_size_(pool_size), backend_(backend), source_(std::move(source)) {
    free_.reserve(pool_size);
    while (free_.size() < pool_size) free_.push_back(source_->create());
  }

  static CommandBuffer acquire(const std::shared_ptr<PoolCore>& core) {
    auto [resource, epoch] = core->take();
    return CommandBuffer(core, std::move(resource), epoch);
  }

  void release(CommandBuffer& buffer) {
    std::unique_ptr<BufferResource> resource;
    {
      const std::lock_guard lock(mutex_);
      if (!buffer.resource_) throw PoolError("the buffer was released already");
      if (buffer.epoch_ != epoch_) throw PoolError("the buffer is stale: the pool was reset");
      resource = std::move(buffer.resource_);
      count_return();
      if (keep(resource)) return;
    }
    replace(std::move(resource));
  }

  // The end of a handle that was not released.
  void drop(std::unique_ptr<BufferResource> resource, std::uint64_t epoch) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (epoch != epoch_) return;
      count_return();
      if (keep(resource)) return;
    }
    replace(std::move(resource));
  }

  void reset() {
    // Made outside the lock, since that may take time, and before anything changes.
    std::vector<std::unique_ptr<BufferResource>> spares;
    spares.reserve(pool_size_);
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (free_.size() + spares.size() >= pool_size_) {
          while (free_.size() < pool_size_) {
            free_.push_back(std::move(spares.back()));
            spares.pop_back();
          }
          ++epoch_;
          outstanding_ = 0;
          hits_ = misses_ = released_ = 0;
          return;
        }
      }
      spares.push_back(source_->create());
    }
  }

  CommandBufferPoolStats stats() const {
    const std::lock_guard lock(mutex_);
    CommandBufferPoolStats stats;
    stats.pool_size = pool_size_;
    stats.available = free_.size();
    stats.total_acquired = hits_ + misses_;
    stats.total_released = released_;
    stats.cache_hits = hits_;
    stats.cache_misses = misses_;
    return stats;
  }

  PoolBackend backend() const noexcept { return backend_; }

 private:
  std::pair<std::unique_ptr<BufferResource>, std::uint64_t> take() {
    std::uint64_t epoch = 0;
    {
      const std::lock_guard lock(mutex_);
      if (outstanding_ >= pool_size_ * kOutstandingPerSlotMax) {
        throw PoolExhausted(std::to_string(outstanding_) +
                            " buffers are out, the most that a pool of " +
                            std::to_string(pool_size_) + " hands out");
      }
      ++outstanding_;
      epoch = epoch_;
      if (!free_.empty()) {
        ++hits_;
        auto resource = std::move(free_.back());
        free_.pop_back();
        return {std::move(resource), epoch};
      }
      ++misses_;
    }
    try {
      return {source_->create(), epoch};
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (epoch == epoch_) {
        --outstanding_;
        --misses_;
      }
      throw;
    }
  }

  // count_return(), keep() and push() expect the lock to be held.
  void count_return() noexcept {
    --outstanding_;
    ++released_;
  }

  // True if nothing is left to do for the buffer; else it must be replaced or freed, unlocked.
  bool keep(std::unique_ptr<BufferResource>& resource) noexcept {
    return source_->is_reusable() && push(resource);
  }

  // Never allocates: free_ has room for pool_size_ buffers.
  bool push(std::unique_ptr<BufferResource>& resource) noexcept {
    if (free_.size() >= pool_size_) return false;
    free_.push_back(std::move(resource));
    return true;
  }

  // For a used-up buffer a new one, if there is room; a temporary one is only freed.
  void replace(std::unique_ptr<BufferResource> used) noexcept {
    used.reset();
    if (source_->is_reusable() || is_full()) return;
    try {
      auto fresh = source_->create();
      const std::lock_guard lock(mutex_);
      push(fresh);
    } catch (const std::exception&) {
      // The pool has one buffer less until the next miss is given back. The holder did no wrong.
    }
  }

  bool is_full() const {
    const std::lock_guard lock(mutex_);
    return free_.size() >= pool_size_;
  }

  const std::size_t pool_size_;
  const PoolBackend backend_;
  const std::unique_ptr<BufferSource> source_;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<BufferResource>> free_;
  std::size_t outstanding_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t hits_ = 0;
  std::uint64_t misses_ = 0;
  std::uint64_t released_ = 0;
};

namespace {

void check_between(const char* name, std::size_t value, std::size_t max) {
  if (value >= 1 && value <= max) return;
  throw std::invalid_argument(std::string(name) + " must be from 1 to " + std::to_string(max) +
                              ", not " + std::to_string(value));
}

std::shared_ptr<PoolCore> make_host_core(std::size_t pool_size, std::size_t buffer_bytes) {
  check_between("pool_size * buffer_bytes", pool_size * buffer_bytes, kPoolBytesMax);
  return std::make_shared<PoolCore>(pool_size, PoolBackend::host, make_host_source(buffer_bytes));
}

// nullptr where there is no Metal.
std::shared_ptr<PoolCore> make_metal_core(std::size_t pool_size) {
  // Room for all that may exist at once, free, out and just being made: Metal never waits for
  // buffers that are only held.
  auto source = make_metal_source(pool_size * (kOutstandingPerSlotMax + 2));
  if (!source) return nullptr;
  return std::make_shared<PoolCore>(pool_size, PoolBackend::metal, std::move(source));
}

std::shared_ptr<PoolCore> make_core(std::size_t pool_size, PoolBackend backend,
                                    std::size_t buffer_bytes) {
  check_between("pool_size", pool_size, kPoolSizeMax);
  check_between("buffer_bytes", buffer_bytes, kBufferBytesMax);
  if (backend == PoolBackend::host) return make_host_core(pool_size, buffer_bytes);
  auto core = make_metal_core(pool_size);
  if (core) return core;
  if (backend == PoolBackend::metal) throw std::invalid_argument("Metal is not available here");
  return make_host_core(pool_size, buffer_bytes);
}

}  // namespace
}  // namespace detail

CommandBuffer::CommandBuffer() noexcept = default;

CommandBuffer::CommandBuffer(std::shared_ptr<detail::PoolCore> core,
                             std::unique_ptr<detail::BufferResource> resource,
                             std::uint64_t epoch) noexcept
    : core_(std::move(core)), resource_(std::move(resource)), epoch_(epoch) {}

CommandBuffer::CommandBuffer(CommandBuffer&& other) noexcept = default;

CommandBuffer& CommandBuffer::operator=(CommandBuffer&& other) noexcept {
  if (this == &other) return *this;
  drop();
  core_ = std::move(other.core_);
  resource_ = std::move(other.resource_);
  epoch_ = other.epoch_;
  return *this;
}

CommandBuffer::~CommandBuffer() { drop(); }

void CommandBuffer::drop() noexcept {
  if (resource_) core_->drop(std::move(resource_), epoch_);
}

void* CommandBuffer::data() const noexcept { return resource_ ? resource_->data() : nullptr; }

std::size_t CommandBuffer::bytes() const noexcept { return resource_ ? resource_->bytes() : 0; }

void* CommandBuffer::native_handle() const noexcept {
  return resource_ ? resource_->native_handle() : nullptr;
}

CommandBufferPool::CommandBufferPool(std::size_t pool_size, PoolBackend backend,
                                     std::size_t buffer_bytes)
    : core_(detail::make_core(pool_size, backend, buffer_bytes)) {}

CommandBufferPool::~CommandBufferPool() = default;

CommandBuffer CommandBufferPool::acquire() { return detail::PoolCore::acquire(core_); }

void CommandBufferPool::release(CommandBuffer& buffer) {
  if (!buffer.core_) throw PoolError("the buffer is empty");
  if (buffer.core_ != core_) throw PoolError("the buffer belongs to another pool");
  core_->release(buffer);
}

void CommandBufferPool::reset() { core_->reset(); }

CommandBufferPoolStats CommandBufferPool::get_stats() const { return core_->stats(); }

PoolBackend CommandBufferPool::backend() const noexcept { return core_->backend(); }

bool CommandBufferPool::may_block() const noexcept { return backend() == PoolBackend::metal; }

}  // namespace kr
