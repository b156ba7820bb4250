// Sampling as operations, for all rows of a batch at once.
#pragma once

#include <tuple>

#include "../compute/sampling.h"
#include "operation.h"

namespace kr::ops {

/// Tokens [rows] of uint32 for logits [rows, vocabulary], one draw a row.
mx::array sample(const mx::array& logits, std::vector<Draw> draws);

/// The same with masks [masks, words of 32 tokens] of uint32: row i draws what the bits of mask
/// `mask_of_row[i]` allow, or anything where that is -1.
mx::array sample_masked(const mx::array& logits, std::vector<Draw> draws, const mx::array& masks,
                        std::vector<int> mask_of_row);

/// logits - log(sum(exp(logits))) over the last axis, as float32.
mx::array log_softmax(const mx::array& logits);

/// The log-probabilities of logits [rows, vocabulary]: that of tokens [rows], as [rows]; and the
/// `top` largest with their tokens, largest first, each [rows, top].
Arrays top_logprobs(const mx::array& logits, const mx::array& tokens, int top);

}  // namespace kr::ops
