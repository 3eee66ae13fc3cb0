// SPDX-License-Identifier: Apache-2.0
// What the board knows of one queue. The copies here are what it works with; the setup words, the
// rings and the table that they came from may change under its hands.
#ifndef SLUICE_LIB_EMU_QUEUE_H
#define SLUICE_LIB_EMU_QUEUE_H

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "emu/queue_segments.h"
#include "emu/words.h"

namespace sluice::emu {

struct BoardQueue {
  using Time = std::chrono::steady_clock::time_point;

  explicit BoardQueue(uint32_t i) : index(i) {}

  uint32_t index;
  bool enabled = false;
  bool halted = false;  // its doorbell made no sense; only disabling it helps
  sluice_sdi_queue setup = {};
  const sluice_sdi_entry* sq = nullptr;
  sluice_sdi_completion* cq = nullptr;
  uint32_t sq_head = 0;  // entries taken
  uint32_t cq_tail = 0;  // completions written
  QueueSegments segments;
  std::map<uint32_t, std::set<uint32_t>> lists;  // handle -> segments that the list names

  uint32_t n_unsignalled = 0;  // completions that no interrupt has told of
  Time unsignalled_since = {};
  std::optional<sluice_sdi_completion> held;  // a late completion
  Time held_until = {};
  bool lose_interrupt = false;  // the next one
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_QUEUE_H
