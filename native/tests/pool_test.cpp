#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.h"
#include "kr_command_buffer_pool.h"

using kr::CommandBuffer;
using kr::CommandBufferPool;
using kr::PoolBackend;
using kr::PoolError;
using kr::PoolExhausted;

// Counts what this program allocates, for the promise of a hit.
static std::atomic<long> allocations{0};

void* operator new(std::size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

// By hand, since a vector of buffers given back in its own order hides who holds what.
std::vector<CommandBuffer> take(CommandBufferPool& pool, std::size_t count) {
  std::vector<CommandBuffer> taken;
  for (std::size_t i = 0; i < count; ++i) taken.push_back(pool.acquire());
  return taken;
}

CommandBufferPool host_pool(std::size_t pool_size, std::size_t buffer_bytes = 4096) {
  return CommandBufferPool(pool_size, PoolBackend::host, buffer_bytes);
}

}  // namespace

TEST_CASE(a_new_pool_is_full) {
  const CommandBufferPool pool;
  const auto stats = pool.get_stats();
  CHECK(stats.pool_size == 16);
  CHECK(stats.available == 16);
  CHECK(stats.total_acquired == 0 && stats.total_released == 0);
  CHECK(stats.cache_hits == 0 && stats.cache_misses == 0);
}

TEST_CASE(acquire_and_release_are_counted) {
  auto pool = host_pool(2);
  CommandBuffer buffer = pool.acquire();
  CHECK(static_cast<bool>(buffer));
  CHECK(pool.get_stats().available == 1);
  pool.release(buffer);
  CHECK(!buffer);
  const auto stats = pool.get_stats();
  CHECK(stats.available == 2);
  CHECK(stats.total_acquired == 1 && stats.cache_hits == 1 && stats.cache_misses == 0);
  CHECK(stats.total_released == 1);
}

TEST_CASE(host_memory_is_zeroed_aligned_and_writable) {
  auto pool = host_pool(1, 5000);
  CommandBuffer buffer = pool.acquire();
  CHECK(buffer.bytes() == 8192 || buffer.bytes() % 16384 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096 == 0);
  CHECK(buffer.native_handle() == buffer.data());
  const auto* bytes = static_cast<const unsigned char*>(buffer.data());
  for (std::size_t i = 0; i < buffer.bytes(); ++i) CHECK(bytes[i] == 0);
  std::memset(buffer.data(), 0xab, buffer.bytes());
  CHECK(bytes[buffer.bytes() - 1] == 0xab);
}

TEST_CASE(buffers_that_are_out_are_distinct) {
  auto pool = host_pool(4);
  const auto taken = take(pool, 8);
  std::set<void*> addresses;
  for (const CommandBuffer& buffer : taken) addresses.insert(buffer.data());
  CHECK(addresses.size() == 8);
}

TEST_CASE(the_same_memory_serves_again) {
  auto pool = host_pool(1);
  CommandBuffer first = pool.acquire();
  void* memory = first.data();
  pool.release(first);
  CHECK(pool.acquire().data() == memory);
}

TEST_CASE(a_hit_allocates_nothing) {
  auto pool = host_pool(4);
  const long before = allocations;
  for (int i = 0; i < 1000; ++i) {
    CommandBuffer buffer = pool.acquire();
    CommandBuffer other = pool.acquire();
    pool.release(buffer);
    // `other` is dropped.
  }
  CHECK(allocations == before);
  CHECK(pool.get_stats().cache_misses == 0);
}

TEST_CASE(an_exhausted_pool_hands_out_temporaries_up_to_the_cap) {
  auto pool = host_pool(2);
  auto taken = take(pool, 2 * kr::kOutstandingPerSlotMax);
  auto stats = pool.get_stats();
  CHECK(stats.available == 0);
  CHECK(stats.cache_hits == 2 && stats.cache_misses == 6 && stats.total_acquired == 8);
  CHECK_THROWS(PoolExhausted, pool.acquire());
  CHECK(pool.get_stats().total_acquired == 8);
  for (CommandBuffer& buffer : taken) pool.release(buffer);
  stats = pool.get_stats();
  CHECK(stats.available == 2);
  CHECK(stats.total_released == 8);
  CommandBuffer after = pool.acquire();
  CHECK(pool.get_stats().cache_hits == 3);
}

TEST_CASE(a_dropped_buffer_comes_back) {
  auto pool = host_pool(1);
  {
    const CommandBuffer dropped = pool.acquire();
  }
  CHECK(pool.get_stats().available == 1);
  CHECK(pool.get_stats().total_released == 1);
  CommandBuffer overwritten = pool.acquire();
  overwritten = CommandBuffer();
  CHECK(pool.get_stats().available == 1);
}

TEST_CASE(a_second_release_is_an_error) {
  auto pool = host_pool(2);
  CommandBuffer buffer = pool.acquire();
  pool.release(buffer);
  CHECK_THROWS(PoolError, pool.release(buffer));
  CHECK(pool.get_stats().available == 2);
  CHECK(pool.get_stats().total_released == 1);
}

TEST_CASE(an_empty_buffer_cannot_be_released) {
  auto pool = host_pool(1);
  CommandBuffer empty;
  CHECK_THROWS(PoolError, pool.release(empty));
  CommandBuffer source = pool.acquire();
  CommandBuffer target = std::move(source);
  CHECK_THROWS(PoolError, pool.release(source));  // NOLINT: moved from on purpose
  pool.release(target);
  CHECK(pool.get_stats().available == 1);
}

TEST_CASE(a_foreign_buffer_stays_with_its_pool) {
  auto pool = host_pool(1);
  auto other = host_pool(1);
  CommandBuffer buffer = other.acquire();
  CHECK_THROWS(PoolError, pool.release(buffer));
  CHECK(static_cast<bool>(buffer));
  CHECK(pool.get_stats().total_released == 0);
  other.release(buffer);
  CHECK(other.get_stats().available == 1);
}

TEST_CASE(a_buffer_outlives_its_pool) {
  auto pool =
      std::make_unique<CommandBufferPool>(std::size_t{1}, PoolBackend::host, std::size_t{64});
  CommandBuffer buffer = pool->acquire();
  pool.reset();
  std::memset(buffer.data(), 1, buffer.bytes());
  CHECK(static_cast<const char*>(buffer.data())[0] == 1);
}

TEST_CASE(reset_zeroes_the_counts_and_fills_up) {
  auto pool = host_pool(3);
  const auto taken = take(pool, 5);
  pool.reset();
  const auto stats = pool.get_stats();
  CHECK(stats.available == 3);
  CHECK(stats.total_acquired == 0 && stats.total_released == 0);
  CHECK(stats.cache_hits == 0 && stats.cache_misses == 0);
}

TEST_CASE(buffers_from_before_a_reset_are_stale_and_usable) {
  auto pool = host_pool(2);
  CommandBuffer old = pool.acquire();
  pool.reset();
  CHECK_THROWS(PoolError, pool.release(old));
  const auto taken = take(pool, 2 * kr::kOutstandingPerSlotMax);
  for (const CommandBuffer& buffer : taken) CHECK(buffer.data() != old.data());
  std::memset(old.data(), 7, old.bytes());
  old = CommandBuffer();
  CHECK(pool.get_stats().total_released == 0);
}

TEST_CASE(sizes_out_of_range_are_refused) {
  CHECK_THROWS(std::invalid_argument, CommandBufferPool(0));
  CHECK_THROWS(std::invalid_argument, CommandBufferPool(kr::kPoolSizeMax + 1));
  CHECK_THROWS(std::invalid_argument, CommandBufferPool(SIZE_MAX));
  CHECK_THROWS(std::invalid_argument, host_pool(1, 0));
  CHECK_THROWS(std::invalid_argument, host_pool(1, kr::kBufferBytesMax + 1));
  CHECK_THROWS(std::invalid_argument, host_pool(5, kr::kBufferBytesMax));
  CHECK(host_pool(kr::kPoolSizeMax, 1).get_stats().available == kr::kPoolSizeMax);
}

TEST_CASE(the_backend_is_named) {
  CHECK(host_pool(1).backend() == PoolBackend::host);
  CHECK(!host_pool(1).may_block());
  CHECK(CommandBufferPool(1).backend() != PoolBackend::automatic);
}

TEST_CASE(a_metal_buffer_is_never_handed_out_twice) {
  std::optional<CommandBufferPool> pool;
  try {
    pool.emplace(std::size_t{2}, PoolBackend::metal);
  } catch (const std::invalid_argument&) {
    // No Metal: on other systems, and on a Mac without a device, as virtual ones are.
    CHECK(CommandBufferPool(1).backend() == PoolBackend::host);
    return;
  }
  CommandBuffer first = pool->acquire();
  CHECK(first.native_handle() != nullptr && first.data() == nullptr && first.bytes() == 0);
  pool->release(first);
  CHECK(pool->get_stats().available == 2);
  CHECK(pool->get_stats().cache_misses == 0);
}

TEST_MAIN()
