#include "product.h"

#include <algorithm>

namespace kr::ops {
namespace {

// Products of a weight and an activation that are worth another thread: some microseconds.
constexpr int64_t kProductsPerPiece = 100'000;
// Activations that are multiplied with a panel at a time, so that they stay in a core's own cache.
constexpr int64_t kCodeBytesMax = 512 << 10;

/// The panels [first, last), counted through all parts.
void multiply_panels(const std::vector<ProductPart>& parts, const QuantizedRows& x, int rows,
                     int first, int last) {
  const int64_t row_bytes = int64_t(x.groups) * kCodeBytes;
  const int step = int(std::max<int64_t>(8, kCodeBytesMax / row_bytes / 8 * 8));
  int start = 0;
  for (const ProductPart& part : parts) {
    const int panels = part.matrix.panels();
    const int begin = std::max(first - start, 0), end = std::min(last - start, panels);
    start += panels;
    if (begin >= end) continue;
    for (int row = 0; row < rows; row += step)
      kernels().product(part.matrix, x, row, std::min(row + step, rows), begin, end,
                        part.y + begin * kPanelRows, part.stride);
  }
}

}  // namespace

QuantizedRows quantize_rows(Workspace& workspace, const Rows& x, int64_t first, int count,
                            const float* norm, float eps) {
  const QuantizedRows out = workspace.take_rows(count, x.cols);
  for_rows(count, 2 * x.cols, [&](int row) {
    Workspace mine;
    float* scratch = mine.take<float>(x.cols);
    const float* values = x.get(first + row, scratch);
    if (norm) {
      kernels().rms_norm(values, norm, scratch, x.cols, eps);
      values = scratch;
    }
    kernels().quantize_row(values, x.cols, out, row);
  });
  return out;
}

void multiply(const std::vector<ProductPart>& parts, const QuantizedRows& x, int rows) {
  int panels = 0;
  for (const ProductPart& part : parts) panels += part.matrix.panels();
  if (!rows || !panels) return;
  const int64_t products = int64_t(rows) * kPanelRows * x.groups * kActivationGroup;
  const int64_t grain = (kProductsPerPiece + products - 1) / products;
  Pool::shared().run_ranges(
      panels, int(std::min<int64_t>(grain, panels)),
      [&](int first, int last) { multiply_panels(parts, x, rows, first, last); });
}

}  // namespace kr::ops
