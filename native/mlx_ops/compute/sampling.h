// From a row of logits to a token or to log-probabilities, without sorting the vocabulary.
#pragma once

#include <cstdint>

namespace kr::ops {

/// How one row is drawn. `temperature` 0 takes the likeliest token, the first of equal ones; the
/// others mean what they mean elsewhere, and are off at top_k 0, top_p 1 and min_p 0. `uniform` is
/// the random number, 0 <= uniform < 1.
struct Draw {
  float temperature = 1;
  int top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float uniform = 0;
};

/// The token at which the cumulative probability, in the order of the vocabulary, first exceeds
/// `uniform`. Temperature, top_k, top_p over what top_k left, then min_p; of equal logits at a
/// limit all stay.
int draw_token(const float* logits, int count, const Draw& draw);

/// A row of logits with -infinity for every token whose bit is 0, lowest bit first, in words of 32.
void mask_logits(const float* logits, int count, const uint32_t* words, float* masked);

/// log(sum(exp(logits)))
double log_sum_exp(const float* logits, int count);

/// The `top` largest logits, largest first, of equal ones the first; 0 of them write nothing.
void largest_logits(const float* logits, int count, int top, int32_t* tokens, float* values);

}  // namespace kr::ops
