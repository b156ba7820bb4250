#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../core/isa.h"
#include "../core/memory.h"

namespace kr::ops {
namespace {

constexpr int kStretch = 1024;  // logits whose probabilities are summed before one is looked for
// Logits are put into buckets by their distance from the largest one. Probabilities beyond the last
// bucket are below exp(-64).
constexpr int kBuckets = 1024;
constexpr float kBucketsPerUnit = 16;
constexpr int kWordBits = 32;  // tokens in one word of a mask
constexpr float kFactorMax = 1e30f;  // of the logits; more would be infinite

/// The probabilities of a row, not normalized.
struct Weights {
  const float* logits;
  int count;
  float largest, factor;
  float* values;

  Weights(const float* row, int n, float temperature, Workspace& workspace)
      : logits(row),
        count(n),
        largest(kernels().largest(row, n)),
        factor(std::min(1 / temperature, kFactorMax)),
        values(workspace.take<float>(n)) {
    kernels().exp_sum(logits, largest, factor, values, count);
  }

  int bucket_of(float logit) const {
    const float distance = (largest - logit) * factor * kBucketsPerUnit;
    return distance < kBuckets - 1 ? int(distance) : kBuckets - 1;
  }
};

/// A partition of a row's tokens by their logits: bucket 0 holds the largest ones.
class Buckets {
 public:
  explicit Buckets(const Weights& weights) : weights_(weights) {
    for (int i = 0; i < weights.count; i++) {
      if (std::isnan(weights.logits[i])) continue;
      const int bucket = weights.bucket_of(weights.logits[i]);
      counts_[bucket]++;
      masses_[bucket] += weights.values[i];
    }
  }

  int count(int bucket) const { return counts_[bucket]; }
  double mass(int bucket) const { return masses_[bucket]; }

  /// The logits of one bucket with their weights, largest first.
  std::vector<std::pair<float, float>> sorted(int bucket) const {
    std::vector<std::pair<float, float>> members;
    members.reserve(counts_[bucket]);
    for (int i = 0; i < weights_.count; i++)
      if (!std::isnan(weights_.logits[i]) && weights_.bucket_of(weights_.logits[i]) == bucket)
        members.emplace_back(weights_.logits[i], weights_.values[i]);
    std::sort(members.begin(), members.end(),
              [](const auto& a, const auto& b) { return a.first > b.first; });
    return members;
  }

 private:
  const Weights& weights_;
  int counts_[kBuckets] = {};
  double masses_[kBuckets] = {};
};

/// The k-th largest logit; -infinity if there are fewer.
float kth_logit(const Buckets& buckets, int k) {
  for (int bucket = 0; bucket < kBuckets; k -= buckets.count(bucket++))
    if (k <= buckets.count(bucket)) return buckets.sorted(bucket)[k - 1].first;
  return -std::numeric_limits<float>::infinity();
}

/// The logits from the largest one down to `least`, in their order, until take(logit, weight) is
/// false. whole(mass) may say that a bucket need not be looked into.
template <class Whole, class Take>
void from_largest(const Buckets& buckets, float least, int least_bucket, Whole whole, Take take) {
  for (int bucket = 0; bucket < kBuckets && bucket <= least_bucket; bucket++) {
    if (bucket < least_bucket && whole(buckets.mass(bucket))) continue;
    for (const auto& [logit, weight] : buckets.sorted(bucket))
      if (logit < least || !take(logit, weight)) return;
  }
}

/// The smallest logit that is needed for `share` of the mass of all that are at least `least`.
float logit_of_share(const Weights& weights, const Buckets& buckets, float share, float least) {
  const int least_bucket = std::isinf(least) ? kBuckets : weights.bucket_of(least);
  double mass = 0;
  const auto add = [&](double more) {
    mass += more;
    return true;
  };
  from_largest(buckets, least, least_bucket, add, [&](float, float weight) { return add(weight); });
  double above = 0;
  float found = weights.largest;
  from_largest(
      buckets, least, least_bucket,
      [&](double more) {
        const bool all_needed = above + more < share * mass;
        if (all_needed) above += more;
        return all_needed;
      },
      [&](float logit, float weight) {
        if (above >= share * mass && above > 0) return false;
        found = logit;
        above += weight;
        return true;
      });
  return found;
}

/// The smallest logit that may be drawn.
float smallest_logit(const Weights& weights, const Draw& draw) {
  float least = -std::numeric_limits<float>::infinity();
  const bool some = draw.top_k > 0 && draw.top_k < weights.count;
  if (some || draw.top_p < 1) {
    const Buckets buckets(weights);
    if (some) least = kth_logit(buckets, draw.top_k);
    if (draw.top_p < 1) least = logit_of_share(weights, buckets, draw.top_p, least);
  }
  if (draw.min_p > 0)
    least = std::max(least, weights.largest + std::log(draw.min_p) / weights.factor);
  return std::min(least, weights.largest);
}

int likeliest(const float* logits, int count) {
  const float largest = kernels().largest(logits, count);
  const auto* found = std::find(logits, logits + count, largest);
  return found == logits + count ? 0 : int(found - logits);
}

}  // namespace

int draw_token(const float* logits, int count, const Draw& draw) {
  if (!(draw.temperature > 0)) return likeliest(logits, count);
  Workspace workspace;
  const Weights weights(logits, count, draw.temperature, workspace);
  const float least = smallest_logit(weights, draw);
  const int stretches = (count + kStretch - 1) / kStretch;
  auto* sums = workspace.take<double>(stretches);
  double total = 0;
  for (int s = 0; s < stretches; s++) {
    sums[s] = 0;
    for (int i = s * kStretch; i < std::min(count, (s + 1) * kStretch); i++) {
      if (!(logits[i] >= least)) weights.values[i] = 0;
      sums[s] += weights.values[i];
    }
    total += sums[s];
  }
  const double target = draw.uniform * total;
  double sum = 0;
  int stretch = 0;
  while (stretch < stretches - 1 && sum + sums[stretch] <= target) sum += sums[stretch++];
  int last = -1;
  for (int i = stretch * kStretch; i < count; i++) {
    if (weights.values[i] == 0) continue;
    last = i;
    sum += weights.values[i];
    if (sum > target) return i;
  }
  // Rounding left the sum just below the target: the last token that may be drawn.
  return last >= 0 ? last : likeliest(logits, count);
}

void mask_logits(const float* logits, int count, const uint32_t* words, float* masked) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (int start = 0; start < count; start += kWordBits, words++) {
    const int size = std::min(kWordBits, count - start);
    const float* from = logits + start;
    float* to = masked + start;
    // Most words are all of one kind.
    if (*words == 0) {
      std::fill_n(to, size, kNever);
    } else if (*words == ~uint32_t{0}) {
      std::copy_n(from, size, to);
    } else {
      for (int bit = 0; bit < size; bit++) to[bit] = *words >> bit & 1 ? from[bit] : kNever;
    }
  }
}

double log_sum_exp(const float* logits, int count) {
  const float largest = kernels().largest(logits, count);
  return largest + std::log(kernels().exp_sum(logits, largest, 1, nullptr, count));
}

void largest_logits(const float* logits, int count, int top, int32_t* tokens, float* values) {
  // There is no last place to compare with, and nothing may be written.
  if (top == 0) return;
  int found = 0;
  for (int i = 0; i < count; i++) {
    if (found == top && !(logits[i] > values[top - 1])) continue;
    int place = found < top ? found++ : top - 1;
    for (; place > 0 && values[place - 1] < logits[i]; place--) {
      values[place] = values[place - 1];
      tokens[place] = tokens[place - 1];
    }
    values[place] = logits[i];
    tokens[place] = i;
  }
}

}  // namespace kr::ops
