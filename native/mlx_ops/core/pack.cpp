#include "pack.h"

#include <algorithm>
#include <cstring>

#include "float16.h"
#include "pool.h"

namespace kr::ops {
namespace {

float head_at(const void* heads, FloatKind kind, size_t i) {
  if (kind == FloatKind::f32) return static_cast<const float*>(heads)[i];
  const uint16_t bits = static_cast<const uint16_t*>(heads)[i];
  return kind == FloatKind::f16 ? float_of_f16(bits) : float_of_bf16(bits);
}

void put_head(float value, FloatKind kind, uint8_t* out) {
  const uint16_t half = kind == FloatKind::f16 ? f16_of_float(value) : bf16_of_float(value);
  if (kind == FloatKind::f32)
    std::memcpy(out, &value, 4);
  else
    std::memcpy(out, &half, 2);
}

bool is_lossless(const void* heads, FloatKind from, FloatKind to, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const float value = head_at(heads, from, i);
    const float back = to == FloatKind::f16 ? float_of_f16(f16_of_float(value))
                                            : float_of_bf16(bf16_of_float(value));
    if (bits_of_float(back) != bits_of_float(value)) return false;
  }
  return true;
}

int code_at(const uint8_t* row, int bits, int column) {
  const size_t bit = size_t(column) * bits;
  unsigned window = row[bit / 8];
  if (bit % 8 + bits > 8) window |= unsigned(row[bit / 8 + 1]) << 8;
  return int(window >> bit % 8 & ((1u << bits) - 1));
}

/// The codes of 32 columns of one row to their places in a block.
void put_codes(const uint8_t* row, int bits, int column, int r, int stored_bits, uint8_t* block) {
  for (int k = 0; k < kActivationGroup; k++) {
    const int code = code_at(row, bits, column + k);
    const int vector = k / 4, byte = 4 * r + k % 4;
    if (stored_bits == 8)
      block[64 * vector + byte] = uint8_t(code);
    else
      block[64 * (vector % 4) + byte] |= uint8_t(vector < 4 ? code : code << 4);
  }
}

void pack_panel(const AffineView& from, const PackedView& packed, int panel, uint8_t* out) {
  std::memset(out, 0, packed.panel_bytes());
  const int groups = from.cols / from.group;
  const int count = std::min(kPanelRows, from.rows - panel * kPanelRows);
  const size_t head = bytes_of(packed.scales);
  for (int g = 0; g < groups; g++, out += packed.group_bytes()) {
    for (int r = 0; r < count; r++) {
      const size_t row = size_t(panel) * kPanelRows + r;
      const size_t at = row * groups + g;
      put_head(head_at(from.scales, from.kind, at), packed.scales, out + r * head);
      put_head(head_at(from.biases, from.kind, at), packed.scales, out + (kPanelRows + r) * head);
      const uint8_t* codes = from.codes + row * (size_t(from.cols) * from.bits / 8);
      uint8_t* block = out + packed.head_bytes();
      for (int k = 0; k < from.group; k += kActivationGroup, block += packed.block_bytes())
        put_codes(codes, from.bits, g * from.group + k, r, packed.bits, block);
    }
  }
}

}  // namespace

FloatKind smallest_scales(const AffineView& matrix) {
  if (matrix.kind != FloatKind::f32) return matrix.kind;
  const size_t count = size_t(matrix.rows) * (matrix.cols / matrix.group);
  for (FloatKind kind : {FloatKind::f16, FloatKind::bf16})
    if (is_lossless(matrix.scales, matrix.kind, kind, count) &&
        is_lossless(matrix.biases, matrix.kind, kind, count))
      return kind;
  return FloatKind::f32;
}

void pack(const AffineView& matrix, const PackedView& packed, uint8_t* out) {
  Pool::shared().run_ranges(packed.panels(), 1, [&](int begin, int end) {
    for (int panel = begin; panel < end; panel++)
      pack_panel(matrix, packed, panel, out + panel * packed.panel_bytes());
  });
}

}  // namespace kr::ops
