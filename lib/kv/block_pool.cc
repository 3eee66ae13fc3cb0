// SPDX-License-Identifier: Apache-2.0
// A stack of free blocks: what was used last is given out first, while it is still in a cache.
#include "kv/block_pool.h"

namespace sluice {

BlockPool::BlockPool(uint32_t n_blocks) : references_(n_blocks, 0) {
  free_.reserve(n_blocks);
  for (uint32_t b = n_blocks; b-- > 0;) free_.push_back(b);
}

uint32_t BlockPool::allocate() {
  const uint32_t block = free_.back();
  free_.pop_back();
  references_[block] = 1;
  return block;
}

void BlockPool::release(uint32_t block) {
  if (--references_[block] == 0) free_.push_back(block);
}

}  // namespace sluice
