// SPDX-License-Identifier: Apache-2.0
// Choosing the next token. Candidates are ordered by logit, then by lower id, a strict order, so
// that partial selection gives the same set and order everywhere; probabilities are f64 sums in
// that order, and the random number is made of 53 bits of mt19937_64.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>

#include <sluice/sampling.hpp>

#include "model/sample/exp.h"

namespace sluice {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The likeliest has weight 1. Equal infinities are equal.
double weight(float logit, float largest, double temperature) {
  if (logit == largest) return 1.0;
  return exp_negative((static_cast<double>(logit) - largest) / temperature);
}

Result<void> check(bool good, const char* field, float value, const char* expected) {
  if (good) return {};
  return fail(EINVAL, fmt::format("{} is {}, expected {}", field, value, expected));
}

}  // namespace

Result<void> SamplingParams::validate() const {
  SLUICE_CHECK(check(std::isfinite(temperature) && temperature >= 0, "temperature", temperature,
                     "a number of 0 or more"));
  SLUICE_CHECK(check(top_p >= 0 && top_p <= 1, "top_p", top_p, "0 to 1"));
  SLUICE_CHECK(check(min_p >= 0 && min_p <= 1, "min_p", min_p, "0 to 1"));
  return check(std::isfinite(repeat_penalty) && repeat_penalty > 0, "repeat_penalty",
               repeat_penalty, "more than 0");
}

Sampler::Sampler(const SamplingParams& params) : params_(params), rng_(params.seed) {}

void Sampler::accept(int32_t token) {
  if (params_.repeat_last_n == 0) return;
  if (recent_.size() < params_.repeat_last_n) {
    recent_.push_back(token);
    return;
  }
  recent_[recent_head_] = token;
  recent_head_ = (recent_head_ + 1) % recent_.size();
}

int32_t Sampler::sample(std::span<const float> logits) {
  if (logits.empty()) return -1;
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates_[i] = {std::isnan(logits[i]) ? kLowest : logits[i], static_cast<int32_t>(i)};
  }
  penalize();
  const auto best = std::min_element(candidates_.begin(), candidates_.end(), before);
  if (params_.temperature <= 0 || best->logit == kLowest) return best->id;
  const float largest = best->logit;

  size_t kept = candidates_.size();
  bool sorted = false;
  if (params_.top_k > 0 && params_.top_k < kept) {
    kept = params_.top_k;
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(kept),
                      candidates_.end(), before);
    candidates_.resize(kept);
    sorted = true;
  }
  if (params_.top_p < 1) {
    keep_top_p(largest, sorted);
  }
  if (params_.min_p > 0) {
    std::erase_if(candidates_, [&](const Candidate& c) {
      return weight(c.logit, largest, 1.0) < static_cast<double>(params_.min_p);
    });
  }
  return draw(largest);
}

// Each recent token counts once, however often it occurs.
void Sampler::penalize() {
  const float penalty = params_.repeat_penalty;
  if (penalty == 1.0f) return;
  std::vector<int32_t> ids = recent_;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= candidates_.size()) continue;
    float& logit = candidates_[id].logit;
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

// Keeps the smallest set of the likeliest whose probability reaches top_p, sorting no more than
// that takes.
void Sampler::keep_top_p(float largest, bool sorted) {
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c.logit, largest, 1.0);
  const double wanted = total * static_cast<double>(params_.top_p);
  double sum = 0;
  size_t n_sorted = sorted ? candidates_.size() : 0;
  size_t step = 128;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == n_sorted) {
      n_sorted = std::min(candidates_.size(), i + step);
      step *= 4;
      const auto begin = candidates_.begin();
      std::partial_sort(begin + static_cast<ptrdiff_t>(i), begin + static_cast<ptrdiff_t>(n_sorted),
                        candidates_.end(), before);
    }
    sum += weight(candidates_[i].logit, largest, 1.0);
    if (sum >= wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

int32_t Sampler::draw(float largest) {
  std::vector<double> sums;
  sums.reserve(candidates_.size());
  double total = 0;
  for (const Candidate& c : candidates_) {
    total += weight(c.logit, largest, params_.temperature);
    sums.push_back(total);
  }
  // Below the total by more than its rounding, so that a candidate is always found, and one whose
  // weight is not 0.
  const double point = static_cast<double>(rng_() >> 11) * 0x1p-53 * total;
  const auto it = std::upper_bound(sums.begin(), sums.end(), point);
  return candidates_[static_cast<size_t>(it - sums.begin())].id;
}

}  // namespace sluice
