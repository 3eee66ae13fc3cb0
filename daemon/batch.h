// SPDX-License-Identifier: Apache-2.0
// Decides what goes into the next step. Pure functions of numbers, so that the policy can be tested
// without a model.
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::daemon {

inline constexpr uint64_t kBlockTokens = 16;  // tokens in a KV block

// What the next step may hold.
struct StepBudget {
  uint32_t tokens = 0;
  uint32_t sequences = 0;
};

// A running sequence, in tokens: how many its KV blocks hold, and how many its text has beyond them
// (1 while it generates, more while its prompt is being read).
struct SequenceProgress {
  uint64_t computed = 0;
  uint64_t pending = 0;
};

// `n_tokens` of the pending tokens of running sequence `index` go into the step.
struct Grant {
  size_t index = 0;
  uint32_t n_tokens = 0;
};

// Sequences that generate come first, so that a long prompt delays nobody's next token; what is
// left of the budget goes to prompts, in chunks. Within both, the order of `running` (oldest
// first).
std::vector<Grant> plan_step(std::span<const SequenceProgress> running, const StepBudget& budget);

// Whether a waiting sequence of `n_tokens` may start beside the running ones. It needs blocks for
// all its tokens and one to grow into, besides those that the running ones will take for their
// pending tokens: a sequence that was just preempted must not come back only to be preempted again.
bool may_start(uint64_t n_tokens, std::span<const SequenceProgress> running,
               uint64_t free_kv_tokens);

}  // namespace sluice::daemon

#endif  // DAEMON_BATCH_H
