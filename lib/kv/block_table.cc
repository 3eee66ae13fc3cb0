// SPDX-License-Identifier: Apache-2.0
// Slot mapping and the sliding window.
#include "kv/block_table.h"

namespace sluice {
namespace {

uint64_t blocks_of(uint64_t n_tokens) { return (n_tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

uint32_t BlockTable::dropped_at(uint32_t position) const {
  if (window_ == 0 || position < window_) return 0;
  return static_cast<uint32_t>(blocks_of(position - (window_ - 1)) * kBlockTokens);
}

uint64_t BlockTable::blocks_for(uint32_t n) const {
  const uint64_t need = blocks_of(uint64_t{n_tokens_} - dropped_ + n);
  return need > blocks_.size() ? need - blocks_.size() : 0;
}

void BlockTable::grow(uint32_t n) {
  for (uint64_t need = blocks_for(n); need > 0; --need) blocks_.push_back(pool_->allocate());
}

TokenPlace BlockTable::place(uint32_t i) const {
  TokenPlace out;
  out.position = n_tokens_ + i;
  const uint32_t entry = out.position - dropped_;
  out.slot =
      static_cast<int32_t>(blocks_[entry / kBlockTokens] * kBlockTokens + entry % kBlockTokens);
  const uint32_t dropped = dropped_at(out.position);
  out.context = out.position - dropped;
  out.skip = (dropped - dropped_) / kBlockTokens;
  return out;
}

void BlockTable::commit(uint32_t n) {
  n_tokens_ += n;
  const uint32_t dropped = dropped_at(n_tokens_);
  const auto first = blocks_.begin() + 1;
  if (dropped > dropped_) {
    const auto last = first + (dropped - dropped_) / kBlockTokens;
    for (auto b = first; b != last; ++b) pool_->release(*b);
    blocks_.erase(first, last);
    dropped_ = dropped;
  }
  while (blocks_.size() > blocks_of(n_tokens_ - dropped_)) {
    pool_->release(blocks_.back());
    blocks_.pop_back();
  }
}

void BlockTable::clear() {
  // In reverse, so that the next to ask gets them in order.
  while (!blocks_.empty()) {
    pool_->release(blocks_.back());
    blocks_.pop_back();
  }
  n_tokens_ = dropped_ = 0;
}

}  // namespace sluice
