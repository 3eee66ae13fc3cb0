// SPDX-License-Identifier: Apache-2.0
// The study behind the KV cache: n tokens cost O(n) steps with it, and O(n) whole contexts without.
#include "tools/sluice/kv_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluice/svg_plot.h"

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Study {
  std::vector<double> with;            // seconds of each step
  std::map<uint32_t, double> without;  // seconds of one recomputation, by context length
  uint32_t window = 0;
  double at_600 = 0, at_end = 0;  // median seconds per token around step 600 and at the end

  double total_with(uint32_t n) const {
    double sum = 0;
    for (uint32_t i = 0; i < n; ++i) sum += with[i];
    return sum;
  }
  // Recomputation at a context of n tokens, interpolated between the lengths that were measured.
  double recompute(uint32_t n) const {
    n = std::min(n, window);
    const auto above = without.lower_bound(n);
    if (above == without.begin()) return above->second;
    const auto below = std::prev(above);
    const double share = static_cast<double>(n - below->first) / (above->first - below->first);
    return below->second + share * (above->second - below->second);
  }
  double total_without(uint32_t n) const {
    double sum = 0;
    for (uint32_t i = 1; i <= n; ++i) sum += recompute(i);
    return sum;
  }
};

double median_of(std::span<const double> samples) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2),
                   sorted.end());
  return sorted[sorted.size() / 2];
}

Result<void> measure_with(Engine& engine, Study& study, uint32_t n_steps) {
  SLUICE_TRY(Sequence sequence, engine.new_sequence(study.window));
  SamplingParams params;
  params.seed = 1;
  Sampler sampler(params);
  const int32_t bos = engine.model().tokenizer()->bos();
  int32_t token = bos >= 0 ? bos : 0;
  ProgressBar bar("with cache", "tokens");
  for (uint32_t i = 0; i < n_steps; ++i) {
    const auto start = Clock::now();
    const StepInput in{&sequence, {&token, 1}, Logits::kLast, true};
    SLUICE_CHECK(engine.step({&in, 1}));
    study.with.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    token = sampler.sample(engine.logits(0));
    sampler.accept(token);
    bar.update(i + 1, n_steps);
  }
  return {};
}

Result<void> measure_without(Engine& engine, Study& study) {
  constexpr uint32_t kPoints = 16;
  constexpr int kRepetitions = 9;
  std::vector<int32_t> tokens(study.window);
  for (uint32_t i = 0; i < study.window; ++i) {
    tokens[i] = static_cast<int32_t>((i * 7919u + 3) % engine.model().info().n_vocab);
  }
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  ProgressBar bar("without", "lengths");
  for (uint32_t p = 0; p <= kPoints; ++p) {
    const uint32_t n = std::max(1u, study.window * p / kPoints);
    std::vector<double> samples;
    for (int r = 0; r < kRepetitions; ++r) {
      sequence.clear();
      const auto start = Clock::now();
      for (uint32_t at = 0; at < n;) {
        const uint32_t count = std::min(engine.options().max_batch_tokens, n - at);
        const StepInput in{&sequence, std::span<const int32_t>(tokens).subspan(at, count),
                           at + count == n ? Logits::kLast : Logits::kNone};
        SLUICE_CHECK(engine.step({&in, 1}));
        at += count;
      }
      samples.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    study.without[n] = median_of(samples);
    bar.update(p + 1, kPoints + 1);
  }
  return {};
}

std::vector<uint32_t> report_steps(uint32_t n_steps) {
  std::vector<uint32_t> out;
  for (const uint32_t n : {100u, 500u, 1000u, 5000u, 10000u}) {
    if (n < n_steps) out.push_back(n);
  }
  out.push_back(n_steps);
  return out;
}

std::string plot(const Study& study, uint32_t n_steps) {
  PlotSeries with{"with the KV cache", {}}, without{"context computed anew", {}};
  double sum_with = 0, sum_without = 0;
  for (uint32_t i = 1; i <= n_steps; ++i) {
    sum_with += study.with[i - 1];
    sum_without += study.recompute(i);
    if (i % std::max(1u, n_steps / 200) == 0) {
      with.points.push_back({static_cast<double>(i), sum_with});
      without.points.push_back({static_cast<double>(i), sum_without});
    }
  }
  return svg_plot(fmt::format("Generating {} tokens, window {}", n_steps, study.window),
                  "tokens generated", "total seconds", {with, without});
}

void print(const Study& study, uint32_t n_steps, bool json) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::string text =
      fmt::format("{:>8} {:>14} {:>14} {:>8}\n", "tokens", "with cache/s", "without/s", "ratio");
  for (const uint32_t n : report_steps(n_steps)) {
    const double with = study.total_with(n), without = study.total_without(n);
    rows.push_back(
        {{"tokens", n}, {"with_s", with}, {"without_s", without}, {"ratio", without / with}});
    text += fmt::format("{:>8} {:>14.3f} {:>14.3f} {:>8.2f}\n", n, with, without, without / with);
  }
  const double drift = study.at_end / study.at_600;
  text +=
      fmt::format("window {}: {:.1f} us per token around step 600, {:.1f} us at step {}: {:.3f}\n",
                  study.window, study.at_600 * 1e6, study.at_end * 1e6, n_steps, drift);
  if (json) {
    const nlohmann::ordered_json out = {{"window", study.window},
                                        {"totals", rows},
                                        {"token_s_at_600", study.at_600},
                                        {"token_s_at_end", study.at_end},
                                        {"end_over_600", drift}};
    text = out.dump(2) + "\n";
  }
  write_out(text);
}

}  // namespace

Result<int> kv_study(const std::shared_ptr<const Model>& model, const EngineOptions& options,
                     const KvStudyFlags& flags, bool json) {
  Study study;
  study.window = flags.window ? flags.window : largest_window(*model);
  if (study.window == 0) return fail(EINVAL, "the model's context is too small for a window");
  SLUICE_TRY(const auto engine, Engine::create(model, options));
  SLUICE_CHECK(measure_with(*engine, study, flags.n_steps));
  SLUICE_CHECK(measure_without(*engine, study));
  // Medians over 400 steps: a single one says more about the machine's neighbours.
  const std::span<const double> with(study.with);
  constexpr size_t kAround = 400;
  study.at_600 = median_of(with.subspan(600, std::min<size_t>(kAround, with.size() - 600)));
  study.at_end = median_of(with.last(kAround));
  print(study, flags.n_steps, json);
  if (!flags.svg.empty()) {
    std::ofstream file(flags.svg);
    file << plot(study, flags.n_steps);
    if (!file.flush()) return fail(EIO, fmt::format("{}: cannot be written", flags.svg));
  }
  return kOk;
}

}  // namespace sluice::cli
