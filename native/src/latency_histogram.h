// Where a latency goes in the histogram: every power of two of milliseconds is cut into 128 equal
// buckets, so a bucket is at most 1/128 of its latencies wide and its middle at most 1/256 off.
// The Python fallback (mlx_serving/native/fallback.py) has the same buckets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kr::detail {

inline constexpr int kOctaveMin = -20;
inline constexpr int kOctaveMax = 32;
inline constexpr int kSubBucketBits = 7;
inline constexpr std::size_t kSubBuckets = std::size_t{1} << kSubBucketBits;
// Bucket 0 is for all below 2^kOctaveMin, the last one for 2^kOctaveMax alone.
inline constexpr std::size_t kBuckets =
    static_cast<std::size_t>(kOctaveMax - kOctaveMin) * kSubBuckets + 2;

// A double's exponent and the upper bits of its mantissa, read as one number, already count
// buckets.
inline std::uint64_t octave_and_sub_bucket(double value) noexcept {
  std::uint64_t bits = 0;
  static_assert(sizeof bits == sizeof value, "an IEEE 754 double");
  std::memcpy(&bits, &value, sizeof bits);
  return bits >> (52 - kSubBucketBits);
}

inline constexpr std::uint64_t kFirstBucket = std::uint64_t{1023 + kOctaveMin} << kSubBucketBits;

// 0 <= latency_ms <= 2^kOctaveMax.
inline std::size_t bucket_of(double latency_ms) noexcept {
  const std::uint64_t position = octave_and_sub_bucket(latency_ms);
  return position < kFirstBucket ? 0 : static_cast<std::size_t>(position - kFirstBucket) + 1;
}

// The latency that stands for all of a bucket: its middle.
double middle_of(std::size_t bucket) noexcept;

}  // namespace kr::detail
