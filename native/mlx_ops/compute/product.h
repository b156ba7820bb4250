// The quantized product of many rows, shared among the threads of the pool.
#pragma once

#include <vector>

#include "../core/memory.h"
#include "../core/pool.h"
#include "rows.h"

namespace kr::ops {

/// A matrix and where its product goes: y[row][n] for its rows n.
struct ProductPart {
  PackedView matrix;
  float* y;
  int64_t stride;  // from one row of y to the next
};

/// Quantizes rows [first, first + count) of x, normalized before if `norm` is given.
QuantizedRows quantize_rows(Workspace& workspace, const Rows& x, int64_t first, int count,
                            const float* norm = nullptr, float eps = 0);

/// y = x . w for each part; all parts have the same number of columns.
void multiply(const std::vector<ProductPart>& parts, const QuantizedRows& x, int rows);

/// Rows that are computed at once where there are many: working memory stays bounded.
inline constexpr int kRowBlock = 256;
/// Elements of simple arithmetic that are worth another thread.
inline constexpr int64_t kElementsPerPiece = 8192;

/// Calls work(row) for 0 <= row < rows, on several threads if a row of that many elements is worth
/// it.
template <class Work>
void for_rows(int rows, int64_t elements, const Work& work) {
  const int64_t grain = elements > 0 ? (kElementsPerPiece + elements - 1) / elements : rows;
  Pool::shared().run_ranges(rows, int(grain < rows ? grain : rows), [&](int begin, int end) {
    for (int row = begin; row < end; row++) work(row);
  });
}

}  // namespace kr::ops
