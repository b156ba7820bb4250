// The Metal backend: command buffers of a queue of our own, made in advance.
//
// A command buffer is single-use: once committed it can't record again, and whether one that wasn't
// committed holds commands already can't be asked. So none is ever handed out twice: what comes
// back is replaced. MLX has a queue of its own; these buffers serve code that dispatches by itself.
//
// Written against Apple's documented API. It has not been compiled on a Mac yet.
#if !defined(KR_METAL)
#error "command_buffer_pool.mm belongs to builds with KR_METAL"
#endif

#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <memory>

#include "buffer_source.h"
#include "kr_command_buffer_pool.h"

#if !__has_feature(objc_arc)
#error "command_buffer_pool.mm needs -fobjc-arc"
#endif

namespace kr::detail {
namespace {

class MetalResource final : public BufferResource {
 public:
  explicit MetalResource(id<MTLCommandBuffer> buffer) : buffer_(buffer) {}

  void* data() const noexcept override { return nullptr; }
  std::size_t bytes() const noexcept override { return 0; }
  void* native_handle() const noexcept override { return (__bridge void*)buffer_; }

 private:
  // Metal keeps a committed buffer until the GPU has finished it, so letting go is always safe.
  id<MTLCommandBuffer> buffer_;
};

class MetalSource final : public BufferSource {
 public:
  explicit MetalSource(id<MTLCommandQueue> queue) : queue_(queue) {}

  // Waits while the queue has as many unfinished buffers as it allows.
  std::unique_ptr<BufferResource> create() override {
    @autoreleasepool {
      id<MTLCommandBuffer> buffer = [queue_ commandBuffer];
      if (buffer == nil) throw PoolError("Metal gave no command buffer");
      return std::make_unique<MetalResource>(buffer);
    }
  }
  bool is_reusable() const noexcept override { return false; }

 private:
  id<MTLCommandQueue> queue_;
};

}  // namespace

std::unique_ptr<BufferSource> make_metal_source(std::size_t count_max) {
  @autoreleasepool {
    id<MTLDevice> device = MTLCreateSystemDefaultDevice();
    if (device == nil) return nullptr;
    id<MTLCommandQueue> queue =
        [device newCommandQueueWithMaxCommandBufferCount:static_cast<NSUInteger>(count_max)];
    if (queue == nil) return nullptr;
    return std::make_unique<MetalSource>(queue);
  }
}

}  // namespace kr::detail
