// What the products of all instruction sets share: the walk over panels and rows.
//
// The including file has defined, for one panel and `count` rows of activations,
//   panel_product<bits, kind, count>(w, panel, x, row, y, stride, width)
// and kProductRows, the largest count that its registers hold.
#pragma once

namespace kr::ops {
namespace {

template <int bits, FloatKind kind>
void product_of(const PackedView& w, const QuantizedRows& x, int first_row, int last_row,
                int first_panel, int last_panel, float* y, int64_t stride) {
  for (int panel = first_panel; panel < last_panel; panel++, y += kPanelRows) {
    const uint8_t* p = w.data + panel * w.panel_bytes();
    const int left = w.rows - panel * kPanelRows;
    const int width = left < kPanelRows ? left : kPanelRows;
    int row = first_row;
    if constexpr (kProductRows == 8)
      for (; row + 8 <= last_row; row += 8)
        panel_product<bits, kind, 8>(w, p, x, row, y, stride, width);
    for (; row + 4 <= last_row; row += 4)
      panel_product<bits, kind, 4>(w, p, x, row, y, stride, width);
    switch (last_row - row) {
      case 1:
        panel_product<bits, kind, 1>(w, p, x, row, y, stride, width);
        break;
      case 2:
        panel_product<bits, kind, 2>(w, p, x, row, y, stride, width);
        break;
      case 3:
        panel_product<bits, kind, 3>(w, p, x, row, y, stride, width);
        break;
    }
  }
}

template <int bits>
void product_bits(const PackedView& w, const QuantizedRows& x, int first_row, int last_row,
                  int first_panel, int last_panel, float* y, int64_t stride) {
  switch (w.scales) {
    case FloatKind::f32:
      return product_of<bits, FloatKind::f32>(w, x, first_row, last_row, first_panel, last_panel, y,
                                              stride);
    case FloatKind::f16:
      return product_of<bits, FloatKind::f16>(w, x, first_row, last_row, first_panel, last_panel, y,
                                              stride);
    case FloatKind::bf16:
      return product_of<bits, FloatKind::bf16>(w, x, first_row, last_row, first_panel, last_panel,
                                               y, stride);
  }
}

void product(const PackedView& w, const QuantizedRows& x, int first_row, int last_row,
             int first_panel, int last_panel, float* y, int64_t stride) {
  if (w.bits == 4)
    product_bits<4>(w, x, first_row, last_row, first_panel, last_panel, y, stride);
  else
    product_bits<8>(w, x, first_row, last_row, first_panel, last_panel, y, stride);
}

void unpack_row(const PackedView& w, int row, float* out) {
  const uint8_t* p = w.data + row / kPanelRows * w.panel_bytes();
  const int r = row % kPanelRows;
  const size_t size = bytes_of(w.scales);
  for (int column = 0; column < w.cols;) {
    float scale, bias;
    to_float(p + r * size, w.scales, &scale, 1);
    to_float(p + w.head_bytes() / 2 + r * size, w.scales, &bias, 1);
    p += w.head_bytes();
    for (int end = column + w.group; column < end; p += w.block_bytes()) {
      int codes[kActivationGroup];
      if (w.bits == 4)
        unpack_codes<4>(p, r, codes);
      else
        unpack_codes<8>(p, r, codes);
      for (int k = 0; k < kActivationGroup; k++) out[column++] = scale * float(codes[k]) + bias;
    }
  }
}

}  // namespace
}  // namespace kr::ops
