// SPDX-License-Identifier: Apache-2.0
// Rules and their consequences: the PLL feeds nothing before it has locked, loses lock when its
// dividers or its oscillator change under it, and does not come back until it is turned off.
#include "emu/clock.h"

#include "kernel/shared/clock.h"

namespace sluice::emu {
namespace {

constexpr auto kHseStart = std::chrono::microseconds(50);

constexpr uint32_t kControlBits = SLUICE_SDI_CLOCK_HSI_ON | SLUICE_SDI_CLOCK_HSE_ON |
                                  SLUICE_SDI_CLOCK_PLL_ON | 3u << SLUICE_SDI_CLOCK_SOURCE_SHIFT;
constexpr uint32_t kPllBits = 0x3fu << SLUICE_SDI_PLL_M_SHIFT | 0x1ffu << SLUICE_SDI_PLL_N_SHIFT |
                              0x3u << SLUICE_SDI_PLL_P_SHIFT | 0xfu << SLUICE_SDI_PLL_Q_SHIFT;
constexpr uint32_t kMostWaitStates = 7;
constexpr uint32_t kHzPerWaitState = 30'000'000;
constexpr uint32_t kMostPrescaler = 4;

struct PllWord {
  uint32_t m, n, p, q;
  explicit PllWord(uint32_t word)
      : m(word >> SLUICE_SDI_PLL_M_SHIFT & 0x3f),
        n(word >> SLUICE_SDI_PLL_N_SHIFT & 0x1ff),
        p(2 * ((word >> SLUICE_SDI_PLL_P_SHIFT & 0x3) + 1)),
        q(word >> SLUICE_SDI_PLL_Q_SHIFT & 0xf) {}
};

uint32_t source_of(uint32_t control) { return control >> SLUICE_SDI_CLOCK_SOURCE_SHIFT & 3; }

uint32_t bus_shift(uint32_t prescalers, uint32_t bus) { return prescalers >> (4 * bus) & 0xf; }

}  // namespace

ClockBlock::ClockBlock(sluice_sdi_clock& page, const ClockFigures& figures,
                       std::function<bool()> fails_to_lock)
    : page_(page), figures_(figures), fails_to_lock_(std::move(fails_to_lock)) {}

void ClockBlock::reset() {
  control_ = SLUICE_SDI_CLOCK_HSI_ON;
  pll_ = prescalers_ = wait_states_ = 0;
  for (uint32_t& timer : timer_) timer = 0;
  hse_ready_ = locked_ = hung_ = false;
  hse_ready_at_.reset();
  locked_at_.reset();
  std::memset(static_cast<void*>(&page_.control), 0,
              offsetof(sluice_sdi_clock, reserved1) - offsetof(sluice_sdi_clock, control));
  page_.control = control_;
  page_.hsi_hz = figures_.hsi_hz;
  page_.hse_hz = figures_.hse_hz;
  page_.rated_hz = figures_.rated_hz;
  page_.boost_hz = figures_.boost_hz;
  page_.lock_ns = figures_.lock_ns;
  store(page_.result, SLUICE_SDI_RESULT_OK);
  acknowledged_ = load(page_.request);
  store(page_.acknowledge, acknowledged_);
  follow();
  publish();
}

uint32_t ClockBlock::vco_hz() const {
  const PllWord w(pll_);
  return static_cast<uint32_t>(uint64_t{figures_.hse_hz} * w.n / w.m);
}

// M * P in one division: HSE / M need not be a whole number of Hz.
uint32_t ClockBlock::pll_hz() const {
  const PllWord w(pll_);
  return static_cast<uint32_t>(uint64_t{figures_.hse_hz} * w.n / (uint64_t{w.m} * w.p));
}

uint32_t ClockBlock::source_hz(uint32_t source) const {
  if (source == SLUICE_SDI_CLOCK_SOURCE_HSI) return figures_.hsi_hz;
  return source == SLUICE_SDI_CLOCK_SOURCE_HSE ? figures_.hse_hz : pll_hz();
}

bool ClockBlock::source_ready(uint32_t source) const {
  if (source == SLUICE_SDI_CLOCK_SOURCE_HSI) return (control_ & SLUICE_SDI_CLOCK_HSI_ON) != 0;
  return source == SLUICE_SDI_CLOCK_SOURCE_HSE ? hse_ready_ : locked_;
}

// The PLL was turned on: it locks after a while, if its dividers are such that it can.
void ClockBlock::start_pll(Time now) {
  locked_at_.reset();
  const PllWord w(pll_);
  if (!hse_ready_) return;
  const uint64_t input_by_m = figures_.hse_hz;
  if (input_by_m < uint64_t{1'000'000} * w.m || input_by_m > uint64_t{2'000'000} * w.m) return;
  if (vco_hz() < 100'000'000 || vco_hz() > 432'000'000) return;
  if (fails_to_lock_()) return;
  // Somewhat sooner than it may take.
  locked_at_ = now + std::chrono::nanoseconds(figures_.lock_ns / 4 * 3);
}

uint32_t ClockBlock::take_over(Time now) {
  const uint32_t control = load(page_.control), pll = load(page_.pll),
                 prescalers = load(page_.prescalers), wait_states = load(page_.wait_states);
  uint32_t timer[SLUICE_SDI_N_TIMERS];
  for (int i = 0; i < SLUICE_SDI_N_TIMERS; ++i) timer[i] = load(page_.timer[i]);
  if ((control & ~kControlBits) != 0 || (pll & ~kPllBits) != 0 ||
      source_of(control) > SLUICE_SDI_CLOCK_SOURCE_PLL || wait_states > kMostWaitStates) {
    return SLUICE_SDI_RESULT_INVALID;
  }
  const PllWord w(pll);
  if ((control & SLUICE_SDI_CLOCK_PLL_ON) && (w.m < 2 || w.n < 50 || w.n > 432 || w.q < 2)) {
    return SLUICE_SDI_RESULT_INVALID;
  }
  if (prescalers >> (4 * SLUICE_SDI_N_BUSES) != 0) return SLUICE_SDI_RESULT_INVALID;
  for (uint32_t b = 0; b < SLUICE_SDI_N_BUSES; ++b) {
    if (bus_shift(prescalers, b) > kMostPrescaler) return SLUICE_SDI_RESULT_INVALID;
  }
  for (const uint32_t t : timer) {
    if ((t & ~(SLUICE_SDI_TIMER_ON | 0xffffu)) != 0) return SLUICE_SDI_RESULT_INVALID;
  }

  const uint32_t before = control_;
  if (source_of(control) != source_of(before)) n_switches_++;
  const bool pll_changes = pll != pll_;
  control_ = control;
  pll_ = pll;
  prescalers_ = prescalers;
  wait_states_ = wait_states;
  std::memcpy(timer_, timer, sizeof(timer));
  if (!(control & SLUICE_SDI_CLOCK_HSE_ON)) {
    hse_ready_ = false;
    hse_ready_at_.reset();
  } else if (!(before & SLUICE_SDI_CLOCK_HSE_ON)) {
    hse_ready_at_ = now + kHseStart;
  }
  const bool was_on = (before & SLUICE_SDI_CLOCK_PLL_ON) != 0;
  if (!(control & SLUICE_SDI_CLOCK_PLL_ON) || !hse_ready_ || (was_on && pll_changes)) {
    locked_ = false;
    locked_at_.reset();
  }
  if ((control & SLUICE_SDI_CLOCK_PLL_ON) && !was_on) start_pll(now);
  follow();
  return SLUICE_SDI_RESULT_OK;
}

bool ClockBlock::within_bounds(uint32_t hz) const {
  return hz <= figures_.boost_hz &&
         hz <= uint64_t{SLUICE_CLOCK_BUS0_MAX_HZ} << bus_shift(prescalers_, 0) &&
         hz <= uint64_t{SLUICE_CLOCK_BUS1_MAX_HZ} << bus_shift(prescalers_, 1);
}

// The system clock follows its source, over the edge if need be.
void ClockBlock::follow() {
  if (hung_) return;
  const uint32_t source = source_of(control_);
  if (!source_ready(source) || !within_bounds(source_hz(source))) {
    hung_ = true;
    system_hz_ = 0;
    return;
  }
  system_hz_ = source_hz(source);
}

void ClockBlock::settle(Time now) {
  if (hse_ready_at_ && now >= *hse_ready_at_) {
    hse_ready_ = true;
    hse_ready_at_.reset();
  }
  if (locked_at_ && now >= *locked_at_) {
    locked_ = true;
    locked_at_.reset();
  }
}

void ClockBlock::publish() {
  const uint32_t status = ((control_ & SLUICE_SDI_CLOCK_HSI_ON) ? SLUICE_SDI_CLOCK_HSI_READY : 0) |
                          (hse_ready_ ? SLUICE_SDI_CLOCK_HSE_READY : 0) |
                          (locked_ ? SLUICE_SDI_CLOCK_PLL_LOCKED : 0) |
                          source_of(control_) << SLUICE_SDI_CLOCK_SOURCE_SHIFT;
  const PllWord w(pll_);
  store(page_.system_hz, system_hz_);
  store(page_.pll48_hz, locked_ && w.q >= 2 ? vco_hz() / w.q : 0);
  for (uint32_t b = 0; b < SLUICE_SDI_N_BUSES; ++b) {
    store(page_.bus_hz[b], system_hz_ >> bus_shift(prescalers_, b));
  }
  for (uint32_t t = 0; t < SLUICE_SDI_N_TIMERS; ++t) {
    const uint32_t shift = bus_shift(prescalers_, t / 2);
    const uint32_t clock = (system_hz_ >> shift) * (shift ? 2 : 1);
    const bool on = (timer_[t] & SLUICE_SDI_TIMER_ON) != 0;
    store(page_.timer_hz[t], on ? clock / ((timer_[t] & 0xffff) + 1) : 0);
  }
  store(page_.status, status);
}

bool ClockBlock::serve(Time now) {
  const bool due = (hse_ready_at_ && now >= *hse_ready_at_) || (locked_at_ && now >= *locked_at_);
  if (due) settle(now);
  const uint32_t request = load(page_.request);
  const bool asked = request != acknowledged_;
  if (asked) store(page_.result, take_over(now));
  if (due || asked) publish();
  acknowledged_ = request;
  if (asked && !hung_) store(page_.acknowledge, request);
  return due || asked;
}

std::optional<ClockBlock::Time> ClockBlock::next_event() const {
  if (hse_ready_at_ && locked_at_) return std::min(*hse_ready_at_, *locked_at_);
  return hse_ready_at_ ? hse_ready_at_ : locked_at_;
}

bool ClockBlock::memory_too_fast() const {
  return system_hz_ > 0 && (system_hz_ - 1) / kHzPerWaitState > wait_states_;
}

}  // namespace sluice::emu
