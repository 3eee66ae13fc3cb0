// SPDX-License-Identifier: Apache-2.0
// The sampler: each rule by itself, logits that are no numbers, and what is drawn how often.
#include <cerrno>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <sluice/sampling.hpp>

#include "model/sample/exp.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;

TestSuite(sampler, .timeout = 60);

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Every rule off, temperature 1.
SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

SamplingParams greedy() {
  SamplingParams p = plain();
  p.temperature = 0;
  return p;
}

int n_draws() { return test::light() ? 500 : 20000; }

std::map<int32_t, int> draw(const SamplingParams& params, const std::vector<float>& logits,
                            int n = n_draws()) {
  Sampler sampler(params);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

std::set<int32_t> drawn(const SamplingParams& params, const std::vector<float>& logits,
                        int n = 2000) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : draw(params, logits, n)) ids.insert(id);
  return ids;
}

// Logits of these probabilities.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

}  // namespace

Test(sampler, greedy_takes_the_largest) {
  Sampler s(greedy());
  cr_assert(same(s.sample(std::vector<float>{1, 3, 2}), 1));
  cr_assert(same(s.sample(std::vector<float>{3, 1, 3}), 0), "ties go to the lower id");
  cr_assert(same(s.sample(std::vector<float>{kNan, -5, kNan}), 1));
  cr_assert(same(s.sample(std::vector<float>{kNan, kNan}), 0));
  cr_assert(same(s.sample(std::vector<float>{-kInf, kInf, 9}), 1));
  cr_assert(same(s.sample(std::vector<float>{}), -1));
}

Test(sampler, draws_in_proportion) {
  const std::vector<double> p = {0.5, 0.3, 0.15, 0.05};
  const auto counts = draw(plain(), logits_of(p));
  for (size_t i = 0; i < p.size(); ++i) {
    const double n = n_draws();
    const double sigma = std::sqrt(p[i] * (1 - p[i]) * n);
    cr_expect(std::fabs(counts.at(static_cast<int>(i)) - p[i] * n) < 5 * sigma, "token %zu", i);
  }
}

Test(sampler, temperature_sharpens) {
  SamplingParams p = plain();
  p.temperature = 0.5f;  // squares the probabilities: 0.8 and 0.2 become 16 : 1
  const double share = draw(p, logits_of({0.8, 0.2}))[1] / static_cast<double>(n_draws());
  cr_assert(std::fabs(share - 1.0 / 17) < 0.03, "%g", share);
  p.temperature = 1e-30f;
  cr_assert(drawn(p, {1, 2, 3}) == std::set<int32_t>({2}));
}

Test(sampler, top_k_keeps_k) {
  SamplingParams p = plain();
  p.top_k = 2;
  cr_assert(drawn(p, {1, 1.2f, 0.9f, 1.1f}) == std::set<int32_t>({1, 3}));
  cr_assert(drawn(p, {1, 1, 1, 1}) == std::set<int32_t>({0, 1}), "ties go to the lower ids");
  p.top_k = 1;
  cr_assert(drawn(p, {1, 1, 1, 1}) == std::set<int32_t>({0}));
  p.top_k = 1000;
  cr_assert(drawn(p, {1, 1}) == std::set<int32_t>({0, 1}));
}

Test(sampler, top_p_keeps_the_smallest_set_that_reaches_p) {
  SamplingParams p = plain();
  const auto logits = logits_of({0.05, 0.5, 0.15, 0.3});
  p.top_p = 0.45f;
  cr_assert(drawn(p, logits) == std::set<int32_t>({1}));
  p.top_p = 0.75f;
  cr_assert(drawn(p, logits) == std::set<int32_t>({1, 3}));
  p.top_p = 0.9f;
  cr_assert(drawn(p, logits) == std::set<int32_t>({1, 2, 3}));
  p.top_p = 1e-9f;
  cr_assert(drawn(p, logits) == std::set<int32_t>({1}), "one is always left");
  // Probabilities are those among what top-k left: 0.5 / 0.8 reaches 0.6.
  p.top_p = 0.6f;
  p.top_k = 2;
  cr_assert(drawn(p, logits) == std::set<int32_t>({1}));
}

Test(sampler, top_p_over_many_candidates) {
  SamplingParams p = plain();
  p.top_p = 0.5f;
  const std::vector<float> logits(5000, 1.0f);
  for (const int32_t id : drawn(p, logits, test::light() ? 50 : 2000)) cr_assert(id < 2500);
}

Test(sampler, min_p_drops_what_is_unlikely) {
  SamplingParams p = plain();
  p.min_p = 0.35f;
  cr_assert(drawn(p, logits_of({0.1, 0.4, 0.15, 0.35})) == std::set<int32_t>({1, 2, 3}));
  // Before the temperature: a flat distribution keeps what a sharp one dropped dropped.
  p.temperature = 100;
  cr_assert(drawn(p, logits_of({0.1, 0.4, 0.15, 0.35})) == std::set<int32_t>({1, 2, 3}));
  p.min_p = 1;
  cr_assert(drawn(p, {1, 2, 2}) == std::set<int32_t>({1, 2}));
}

Test(sampler, repeated_tokens_are_penalized) {
  SamplingParams p = greedy();
  p.repeat_penalty = 2;
  p.repeat_last_n = 2;
  Sampler s(p);
  const std::vector<float> logits = {4, 3, -1};
  cr_assert(same(s.sample(logits), 0));
  s.accept(0);
  s.accept(0);
  cr_assert(same(s.sample(logits), 1), "once, however often it occurs: 4 / 2 < 3 but not 4 / 4");
  cr_assert(same(s.sample(std::vector<float>{4, 1.5f, -1}), 0));
  s.accept(1);
  cr_assert(same(s.sample(logits), 0), "4 / 2 > 3 / 2");
  s.accept(1);
  cr_assert(same(s.sample(logits), 0), "0 has left the window");
  s.accept(2);
  cr_assert(same(s.sample(std::vector<float>{-1.9f, -9, -1}), 0), "negative ones are multiplied");
  s.accept(99);
  s.accept(-1);
  cr_assert(same(s.sample(logits), 0), "ids outside the vocabulary do no harm");
}

Test(sampler, the_seed_decides) {
  const std::vector<float> logits(100, 0.0f);
  const auto run = [&](uint64_t seed) {
    SamplingParams p = plain();
    p.seed = seed;
    Sampler s(p);
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(s.sample(logits));
    return ids;
  };
  cr_assert(run(1) == run(1));
  cr_assert(run(1) != run(2));
  // On every machine: the first values of mt19937_64 with seed 0 are in the standard's reach.
  const auto first = run(0);
  std::mt19937_64 reference(0);
  for (const int32_t id : first) {
    cr_assert(same(id, static_cast<int32_t>(reference() / (UINT64_MAX / 100.0))));
  }
}

Test(sampler, logits_that_are_no_numbers) {
  SamplingParams p = plain();
  p.top_p = 0.9f;
  p.min_p = 0.01f;
  cr_assert(drawn(p, {kNan, 1, kNan, 1}) == std::set<int32_t>({1, 3}));
  cr_assert(drawn(p, {kNan, -kInf}) == std::set<int32_t>({0}));
  cr_assert(drawn(p, {1, kInf, 5, kInf}) == std::set<int32_t>({1, 3}));
  p.top_k = 3;
  cr_assert(drawn(p, {kNan, -kInf, 2, kNan}) == std::set<int32_t>({2}));
  cr_assert(drawn(plain(), {-1e38f, 1e38f, kNan}) == std::set<int32_t>({1}));
}

Test(sampler, parameters_are_checked) {
  cr_assert(SamplingParams().validate().has_value());
  const auto bad = [](auto change, const char* field) {
    SamplingParams p;
    change(p);
    return is_error(p.validate(), EINVAL, {field});
  };
  cr_assert(bad([](auto& p) { p.temperature = -0.1f; }, "temperature"));
  cr_assert(bad([](auto& p) { p.temperature = kNan; }, "temperature"));
  cr_assert(bad([](auto& p) { p.temperature = kInf; }, "temperature"));
  cr_assert(bad([](auto& p) { p.top_p = -0.1f; }, "top_p"));
  cr_assert(bad([](auto& p) { p.top_p = 1.01f; }, "top_p is 1.01"));
  cr_assert(bad([](auto& p) { p.top_p = kNan; }, "top_p"));
  cr_assert(bad([](auto& p) { p.min_p = -1; }, "min_p"));
  cr_assert(bad([](auto& p) { p.min_p = 2; }, "min_p"));
  cr_assert(bad([](auto& p) { p.repeat_penalty = 0; }, "repeat_penalty"));
  cr_assert(bad([](auto& p) { p.repeat_penalty = kInf; }, "repeat_penalty"));
}

Test(sampler, exp_is_accurate) {
  for (double x = 0; x > -700; x -= 0.0625) {
    cr_assert(std::fabs(exp_negative(x) / std::exp(x) - 1) < 1e-15, "%g", x);
  }
  cr_assert(exp_negative(0) == 1.0 && exp_negative(-800) == 0.0 && exp_negative(-kInf) == 0.0);
}
