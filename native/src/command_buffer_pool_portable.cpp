// The backend that every system has: memory of the host, to stage frames and logits in.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "buffer_source.h"
#include "utils.h"

namespace kr::detail {
namespace {

class HostResource final : public BufferResource {
 public:
  explicit HostResource(std::size_t bytes) : bytes_(bytes) {
    // Not std::aligned_alloc: macOS has it from 10.15 on only.
    if (posix_memalign(&data_, page_bytes(), bytes) != 0) throw std::bad_alloc();
    // Shows no holder what the process had there before, and pays for the page faults now.
    std::memset(data_, 0, bytes);
  }
  ~HostResource() override { std::free(data_); }

  void* data() const noexcept override { return data_; }
  std::size_t bytes() const noexcept override { return bytes_; }
  void* native_handle() const noexcept override { return data_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

class HostSource final : public BufferSource {
 public:
  explicit HostSource(std::size_t buffer_bytes) : bytes_(round_up_to_pages(buffer_bytes)) {}

  std::unique_ptr<BufferResource> create() override {
    return std::make_unique<HostResource>(bytes_);
  }
  bool is_reusable() const noexcept override { return true; }

 private:
  std::size_t bytes_;
};

}  // namespace

std::unique_ptr<BufferSource> make_host_source(std::size_t buffer_bytes) {
  return std::make_unique<HostSource>(buffer_bytes);
}

#if !defined(KR_METAL)
std::unique_ptr<BufferSource> make_metal_source(std::size_t) { return nullptr; }
#endif

}  // namespace kr::detail
