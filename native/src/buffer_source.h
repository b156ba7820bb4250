// What the pool asks of a backend. Private: users see kr_command_buffer_pool.h only.
#pragma once

#include <cstddef>
#include <memory>

namespace kr::detail {

// One buffer of a backend.
class BufferResource {
 public:
  BufferResource() = default;
  BufferResource(const BufferResource&) = delete;
  BufferResource& operator=(const BufferResource&) = delete;
  virtual ~BufferResource() = default;

  [[nodiscard]] virtual void* data() const noexcept = 0;
  [[nodiscard]] virtual std::size_t bytes() const noexcept = 0;
  [[nodiscard]] virtual void* native_handle() const noexcept = 0;
};

// Makes buffers. create() is called by several threads at once.
class BufferSource {
 public:
  BufferSource() = default;
  BufferSource(const BufferSource&) = delete;
  BufferSource& operator=(const BufferSource&) = delete;
  virtual ~BufferSource() = default;

  // Throws std::bad_alloc or PoolError.
  [[nodiscard]] virtual std::unique_ptr<BufferResource> create() = 0;
  // True if a buffer may serve another holder once it was given back.
  [[nodiscard]] virtual bool is_reusable() const noexcept = 0;
};

// Zeroed, page-aligned memory.
[[nodiscard]] std::unique_ptr<BufferSource> make_host_source(std::size_t buffer_bytes);

// Command buffers of a new queue on the system's default device that allows `count_max` of them at
// once; nullptr where there is no Metal.
[[nodiscard]] std::unique_ptr<BufferSource> make_metal_source(std::size_t count_max);

}  // namespace kr::detail
