// SPDX-License-Identifier: Apache-2.0
// Where the tokens of one sequence are: its blocks in order, and what a sliding window has dropped.
//
// With a window of W tokens a token at position p sees the first block and the newest others, at
// most W entries in all. How many tokens are out of sight follows from p alone, never from how a
// prompt was cut into chunks: dropped(p) is the smallest multiple of 16 that leaves p at place W -
// 1 or before.
#ifndef SLUICE_KV_BLOCK_TABLE_H
#define SLUICE_KV_BLOCK_TABLE_H

#include <linux/types.h>

#include <cstdint>
#include <vector>

#include "kv/block_pool.h"
#include "sluice_sdi.h"

namespace sluice {

inline constexpr uint32_t kBlockTokens = SLUICE_SDI_BLOCK_TOKENS;

// What the step buffer says of one token.
struct TokenPlace {
  uint32_t position;
  uint32_t context;
  uint32_t skip;
  int32_t slot;
};

class BlockTable {
 public:
  // window: 0, or a multiple of 16 of at least 48.
  BlockTable(BlockPool* pool, uint32_t window) : pool_(pool), window_(window) {}
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;
  ~BlockTable() { clear(); }

  uint32_t n_tokens() const { return n_tokens_; }
  uint32_t window() const { return window_; }
  const std::vector<uint32_t>& blocks() const { return blocks_; }

  // Blocks that n more tokens need beyond those that are there.
  uint64_t blocks_for(uint32_t n) const;
  // Takes those blocks from the pool, which must have them.
  void grow(uint32_t n);
  // Where the i-th token after the last committed one goes; grow() has made room for it.
  TokenPlace place(uint32_t i) const;
  // The first n of the new tokens are computed; blocks that the next token does not see are freed,
  // and so are those that nothing was written to.
  void commit(uint32_t n);
  void clear();

 private:
  uint32_t dropped_at(uint32_t position) const;
  BlockPool* pool_;
  uint32_t window_;
  uint32_t n_tokens_ = 0;
  uint32_t dropped_ = 0;  // tokens whose blocks are freed; a multiple of 16
  std::vector<uint32_t> blocks_;
};

}  // namespace sluice

#endif  // SLUICE_KV_BLOCK_TABLE_H
