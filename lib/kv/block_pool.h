// SPDX-License-Identifier: Apache-2.0
// The KV blocks of an engine: which are free, and by how many sequences each of the others is held.
#ifndef SLUICE_KV_BLOCK_POOL_H
#define SLUICE_KV_BLOCK_POOL_H

#include <cstdint>
#include <vector>

namespace sluice {

class BlockPool {
 public:
  explicit BlockPool(uint32_t n_blocks);
  uint32_t n_blocks() const { return static_cast<uint32_t>(references_.size()); }
  uint32_t n_free() const { return static_cast<uint32_t>(free_.size()); }
  // A free block, held once. There must be one.
  uint32_t allocate();
  void retain(uint32_t block) { ++references_[block]; }
  // Lets go of it; with the last holder it is free again.
  void release(uint32_t block);

 private:
  std::vector<uint32_t> references_;
  std::vector<uint32_t> free_;  // the next to be given out is last
};

}  // namespace sluice

#endif  // SLUICE_KV_BLOCK_POOL_H
