// Small helpers of the sources. Private.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kr::detail {

// The system's page size; always a power of two.
[[nodiscard]] std::size_t page_bytes() noexcept;

// `bytes` rounded up to whole pages. The caller keeps `bytes` far below the end of size_t.
[[nodiscard]] std::size_t round_up_to_pages(std::size_t bytes) noexcept;

// Nanoseconds of a clock that never goes back.
[[nodiscard]] std::int64_t monotonic_ns() noexcept;

}  // namespace kr::detail
