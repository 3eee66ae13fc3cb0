// SPDX-License-Identifier: Apache-2.0
// The driver's half of the Device Interface for a board within this process: it reaches the board
// through the register window alone, as the kernel's driver does.
#ifndef SLUICE_LIB_EMU_DRIVER_H
#define SLUICE_LIB_EMU_DRIVER_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

#include <sluice/device.hpp>

#include "emu/words.h"
#include "kernel/shared/clock.h"

namespace sluice::emu {

class Driver {
 public:
  // `notify` writes the notify register.
  Driver(std::byte* window, std::function<void()> notify)
      : registers_(window), notify_(std::move(notify)) {}

  // What a board must be before it is touched. EPROTO names the word that makes no sense.
  Result<void> identify() const;

  // Carries out an action. EINVAL, EBUSY, EFAULT, ENOTSUP: the board's result; ETIMEDOUT: no
  // answer, and none of any later request is waited for until the board is reset; EIO: registers
  // read all ones.
  Result<void> request(uint32_t action, uint64_t argument);
  // ETIMEDOUT.
  Result<void> reset();

  // The errors are those of Device::set_clock and set_timer. After a reset timers are off.
  ClockInfo clock() const;
  Result<ClockInfo> set_clock(uint32_t system_hz, bool boost);
  Result<uint32_t> set_timer(uint32_t timer, uint32_t hz);

  bool all_ones() const { return load(registers_.control().magic) == ~0u; }
  const Registers& registers() const { return registers_; }

 private:
  // The shared sequence's way to the board.
  struct ClockAccess;
  sluice_clock_board clock_board() const;
  Result<void> change(const struct sluice_clock_plan& plan, const uint32_t (&timer_hz)[4]);
  bool wait_for(const uint32_t& word, uint32_t value, bool is_reset = false) const;
  Result<void> post(uint32_t action, uint64_t argument);

  const Registers registers_;
  std::function<void()> notify_;
  std::mutex mutex_;
  uint32_t generation_ = 0;
  bool stuck_ = false;
  uint32_t clock_request_ = 0;
  uint32_t timer_hz_[SLUICE_SDI_N_TIMERS] = {};  // asked for; kept through changes
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_DRIVER_H
