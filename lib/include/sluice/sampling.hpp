// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from logits.
#ifndef SLUICE_SAMPLING_HPP
#define SLUICE_SAMPLING_HPP

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

struct SamplingParams {
  float temperature = 0.8f;  // 0: greedy
  uint32_t top_k = 40;       // keep the k largest; 0: all
  float top_p =
      0.95f;  // keep the smallest set whose probability reaches p; 0: the likeliest, 1: all
  float min_p = 0.05f;          // drop what is less likely than p times the likeliest; 0: none
  float repeat_penalty = 1.0f;  // divides positive, multiplies negative logits of recent tokens
  uint32_t repeat_last_n = 64;  // how many recent tokens it looks at
  uint64_t seed = 0;            // the same seed and logits give the same tokens on every machine

  // EINVAL naming the field that is out of range.
  Result<void> validate() const;
};

// One per sequence; not for sharing between threads. Order: penalty, top-k, top-p, min-p,
// temperature.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params);
  // The next token's id. A logit that is not a number counts as minus infinity; ties go to the
  // lower id.
  int32_t sample(std::span<const float> logits);
  // Tells the sampler what stands in the text: prompt tokens and what was sampled.
  void accept(int32_t token);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  }
  void penalize();
  void keep_top_p(float largest, bool sorted);
  int32_t draw(float largest);

  SamplingParams params_;
  std::mt19937_64 rng_;
  std::vector<int32_t> recent_;  // ring of the last repeat_last_n tokens
  size_t recent_head_ = 0;
  std::vector<Candidate> candidates_;
};

}  // namespace sluice

#endif  // SLUICE_SAMPLING_HPP
