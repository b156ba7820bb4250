// What all products know about packed weights: how to find one element. See PackedView.
#pragma once

namespace kr::ops {
namespace {

/// Row r (of 16) of a block of 32 columns.
template <int bits>
inline void unpack_codes(const uint8_t* block, int r, int* out) {
  for (int k = 0; k < kActivationGroup; k++) {
    const int vector = k / 4;
    if constexpr (bits == 8) {
      out[k] = block[64 * vector + 4 * r + k % 4];
    } else {
      const int byte = block[64 * (vector % 4) + 4 * r + k % 4];
      out[k] = vector < 4 ? byte & 15 : byte >> 4;
    }
  }
}

}  // namespace
}  // namespace kr::ops
