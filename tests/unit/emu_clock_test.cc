// SPDX-License-Identifier: Apache-2.0
// The emulated clock block: what it measures, and what becomes of a board whose driver breaks each
// rule; the driver's own sequence under load.
#include <atomic>
#include <cstddef>

#include "emu_raw.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_clock, .timeout = 240);

namespace {

constexpr uint32_t kMhz = 1'000'000;
constexpr uint32_t kHsi = SLUICE_SDI_CLOCK_HSI_ON, kHse = SLUICE_SDI_CLOCK_HSE_ON,
                   kPll = SLUICE_SDI_CLOCK_PLL_ON;
constexpr uint32_t kFromHse = SLUICE_SDI_CLOCK_SOURCE_HSE << SLUICE_SDI_CLOCK_SOURCE_SHIFT,
                   kFromPll = SLUICE_SDI_CLOCK_SOURCE_PLL << SLUICE_SDI_CLOCK_SOURCE_SHIFT;

constexpr uint32_t pll_word(uint32_t m, uint32_t n, uint32_t p, uint32_t q) {
  return m | n << SLUICE_SDI_PLL_N_SHIFT | (p / 2 - 1) << SLUICE_SDI_PLL_P_SHIFT |
         q << SLUICE_SDI_PLL_Q_SHIFT;
}
constexpr uint32_t k168 = pll_word(6, 168, 2, 7), k216 = pll_word(6, 216, 2, 9);

struct ClockBoard : RawBoard {
  using RawBoard::RawBoard;
  uint32_t status() const { return emu::load(r.clock().status); }
  std::optional<uint32_t> control(uint32_t value, std::chrono::milliseconds limit = 5000ms) {
    emu::store(r.clock().control, value);
    return commit_clock(limit);
  }
  bool wait_status(uint32_t bit) {
    return eventually([&] { return (status() & bit) != 0; }, 500ms);
  }
  // HSE and PLL on and locked, HSI in use, everything else as 168 MHz needs it.
  void lock(uint32_t pll = k168) {
    control(kHsi | kHse);
    cr_assert(wait_status(SLUICE_SDI_CLOCK_HSE_READY));
    emu::store(r.clock().pll, pll);
    emu::store(r.clock().wait_states, 7u);
    emu::store(r.clock().prescalers, 0x12u);
    control(kHsi | kHse | kPll);
    cr_assert(wait_status(SLUICE_SDI_CLOCK_PLL_LOCKED));
  }
  // The same with the PLL in use.
  void run_from_pll(uint32_t pll = k168) {
    lock(pll);
    cr_assert(control(kHsi | kHse | kPll | kFromPll) == SLUICE_SDI_RESULT_OK);
    cr_assert(!fatal());
  }
};

}  // namespace

Test(emu_clock, what_is_measured) {
  ClockBoard b;
  cr_expect(same(emu::load(b.r.clock().system_hz), 16 * kMhz));
  cr_expect(same(b.status(), SLUICE_SDI_CLOCK_HSI_READY));
  emu::store(b.r.clock().timer[0], SLUICE_SDI_TIMER_ON | 83);
  emu::store(b.r.clock().timer[3], SLUICE_SDI_TIMER_ON | 167);
  b.run_from_pll();
  const sluice_sdi_clock& c = b.r.clock();
  cr_expect(same(emu::load(c.system_hz), 168 * kMhz) && same(emu::load(c.pll48_hz), 48 * kMhz));
  cr_expect(same(emu::load(c.bus_hz[0]), 42 * kMhz) && same(emu::load(c.bus_hz[1]), 84 * kMhz));
  cr_expect(same(emu::load(c.timer_hz[0]), kMhz) && same(emu::load(c.timer_hz[3]), kMhz));
  cr_expect(same(emu::load(c.timer_hz[1]), 0u));
  cr_assert(b.control(kHsi | kHse | kFromHse) == SLUICE_SDI_RESULT_OK);
  cr_expect(same(emu::load(c.system_hz), 12 * kMhz) && same(emu::load(c.pll48_hz), 0u));
}

Test(emu_clock, a_lock_takes_time) {
  ClockBoard b;
  b.control(kHsi | kHse);
  cr_assert(b.wait_status(SLUICE_SDI_CLOCK_HSE_READY));
  emu::store(b.r.clock().pll, k168);
  const auto start = std::chrono::steady_clock::now();
  b.control(kHsi | kHse | kPll);
  cr_assert(b.wait_status(SLUICE_SDI_CLOCK_PLL_LOCKED));
  const auto took = std::chrono::steady_clock::now() - start;
  cr_expect(took > std::chrono::nanoseconds(emu::load(b.r.clock().lock_ns)) / 2);
}

Test(emu_clock, words_out_of_range_are_refused_and_change_nothing) {
  struct Case {
    size_t offset;
    uint32_t value;
  };
  const Case cases[] = {
      {offsetof(sluice_sdi_clock, control), kHsi | 8},
      {offsetof(sluice_sdi_clock, control), kHsi | 3u << SLUICE_SDI_CLOCK_SOURCE_SHIFT},
      {offsetof(sluice_sdi_clock, control), kHsi | kHse | kPll},  // with pll 0
      {offsetof(sluice_sdi_clock, pll), 1u << 31},
      {offsetof(sluice_sdi_clock, prescalers), 0x5},
      {offsetof(sluice_sdi_clock, prescalers), 0x100},
      {offsetof(sluice_sdi_clock, wait_states), 8},
      {offsetof(sluice_sdi_clock, timer), 1u << 16},
  };
  ClockBoard b;
  for (const Case& c : cases) {
    auto& word =
        *reinterpret_cast<uint32_t*>(reinterpret_cast<std::byte*>(&b.r.clock()) + c.offset);
    const uint32_t before = word;
    emu::store(word, c.value);
    cr_expect(b.commit_clock() == SLUICE_SDI_RESULT_INVALID, "word at %#zx", c.offset);
    emu::store(word, before);
  }
  cr_expect(b.commit_clock() == SLUICE_SDI_RESULT_OK);
  cr_expect(same(b.status(), SLUICE_SDI_CLOCK_HSI_READY) && !b.fatal());
  b.control(kHsi | kHse);
  cr_assert(b.wait_status(SLUICE_SDI_CLOCK_HSE_READY));
  for (const uint32_t pll : {pll_word(1, 168, 2, 7), pll_word(6, 49, 2, 7), pll_word(6, 433, 2, 7),
                             pll_word(6, 168, 2, 1)}) {
    emu::store(b.r.clock().pll, pll);
    cr_expect(b.control(kHsi | kHse | kPll) == SLUICE_SDI_RESULT_INVALID);
  }
}

Test(emu_clock, a_vco_out_of_bounds_does_not_lock) {
  for (const uint32_t pll : {pll_word(5, 168, 2, 7), pll_word(13, 168, 2, 7),
                             pll_word(6, 49 + 1, 2, 7) /* 100 MHz: it does */,
                             pll_word(12, 99, 2, 7), pll_word(6, 217, 2, 7)}) {
    ClockBoard b;
    b.control(kHsi | kHse);
    cr_assert(b.wait_status(SLUICE_SDI_CLOCK_HSE_READY));
    emu::store(b.r.clock().pll, pll);
    cr_assert(b.control(kHsi | kHse | kPll) == SLUICE_SDI_RESULT_OK);
    std::this_thread::sleep_for(2ms);
    const bool locked = b.status() & SLUICE_SDI_CLOCK_PLL_LOCKED;
    cr_expect(same(locked, pll == pll_word(6, 50, 2, 7)), "%#x", pll);
  }
}

Test(emu_clock, a_pll_changed_while_on_loses_its_lock) {
  ClockBoard b;
  b.lock();
  emu::store(b.r.clock().pll, k216);
  b.control(kHsi | kHse | kPll);
  std::this_thread::sleep_for(2ms);
  cr_expect(!(b.status() & SLUICE_SDI_CLOCK_PLL_LOCKED) && !b.fatal());
  emu::store(b.r.clock().pll, k168);
  b.control(kHsi | kHse | kPll);
  std::this_thread::sleep_for(2ms);
  cr_expect(!(b.status() & SLUICE_SDI_CLOCK_PLL_LOCKED));
  b.control(kHsi | kHse);
  b.control(kHsi | kHse | kPll);
  cr_expect(b.wait_status(SLUICE_SDI_CLOCK_PLL_LOCKED));
}

Test(emu_clock, wrong_orders_hang_the_board) {
  struct Case {
    const char* what;
    void (*spoil)(ClockBoard&);
  };
  static constexpr auto kSoon = 20ms;
  const Case cases[] = {
      {"PLL off while in use",
       [](ClockBoard& b) {
         b.run_from_pll();
         b.control(kHsi | kHse | kFromPll, kSoon);
       }},
      {"PLL changed while in use",
       [](ClockBoard& b) {
         b.run_from_pll();
         emu::store(b.r.clock().pll, k216);
         b.control(kHsi | kHse | kPll | kFromPll, kSoon);
       }},
      {"HSE off under the PLL in use",
       [](ClockBoard& b) {
         b.run_from_pll();
         b.control(kHsi | kPll | kFromPll, kSoon);
       }},
      {"to a PLL without lock",
       [](ClockBoard& b) {
         b.lock();
         b.control(kHsi | kHse);
         b.control(kHsi | kHse | kPll | kFromPll, kSoon);
       }},
      {"to an HSE that is off", [](ClockBoard& b) { b.control(kHsi | kFromHse, kSoon); }},
      {"HSI off while in use", [](ClockBoard& b) { b.control(0, kSoon); }},
      {"bus 0 too fast",
       [](ClockBoard& b) {
         b.lock();
         emu::store(b.r.clock().prescalers, 0x11u);
         b.control(kHsi | kHse | kPll | kFromPll, kSoon);
       }},
      {"bus 1 too fast",
       [](ClockBoard& b) {
         b.lock();
         emu::store(b.r.clock().prescalers, 0x02u);
         b.control(kHsi | kHse | kPll | kFromPll, kSoon);
       }},
  };
  for (const Case& c : cases) {
    ClockBoard b;
    c.spoil(b);
    cr_expect(b.hangs_until_reset(), "%s", c.what);
    cr_expect(same(emu::load(b.r.clock().system_hz), 16 * kMhz), "%s", c.what);
  }
}

Test(emu_clock, too_few_wait_states_spoil_what_is_read) {
  for (const uint32_t wait_states : {4u, 5u}) {
    ClockBoard b;
    cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
    for (size_t i = 0; i < 65536; ++i) b.memory.data()[i] = static_cast<std::byte>(i * 7);
    b.run_from_pll();
    emu::store(b.r.clock().wait_states, wait_states);
    cr_assert(b.commit_clock() == SLUICE_SDI_RESULT_OK);
    // Writing is safe.
    cr_expect(same(b.status_of(copy_entry(SLUICE_SDI_ADDR(1, 0), SLUICE_SDI_ADDR(0, 65536), 4096)),
                   SLUICE_SDI_OK));
    const bool enough = wait_states == 5;
    cr_expect(same(b.status_of(copy_entry(SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(1, 65536), 65536)),
                   enough ? SLUICE_SDI_OK : SLUICE_SDI_E_DATA));
    const bool intact =
        std::memcmp(b.host.data() + RawBoard::kData + 65536, b.memory.data(), 65536) == 0;
    cr_expect(same(intact, enough) && same(b.fatal(), !enough));
    if (!enough) cr_expect(b.hangs_until_reset());
  }
}

// COPY and RUN look at the clocks between their pieces: a source that changes under them.
Test(emu_clock, a_switch_under_an_entry_spoils_it) {
  EmulatorOptions options = small_board();
  constexpr uint64_t kMemory = 256 << 20;
  ClockBoard b(options, kMemory);
  bool hit = false;
  for (int i = 0; i < 100 && !hit; ++i) {
    cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
    b.control(kHsi | kHse);
    cr_assert(b.wait_status(SLUICE_SDI_CLOCK_HSE_READY));
    b.submit(copy_entry(0, kMemory / 2, kMemory / 2));
    std::this_thread::sleep_for(std::chrono::microseconds(i * 200));
    b.control(kHsi | kHse | kFromHse);
    const auto done = b.collect(20000ms);
    cr_assert(done.has_value());
    hit = done->status == SLUICE_SDI_E_DATA;
    cr_assert(b.request(SLUICE_SDI_ACTION_RESET) == SLUICE_SDI_RESULT_OK);
  }
  cr_expect(hit);
}

Test(emu_clock, a_device_has_its_clock_and_says_what_it_cannot_have) {
  Bench bench;
  const ClockInfo clock = must(bench.device.clock());
  cr_expect(same(clock.system_hz, 168 * kMhz) && same(clock.wait_states, 5u));
  cr_expect(same(must(bench.device.set_timer(0, kMhz)), kMhz));
  cr_expect(is_error(bench.device.set_clock(216 * kMhz), EPERM, {"rated"}));
  const ClockInfo boost = must(bench.device.set_clock(216 * kMhz, true));
  cr_expect(same(boost.system_hz, 216 * kMhz) && same(boost.wait_states, 7u));
  cr_expect(same(boost.timer_hz[0], kMhz));
  cr_expect(is_error(bench.device.set_clock(167'999'999), EDOM, {"nearest are 1", "168000000"}));
  cr_expect(is_error(bench.device.set_clock(217 * kMhz, true), ERANGE, {"216000000"}));
  cr_expect(is_error(bench.device.set_timer(9, kMhz), EINVAL, {"timer 9"}));
  cr_expect(is_error(bench.device.set_timer(0, 200 * kMhz), ERANGE, {"timer 0"}));
  must(bench.device.reset());
  cr_expect(same(must(bench.device.clock()).system_hz, 168 * kMhz));
}

Test(emu_clock, a_thousand_changes_under_load_spoil_nothing) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  cr_assert(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
  const auto expected = m.scratch();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> n_runs{0}, n_bad{0};
  std::thread load([&] {
    Completion done{};
    while (!stop) {
      const QueueEntry entry = m.run(handle);
      if (!bench.queue.submit(std::span(&entry, 1))) ++n_bad;
      const auto n = bench.queue.wait(std::span(&done, 1), 20s);
      if (!n || done.status != SLUICE_SDI_OK || m.scratch() != expected) ++n_bad;
      ++n_runs;
    }
  });
  std::mt19937 rng(77);
  const uint32_t n_changes = light() ? 30 : 1000;
  uint32_t n_changed = 0;
  for (uint32_t i = 0; n_changed < n_changes && i < 100 * n_changes; ++i) {
    // Whole and half MHz: about every second one has a plan.
    const auto changed = bench.device.set_clock((2 + rng() % 431) * kMhz / 2, true);
    if (changed) ++n_changed;
    if (!changed) cr_assert(changed.error().code == EDOM, "%s", why(changed));
  }
  stop = true;
  load.join();
  cr_expect(same(n_changed, n_changes) && same(n_bad.load(), 0u));
  // How many depends on how busy the machine is.
  cr_expect(light() || n_runs > 0);
  cr_expect(same(bench.control().n_faults, 0u));
}
