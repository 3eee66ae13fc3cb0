// SPDX-License-Identifier: Apache-2.0
// KV blocks: slots, the sliding window with its sink block, independence of chunking, no block
// lost.
#include <map>

#include "kv/block_table.h"
#include "support.h"

using namespace sluice;

TestSuite(block_table, .timeout = 60);

namespace {

// What the tokens of a text see, in terms of positions: for each token the positions that its
// context covers, in order. Built by following the tables as the machine does.
std::vector<std::vector<uint32_t>> visible(uint32_t n_tokens, uint32_t window, uint32_t chunk) {
  BlockPool pool(256);
  BlockTable table(&pool, window);
  std::map<int32_t, uint32_t> position_in_slot;
  std::vector<std::vector<uint32_t>> out;
  for (uint32_t at = 0; at < n_tokens; at += chunk) {
    const uint32_t n = std::min(chunk, n_tokens - at);
    table.grow(n);
    std::vector<TokenPlace> places;
    for (uint32_t i = 0; i < n; ++i) {
      places.push_back(table.place(i));
      position_in_slot[places.back().slot] = places.back().position;
    }
    for (const TokenPlace& p : places) {
      std::vector<uint32_t> seen;
      for (uint32_t e = 0; e <= p.context; ++e) {
        const uint32_t block = table.blocks()[e < 16 ? 0 : e / 16 + p.skip];
        seen.push_back(position_in_slot[static_cast<int32_t>(block * 16 + e % 16)]);
      }
      out.push_back(seen);
    }
    table.commit(n);
    // No more blocks than a window and one to grow into.
    if (window) cr_expect(table.blocks().size() <= window / 16 + 1);
  }
  cr_expect(same(table.n_tokens(), n_tokens));
  table.clear();
  cr_expect(same(pool.n_free(), 256u));
  return out;
}

}  // namespace

Test(block_table, without_a_window_all_is_seen) {
  const auto seen = visible(100, 0, 7);
  for (uint32_t p = 0; p < 100; ++p) {
    cr_assert(same(seen[p].size(), p + 1));
    for (uint32_t e = 0; e <= p; ++e) cr_assert(same(seen[p][e], e));
  }
}

Test(block_table, a_window_keeps_the_first_block_and_the_newest) {
  constexpr uint32_t kWindow = 64;
  const auto seen = visible(400, kWindow, 1);
  for (uint32_t p = 0; p < 400; ++p) {
    cr_assert(seen[p].size() <= kWindow);
    cr_assert(p < kWindow ? seen[p].size() == p + 1 : seen[p].size() > kWindow - 16);
    for (uint32_t e = 0; e < std::min(p + 1, 16u); ++e) cr_assert(same(seen[p][e], e));
    // Behind the first block: consecutive positions that end with the token itself.
    for (uint32_t e = 16; e < seen[p].size(); ++e) {
      cr_assert(same(seen[p][e], p - (static_cast<uint32_t>(seen[p].size()) - 1 - e)));
    }
  }
}

Test(block_table, chunks_change_nothing) {
  const auto one = visible(300, 48, 1);
  for (const uint32_t chunk : {2u, 7u, 16u, 64u, 100u, 300u}) {
    cr_expect(visible(300, 48, std::min(chunk, 300u)) == one, "chunks of %u", chunk);
  }
}

Test(block_table, a_step_that_failed_leaves_no_trace) {
  BlockPool pool(8);
  BlockTable table(&pool, 0);
  table.grow(20);
  table.commit(20);
  cr_expect(same(table.blocks_for(50), 3u));
  table.grow(50);
  cr_expect(same(pool.n_free(), 3u));
  table.commit(0);
  cr_expect(same(pool.n_free(), 6u) && same(table.n_tokens(), 20u));
}

Test(block_table, shared_blocks_are_freed_by_their_last_holder) {
  BlockPool pool(2);
  const uint32_t block = pool.allocate();
  pool.retain(block);
  pool.release(block);
  cr_expect(same(pool.n_free(), 1u));
  pool.release(block);
  cr_expect(same(pool.n_free(), 2u));
}
