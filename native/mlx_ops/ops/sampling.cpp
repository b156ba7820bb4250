#include "sampling.h"

#include <algorithm>

#include "../compute/product.h"

namespace kr::ops {
namespace {

// What going over one logit costs in elements of simple arithmetic.
constexpr int64_t kLogitCost = 4;

void require_logits(const mx::array& logits) {
  require_float(logits, "logits must be of a float type");
  require(logits.ndim() == 2 && logits.shape(1) > 0, "logits must be [rows, vocabulary]");
}

}  // namespace

mx::array sample(const mx::array& logits, std::vector<Draw> draws) {
  require_logits(logits);
  require(int(draws.size()) == logits.shape(0), "there must be one draw for every row");
  return operation("KrSample", {logits.shape(0)}, mx::uint32, {logits},
                   [draws = std::move(draws)](const Arrays& in, Arrays& out) {
                     return [draws, x = rows_of(in[0]), tokens = out[0].data<uint32_t>()] {
                       for_rows(int(draws.size()), kLogitCost * x.cols, [&](int row) {
                         Workspace workspace;
                         const float* values = x.get(row, workspace.take<float>(x.cols));
                         tokens[row] = uint32_t(draw_token(values, x.cols, draws[row]));
                       });
                     };
                   });
}

mx::array sample_masked(const mx::array& logits, std::vector<Draw> draws, const mx::array& masks,
                        std::vector<int> mask_of_row) {
  require_logits(logits);
  const int rows = logits.shape(0);
  require(int(draws.size()) == rows, "there must be one draw for every row");
  require(int(mask_of_row.size()) == rows, "there must be one mask, or -1, for every row");
  require(masks.dtype() == mx::uint32 && masks.ndim() == 2, "masks must be words of uint32");
  require(int64_t(masks.shape(1)) * 32 >= logits.shape(1), "masks must cover the vocabulary");
  for (const int mask : mask_of_row)
    require(mask >= -1 && mask < masks.shape(0), "a row's mask must be there");
  return operation(
      "KrSampleMasked", {rows}, mx::uint32,
      {logits, mx::contiguous(masks, false, mx::Device::cpu)},
      [draws = std::move(draws), mask_of_row = std::move(mask_of_row)](const Arrays& in,
                                                                       Arrays& out) {
        return [draws, mask_of_row, x = rows_of(in[0]), words = in[1].data<uint32_t>(),
                words_per_mask = int64_t(in[1].shape(1)), tokens = out[0].data<uint32_t>()] {
          for_rows(int(draws.size()), kLogitCost * x.cols, [&](int row) {
            Workspace workspace;
            const float* values = x.get(row, workspace.take<float>(x.cols));
            if (mask_of_row[row] >= 0) {
              auto* masked = workspace.take<float>(x.cols);
              mask_logits(values, x.cols, words + mask_of_row[row] * words_per_mask, masked);
              values = masked;
            }
            tokens[row] = uint32_t(draw_token(values, x.cols, draws[row]));
          });
        };
      });
}

mx::array log_softmax(const mx::array& logits) {
  require_float(logits, "logits must be of a float type");
  require(logits.ndim() > 0, "logits must have an axis");
  return operation("KrLogSoftmax", logits.shape(), mx::float32, {with_rows(logits)},
                   [](const Arrays& in, Arrays& out) {
                     return [x = rows_of(in[0]), y = out[0].data<float>()] {
                       for_rows(int(x.count()), kLogitCost * x.cols, [&](int row) {
                         Workspace workspace;
                         const float* values = x.get(row, workspace.take<float>(x.cols));
                         const auto offset = float(log_sum_exp(values, x.cols));
                         kernels().shift_scale(values, offset, 1, y + int64_t(row) * x.cols,
                                               x.cols);
                       });
                     };
                   });
}

Arrays top_logprobs(const mx::array& logits, const mx::array& tokens, int top) {
  require_logits(logits);
  const int rows = logits.shape(0);
  require(tokens.ndim() == 1 && tokens.shape(0) == rows, "there must be one token for every row");
  require(mx::issubdtype(tokens.dtype(), mx::integer), "tokens must be of an integer type");
  require(top >= 0 && top <= logits.shape(1), "top must be at most the vocabulary");
  const mx::array ids =
      mx::contiguous(mx::astype(tokens, mx::int32, mx::Device::cpu), false, mx::Device::cpu);
  return operation("KrTopLogprobs", {{rows}, {rows, top}, {rows, top}},
                   {mx::float32, mx::int32, mx::float32}, {logits, ids},
                   [top](const Arrays& in, Arrays& out) {
                     return [top, x = rows_of(in[0]), ids = in[1].data<int32_t>(),
                             sampled = out[0].data<float>(), best = out[1].data<int32_t>(),
                             values = out[2].data<float>()] {
                       for_rows(int(x.count()), kLogitCost * x.cols, [&](int row) {
                         Workspace workspace;
                         const float* logit = x.get(row, workspace.take<float>(x.cols));
                         const auto offset = float(log_sum_exp(logit, x.cols));
                         const bool known = ids[row] >= 0 && ids[row] < x.cols;
                         sampled[row] = known ? logit[ids[row]] - offset : -INFINITY;
                         float* mine = values + int64_t(row) * top;
                         largest_logits(logit, x.cols, top, best + int64_t(row) * top, mine);
                         kernels().shift_scale(mine, offset, 1, mine, top);
                       });
                     };
                   });
}

}  // namespace kr::ops
