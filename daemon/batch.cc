// SPDX-License-Identifier: Apache-2.0
// The batching policy.
#include "batch.h"

#include <algorithm>

namespace sluice::daemon {
namespace {

uint64_t blocks_for(uint64_t n_tokens) { return (n_tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

std::vector<Grant> plan_step(std::span<const SequenceProgress> running, const StepBudget& budget) {
  std::vector<Grant> grants;
  uint64_t tokens_left = budget.tokens;
  const auto grant = [&](size_t index) {
    if (tokens_left == 0 || grants.size() >= budget.sequences) return;
    const uint64_t n_tokens = std::min(running[index].pending, tokens_left);
    grants.push_back({index, static_cast<uint32_t>(n_tokens)});
    tokens_left -= n_tokens;
  };
  for (size_t i = 0; i < running.size(); ++i) {
    if (running[i].pending == 1) grant(i);
  }
  for (size_t i = 0; i < running.size(); ++i) {
    if (running[i].pending > 1) grant(i);
  }
  return grants;
}

bool may_start(uint64_t n_tokens, std::span<const SequenceProgress> running,
               uint64_t free_kv_tokens) {
  if (running.empty()) return true;  // nothing to wait for
  uint64_t needed = blocks_for(n_tokens) + 1;
  for (const SequenceProgress& sequence : running) {
    needed += blocks_for(sequence.computed + sequence.pending) - blocks_for(sequence.computed);
  }
  return needed <= free_kv_tokens / kBlockTokens;
}

}  // namespace sluice::daemon
