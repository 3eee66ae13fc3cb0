// SPDX-License-Identifier: Apache-2.0
// Clocks of a board within this process, by the sequence that the kernel's driver uses as well.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "emu/driver.h"

namespace sluice::emu {

struct Driver::ClockAccess {
  Driver& driver;

  static uint32_t& word(void* context, uint32_t offset) {
    auto* page = reinterpret_cast<std::byte*>(
        &static_cast<ClockAccess*>(context)->driver.registers_.clock());
    return *reinterpret_cast<uint32_t*>(page + offset);
  }
  static uint32_t read(void* context, uint32_t offset) { return load(word(context, offset)); }
  static void write(void* context, uint32_t offset, uint32_t value) {
    store(word(context, offset), value);
  }
  static int commit(void* context) {
    Driver& d = static_cast<ClockAccess*>(context)->driver;
    sluice_sdi_clock& clock = d.registers_.clock();
    const uint32_t request = ++d.clock_request_;
    store(clock.request, request);
    d.notify_();
    if (!d.wait_for(clock.acknowledge, request)) return -ETIMEDOUT;
    return load(clock.result) == SLUICE_SDI_RESULT_OK ? 0 : -EIO;
  }
  static int quiesce(void* context) {
    Driver& d = static_cast<ClockAccess*>(context)->driver;
    if (!d.request(SLUICE_SDI_ACTION_PAUSE, 0)) return -ETIMEDOUT;
    store(d.registers_.control().irq_mask, ~uint64_t{0});
    return 0;
  }
  static void resume(void* context) {
    Driver& d = static_cast<ClockAccess*>(context)->driver;
    store(d.registers_.control().irq_mask, 0u);
    // A board that hangs does not answer this either, and says so at the next request.
    static_cast<void>(d.request(SLUICE_SDI_ACTION_RESUME, 0));
  }
  static void sleep_ns(void*, uint32_t ns) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
  }
  static constexpr sluice_clock_ops ops() {
    return {read, write, commit, quiesce, resume, sleep_ns};
  }
};

sluice_clock_board Driver::clock_board() const {
  const sluice_sdi_clock& c = registers_.clock();
  return {load(c.hsi_hz), load(c.hse_hz), load(c.rated_hz), load(c.boost_hz), load(c.lock_ns)};
}

ClockInfo Driver::clock() const {
  const sluice_sdi_clock& c = registers_.clock();
  const uint32_t pll = load(c.pll), status = load(c.status);
  ClockInfo info;
  info.system_hz = load(c.system_hz);
  info.source = status >> SLUICE_SDI_CLOCK_SOURCE_SHIFT & 3;
  if (status & SLUICE_SDI_CLOCK_PLL_LOCKED) {
    info.m = pll >> SLUICE_SDI_PLL_M_SHIFT & 0x3f;
    info.n = pll >> SLUICE_SDI_PLL_N_SHIFT & 0x1ff;
    info.p = 2 * ((pll >> SLUICE_SDI_PLL_P_SHIFT & 0x3) + 1);
    info.q = pll >> SLUICE_SDI_PLL_Q_SHIFT & 0xf;
  }
  info.wait_states = load(c.wait_states);
  info.pll48_hz = load(c.pll48_hz);
  for (int i = 0; i < SLUICE_SDI_N_BUSES; ++i) info.bus_hz[i] = load(c.bus_hz[i]);
  for (int i = 0; i < SLUICE_SDI_N_TIMERS; ++i) info.timer_hz[i] = load(c.timer_hz[i]);
  info.hsi_hz = load(c.hsi_hz);
  info.hse_hz = load(c.hse_hz);
  info.rated_hz = load(c.rated_hz);
  info.boost_hz = load(c.boost_hz);
  return info;
}

Result<void> Driver::change(const struct sluice_clock_plan& plan, const uint32_t (&timer_hz)[4]) {
  ClockAccess access{*this};
  static constexpr sluice_clock_ops kOps = ClockAccess::ops();
  const sluice_clock_board board = clock_board();
  struct sluice_clock_plan now;
  const int status = sluice_clock_change(&kOps, &access, &board, &plan, timer_hz, &now);
  switch (-status) {
    case 0:
      return {};
    case ERANGE:
      return fail(ERANGE, "clock: a timer cannot keep its frequency");
    case EIO:
      return fail(EIO, "clock: the board did not follow and runs from its internal oscillator now");
    default:
      return fail(-status, "clock: the queues did not drain");
  }
}

Result<ClockInfo> Driver::set_clock(uint32_t system_hz, bool boost) {
  const sluice_clock_board board = clock_board();
  struct sluice_clock_plan plan;
  const int status = sluice_clock_plan(&board, system_hz, &plan);
  if (status == -ERANGE) {
    return fail(ERANGE,
                fmt::format("clock: {} Hz: expected 1000000 to {}", system_hz, board.boost_hz));
  }
  if (status != 0) {
    uint32_t below = 0, above = 0;
    sluice_clock_nearest(&board, system_hz, &below, &above);
    return fail(EDOM, fmt::format("clock: no dividers give {} Hz; the nearest are {} and {}",
                                  system_hz, below, above));
  }
  if (system_hz > board.rated_hz && !boost) {
    return fail(EPERM,
                fmt::format("clock: {} Hz is above the rated {}, and boost was not asked for",
                            system_hz, board.rated_hz));
  }
  SLUICE_CHECK(change(plan, timer_hz_));
  return clock();
}

Result<uint32_t> Driver::set_timer(uint32_t timer, uint32_t hz) {
  const sluice_clock_board board = clock_board();
  struct sluice_clock_plan plan;
  if (sluice_clock_plan(&board, load(registers_.clock().system_hz), &plan) != 0) {
    return fail(EIO, "clock: the board's frequencies make no sense");
  }
  uint32_t prescaler = 0, got = 0;
  const int status = sluice_clock_timer(&plan, timer, hz, &prescaler, &got);
  if (status == -EINVAL) return fail(EINVAL, fmt::format("timer {} at {} Hz", timer, hz));
  if (status != 0) {
    return fail(ERANGE, fmt::format("timer {}: {} Hz cannot be made of {}", timer, hz,
                                    plan.timer_clock_hz[timer / 2]));
  }
  sluice_sdi_clock& clock = registers_.clock();
  store(clock.timer[timer], SLUICE_SDI_TIMER_ON | prescaler);
  ClockAccess access{*this};
  if (ClockAccess::commit(&access) != 0) {
    return fail(ETIMEDOUT, fmt::format("timer {}: the board does not answer", timer));
  }
  timer_hz_[timer] = hz;
  return got;
}

}  // namespace sluice::emu
