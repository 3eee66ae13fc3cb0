// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/timing.h"

#include <algorithm>
#include <chrono>

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

int32_t some_token(uint32_t i, uint32_t n_vocab) {
  return static_cast<int32_t>((uint64_t{i} * 2654435761u + 12345) % n_vocab);
}

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

// Tokens per second of one prompt in an empty sequence.
Result<double> time_prefill(Engine& engine, uint32_t n) {
  std::vector<int32_t> tokens;
  for (uint32_t i = 0; i < n; ++i) tokens.push_back(some_token(i, engine.model().info().n_vocab));
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  const uint32_t chunk = engine.options().max_batch_tokens;
  const auto start = Clock::now();
  for (uint32_t at = 0; at < n; at += chunk) {
    const uint32_t count = std::min(chunk, n - at);
    const StepInput in{&sequence, std::span<const int32_t>(tokens).subspan(at, count),
                       at + count == n ? Logits::kLast : Logits::kNone};
    SLUICE_CHECK(engine.step({&in, 1}));
  }
  return n / std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens per second, all together, of `batch` sequences that each get n single tokens.
Result<double> time_decode(Engine& engine, uint32_t n, uint32_t batch) {
  std::vector<Sequence> sequences;
  for (uint32_t b = 0; b < batch; ++b) {
    SLUICE_TRY(Sequence sequence, engine.new_sequence());
    sequences.push_back(std::move(sequence));
  }
  std::vector<int32_t> tokens(batch);
  std::vector<StepInput> inputs;
  for (uint32_t b = 0; b < batch; ++b) {
    inputs.push_back({&sequences[b], {&tokens[b], 1}, Logits::kLast, true});
  }
  const auto start = Clock::now();
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t b = 0; b < batch; ++b) {
      tokens[b] = some_token(i * batch + b, engine.model().info().n_vocab);
    }
    SLUICE_CHECK(engine.step(inputs));
  }
  return uint64_t{n} * batch / std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace sluice::cli
