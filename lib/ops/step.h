// SPDX-License-Identifier: Apache-2.0
// Step buffers: writing one, and reading one that nobody is trusted to have written well.
#ifndef SLUICE_OPS_STEP_H
#define SLUICE_OPS_STEP_H

#include <linux/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sluice/result.hpp>

#include "sluice_sdi.h"

namespace sluice {

using StepHeader = sluice_sdi_step;
static_assert(sizeof(StepHeader) == 32);

// What a step is made of; write() lays it out as the Device Interface says.
struct StepInputs {
  std::vector<uint32_t> token, position, context, skip, sequence;
  std::vector<int32_t> slot;
  std::vector<uint32_t> output;
  std::vector<std::vector<uint32_t>> block_table;  // a row per sequence

  void clear();
  // The step buffer's words. Rows of the block table are padded with block 0.
  void write(std::vector<uint32_t>& words) const;
};

// Limits that a step is held to; they follow from the command list, and are wider than the words of
// a step so that the largest number is no limit.
struct StepLimits {
  uint64_t max_tokens = 0;
  uint64_t max_outputs = 0;
  uint64_t n_vocab = 0;
  uint64_t n_slots = 0;
};

// A snapshot of a step buffer that has passed every check: lengths, and each token, slot, sequence,
// output and block that an attention will look up.
class Step {
 public:
  // Copies `words`, then checks the copy. EINVAL names the array, the index and the bound.
  Result<void> load(std::span<const uint32_t> words, const StepLimits& limits);

  uint32_t n_tokens() const { return header_.n_tokens; }
  uint32_t n_outputs() const { return header_.n_outputs; }
  const uint32_t* token() const { return array(0); }
  const uint32_t* position() const { return array(1); }
  const uint32_t* context() const { return array(2); }
  const uint32_t* skip() const { return array(3); }
  const uint32_t* sequence() const { return array(4); }
  const int32_t* slot() const { return reinterpret_cast<const int32_t*>(array(5)); }
  const uint32_t* output() const { return array(6); }
  const uint32_t* block_table(uint32_t sequence) const {
    return output() + header_.n_outputs + static_cast<size_t>(sequence) * header_.n_blocks;
  }

 private:
  const uint32_t* array(size_t i) const { return body_.data() + i * header_.n_tokens; }
  Result<void> check(const StepLimits& limits) const;
  Result<void> check_token(uint32_t i, const StepLimits& limits) const;
  StepHeader header_{};
  std::vector<uint32_t> body_;
};

}  // namespace sluice

#endif  // SLUICE_OPS_STEP_H
