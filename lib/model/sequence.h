// SPDX-License-Identifier: Apache-2.0
// The inside of a Sequence.
#ifndef SLUICE_MODEL_SEQUENCE_H
#define SLUICE_MODEL_SEQUENCE_H

#include <sluice/engine.hpp>

#include "kv/block_table.h"

namespace sluice {

struct Sequence::Impl {
  Impl(BlockPool* pool, uint32_t window) : table(pool, window) {}
  BlockTable table;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_SEQUENCE_H
