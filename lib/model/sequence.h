// SPDX-License-Identifier: Apache-2.0
// The inside of a Sequence.
#ifndef SLUICE_MODEL_SEQUENCE_H
#define SLUICE_MODEL_SEQUENCE_H

#include <vector>

#include <sluice/engine.hpp>

#include "kv/block_table.h"

namespace sluice {

struct Sequence::Impl {
  Impl(BlockPool* pool, uint32_t window, uint64_t now) : table(pool, window), epoch(now) {}
  BlockTable table;
  std::vector<int32_t> tokens;  // all of them: what to compute anew if a machine loses its memory
  std::vector<bool> generated;  // of each token: is it no part of a prompt?
  uint64_t epoch;               // of the engine, when they were computed
};

}  // namespace sluice

#endif  // SLUICE_MODEL_SEQUENCE_H
