// SPDX-License-Identifier: Apache-2.0
// The clock block of the emulated board: oscillators that take time, a PLL that may not lock, and
// what happens to a board whose driver breaks the rules.
#ifndef SLUICE_LIB_EMU_CLOCK_H
#define SLUICE_LIB_EMU_CLOCK_H

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "emu/words.h"

namespace sluice::emu {

struct ClockFigures {
  uint32_t hsi_hz = 16'000'000;
  uint32_t hse_hz = 12'000'000;
  uint32_t rated_hz = 168'000'000;
  uint32_t boost_hz = 216'000'000;
  uint32_t lock_ns = 200'000;
};

class ClockBlock {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `fails_to_lock` is asked whenever the PLL is turned on.
  ClockBlock(sluice_sdi_clock& page, const ClockFigures& figures,
             std::function<bool()> fails_to_lock);

  // As after power-on: HSI on and in use.
  void reset();
  // Carries out a request if there is one, and what has come due. True if anything happened.
  bool serve(Time now);
  // When something changes by itself.
  std::optional<Time> next_event() const;

  uint32_t system_hz() const { return system_hz_; }
  uint32_t wait_states() const { return wait_states_; }
  // The system clock has stopped, or is faster than the board: nothing moves until a reset.
  bool hung() const { return hung_; }
  // Device memory is read faster than its wait states allow: what is read is wrong.
  bool memory_too_fast() const;
  // Times that the source of the system clock has changed.
  uint64_t n_switches() const { return n_switches_; }

 private:
  uint32_t take_over(Time now);
  void settle(Time now);
  void follow();
  void publish();
  uint32_t vco_hz() const;
  uint32_t pll_hz() const;
  uint32_t source_hz(uint32_t source) const;
  bool source_ready(uint32_t source) const;
  bool within_bounds(uint32_t hz) const;
  void start_pll(Time now);

  sluice_sdi_clock& page_;
  ClockFigures figures_;
  std::function<bool()> fails_to_lock_;
  uint32_t control_ = 0, pll_ = 0, prescalers_ = 0, wait_states_ = 0;
  uint32_t timer_[SLUICE_SDI_N_TIMERS] = {};
  bool hse_ready_ = false, locked_ = false, hung_ = false;
  std::optional<Time> hse_ready_at_, locked_at_;
  uint32_t system_hz_ = 0;
  uint64_t n_switches_ = 0;
  uint32_t acknowledged_ = 0;  // the request that was last carried out
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_CLOCK_H
