// SPDX-License-Identifier: Apache-2.0
// The clock planner against a search of everything, and the sequence against a board that keeps
// account of the rules.
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "kernel/shared/clock.h"
#include "support.h"

using namespace sluice;

TestSuite(clock, .timeout = 120);

namespace {

using Plan = struct sluice_clock_plan;

constexpr uint32_t kMhz = 1'000'000;

sluice_clock_board board(uint32_t hse_hz = 12 * kMhz) {
  return {16 * kMhz, hse_hz, 168 * kMhz, 216 * kMhz, 200'000};
}

// Every setting of the PLL that keeps the bounds, with the best Q, by frequency; of several the
// best by the rule in clock.h, decided by exact fractions.
struct Setting {
  uint32_t m, n, p, q;
};
std::map<uint32_t, Setting> all_settings(uint32_t hse_hz, uint32_t boost_hz) {
  std::map<uint32_t, Setting> best;
  for (uint64_t m = 2; m <= 63; ++m) {
    if (hse_hz < m * kMhz || hse_hz > 2 * m * kMhz) continue;
    for (uint64_t n = 50; n <= 432; ++n) {
      const uint64_t vco_by_m = hse_hz * n;
      if (vco_by_m < 100 * kMhz * m || vco_by_m > 432 * kMhz * m) continue;
      for (uint64_t p = 2; p <= 8; p += 2) {
        if (vco_by_m % (m * p) != 0) continue;
        const uint64_t hz = vco_by_m / (m * p);
        if (hz < kMhz || hz > boost_hz) continue;
        uint64_t q = 2;
        while (vco_by_m > 48ull * kMhz * m * q) ++q;
        const Setting now = {static_cast<uint32_t>(m), static_cast<uint32_t>(n),
                             static_cast<uint32_t>(p), static_cast<uint32_t>(q)};
        const auto [it, fresh] = best.try_emplace(static_cast<uint32_t>(hz), now);
        if (fresh) continue;
        const Setting& old = it->second;
        // m in ascending order: an older one is nearer to 2 MHz. vco = hz * p.
        if (old.m != now.m) continue;
        const uint64_t a = uint64_t{now.p} * old.q, b = uint64_t{old.p} * now.q;
        if (a > b || (a == b && now.p < old.p)) it->second = now;
      }
    }
  }
  return best;
}

}  // namespace

Test(clock, the_presets) {
  const auto b = board();
  Plan plan;
  cr_assert(same(sluice_clock_plan(&b, 168 * kMhz, &plan), 0));
  cr_expect(same(plan.source, SLUICE_SDI_CLOCK_SOURCE_PLL) && same(plan.vco_hz, 336 * kMhz));
  cr_expect(same(plan.m, 6u) && same(plan.n, 168u) && same(plan.p, 2u) && same(plan.q, 7u));
  cr_expect(same(plan.pll48_hz, 48 * kMhz) && same(plan.wait_states, 5u));
  cr_expect(same(plan.bus_hz[0], 42 * kMhz) && same(plan.bus_hz[1], 84 * kMhz));
  cr_expect(same(plan.timer_clock_hz[0], 84 * kMhz) && same(plan.timer_clock_hz[1], 168 * kMhz));
  cr_assert(same(sluice_clock_plan(&b, 216 * kMhz, &plan), 0));
  cr_expect(same(plan.wait_states, 7u) && same(plan.vco_hz, 432 * kMhz) && same(plan.q, 9u));
  cr_assert(same(sluice_clock_plan(&b, 16 * kMhz, &plan), 0));
  cr_expect(same(plan.source, SLUICE_SDI_CLOCK_SOURCE_HSI) && same(plan.m, 0u));
  cr_expect(same(plan.wait_states, 0u) && same(plan.bus_hz[0], plan.system_hz));
  cr_assert(same(sluice_clock_plan(&b, 12 * kMhz, &plan), 0));
  cr_expect(same(plan.source, SLUICE_SDI_CLOCK_SOURCE_HSE));
}

Test(clock, what_makes_no_sense_is_refused) {
  const auto good = board();
  Plan plan;
  cr_expect(same(sluice_clock_plan(&good, kMhz - 1, &plan), -ERANGE));
  cr_expect(same(sluice_clock_plan(&good, 216 * kMhz + 1, &plan), -ERANGE));
  cr_expect(same(sluice_clock_plan(&good, 167'999'999, &plan), -EDOM));
  const sluice_clock_board bad[] = {{0, 12 * kMhz, 168 * kMhz, 216 * kMhz, 1},
                                    {16 * kMhz, 0, 168 * kMhz, 216 * kMhz, 1},
                                    {16 * kMhz, 12 * kMhz, 0, 216 * kMhz, 1},
                                    {16 * kMhz, 12 * kMhz, 168 * kMhz, 100 * kMhz, 1},
                                    {~0u, ~0u, ~0u, ~0u, ~0u}};
  for (const auto& b : bad) {
    uint32_t below = 1, above = 1;
    cr_expect(same(sluice_clock_plan(&b, 100 * kMhz, &plan), -ERANGE));
    sluice_clock_nearest(&b, 100 * kMhz, &below, &above);
    cr_expect(same(below, 0u) && same(above, 0u));
  }
}

// Every frequency that there is, and for each oscillator as many that there are not.
Test(clock, plans_are_those_of_a_full_search) {
  for (const uint32_t hse : {8 * kMhz, 12 * kMhz, 25 * kMhz, 4 * kMhz, 11'289'600u, 19'200'000u}) {
    const auto b = board(hse);
    const auto settings = all_settings(hse, b.boost_hz);
    cr_assert(settings.size() > 100);
    for (const auto& [hz, s] : settings) {
      Plan plan;
      cr_assert(same(sluice_clock_plan(&b, hz, &plan), 0), "%u Hz of %u", hz, hse);
      if (hz == b.hsi_hz || hz == hse) continue;
      cr_assert(plan.m == s.m && plan.n == s.n && plan.p == s.p && plan.q == s.q,
                "%u Hz of %u: %u %u %u %u, expected %u %u %u %u", hz, hse, plan.m, plan.n, plan.p,
                plan.q, s.m, s.n, s.p, s.q);
      cr_assert(same(plan.vco_hz, hz * s.p) && same(plan.pll48_hz, plan.vco_hz / s.q));
      cr_assert(same(plan.wait_states, (hz - 1) / (30 * kMhz)));
      for (int bus = 0; bus < 2; ++bus) {
        const uint32_t most = bus == 0 ? 54 * kMhz : 108 * kMhz;
        const uint32_t shift = plan.bus_shift[bus];
        cr_assert(hz <= uint64_t{most} << shift &&
                  (shift == 0 || hz > uint64_t{most} << (shift - 1)));
      }
    }
    std::mt19937 rng(hse);
    for (int i = 0; i < 20000; ++i) {
      const uint32_t hz = kMhz + rng() % (215 * kMhz);
      Plan plan;
      const bool there = settings.contains(hz) || hz == b.hsi_hz || hz == hse;
      cr_assert(same(sluice_clock_plan(&b, hz, &plan), there ? 0 : -EDOM));
    }
  }
}

Test(clock, nearest_are_those_of_a_full_search) {
  for (const uint32_t hse : {12 * kMhz, 25 * kMhz, 11'289'600u}) {
    const auto b = board(hse);
    auto settings = all_settings(hse, b.boost_hz);
    settings.try_emplace(b.hsi_hz);
    settings.try_emplace(hse);
    std::mt19937 rng(hse);
    std::vector<uint32_t> wanted = {0, kMhz, 216 * kMhz, UINT32_MAX, 168 * kMhz, 16 * kMhz};
    for (int i = 0; i < (test::light() ? 20 : 200); ++i) wanted.push_back(rng() % (230 * kMhz));
    for (const uint32_t hz : wanted) {
      uint32_t below = 1, above = 1;
      sluice_clock_nearest(&b, hz, &below, &above);
      const auto low = settings.lower_bound(hz), high = settings.upper_bound(hz);
      cr_expect(same(below, low == settings.begin() ? 0 : std::prev(low)->first), "%u", hz);
      cr_expect(same(above, high == settings.end() ? 0 : high->first), "%u", hz);
    }
  }
}

Test(clock, timers) {
  const auto b = board();
  Plan plan;
  cr_assert(same(sluice_clock_plan(&b, 168 * kMhz, &plan), 0));
  uint32_t prescaler = 0, got = 0;
  cr_expect(same(sluice_clock_timer(&plan, 0, 84 * kMhz, &prescaler, &got), 0));
  cr_expect(same(prescaler, 0u) && same(got, 84 * kMhz));
  cr_expect(same(sluice_clock_timer(&plan, 2, kMhz, &prescaler, &got), 0));
  cr_expect(same(prescaler, 167u) && same(got, kMhz));
  cr_expect(same(sluice_clock_timer(&plan, 1, 5 * kMhz, &prescaler, &got), 0));
  cr_expect(same(prescaler, 15u) && same(got, 5'250'000u));
  cr_expect(same(sluice_clock_timer(&plan, 0, 84 * kMhz + 1, &prescaler, &got), -ERANGE));
  cr_expect(same(sluice_clock_timer(&plan, 0, 84 * kMhz / 65537, &prescaler, &got), -ERANGE));
  cr_expect(same(sluice_clock_timer(&plan, 0, 0, &prescaler, &got), -EINVAL));
  cr_expect(same(sluice_clock_timer(&plan, 4, kMhz, &prescaler, &got), -EINVAL));
  std::mt19937 rng(3);
  for (int i = 0; i < 20000; ++i) {
    const uint32_t hz = 1 + rng() % (90 * kMhz);
    const int status = sluice_clock_timer(&plan, 3, hz, &prescaler, &got);
    const uint32_t divider = 168 * kMhz / hz;
    cr_assert(same(status, divider > 65536 ? -ERANGE : 0));
    if (status == 0) cr_assert(same(prescaler, divider - 1) && same(got, 168 * kMhz / divider));
  }
}

namespace {

// A board that obeys at once and complains about every rule that is broken.
struct StrictBoard {
  sluice_sdi_clock page{};
  uint32_t control = SLUICE_SDI_CLOCK_HSI_ON, pll = 0, wait_states = 0, prescalers = 0;
  bool paused = false, locks = true;
  int n_commits = 0, fail_commit = -1, n_quiesced = 0, quiesce_status = 0;
  bool lie = false;  // about the frequency
  std::vector<std::string> complaints;

  StrictBoard() {
    page.control = control;
    publish();
  }
  static StrictBoard& of(void* context) { return *static_cast<StrictBoard*>(context); }
  uint32_t source() const { return control >> SLUICE_SDI_CLOCK_SOURCE_SHIFT & 3; }
  uint32_t hz() const {
    const uint32_t m = pll & 63, n = pll >> 6 & 511, p = 2 * ((pll >> 16 & 3) + 1);
    if (source() == SLUICE_SDI_CLOCK_SOURCE_HSI) return 16 * kMhz;
    if (source() == SLUICE_SDI_CLOCK_SOURCE_HSE) return 12 * kMhz;
    return m ? static_cast<uint32_t>(12ull * kMhz * n / (uint64_t{m} * p)) : 0;
  }
  void expect(bool holds, const char* what) {
    if (!holds) complaints.emplace_back(what);
  }
  void publish() {
    const bool on = control & SLUICE_SDI_CLOCK_PLL_ON;
    page.system_hz = lie && source() == SLUICE_SDI_CLOCK_SOURCE_PLL ? 1 : hz();
    page.status = (control & 3) | (on && locks ? SLUICE_SDI_CLOCK_PLL_LOCKED : 0) |
                  source() << SLUICE_SDI_CLOCK_SOURCE_SHIFT;
    const uint32_t m = pll & 63, n = pll >> 6 & 511, q = pll >> 24 & 15;
    page.pll48_hz = on && m && q ? static_cast<uint32_t>(12ull * kMhz * n / m / q) : 0;
    for (int b = 0; b < 2; ++b) page.bus_hz[b] = hz() >> (prescalers >> (4 * b) & 15);
  }
  int commit() {
    if (n_commits++ == fail_commit) return -ETIMEDOUT;
    const uint32_t was_pll = pll, was = control, was_source = source();
    control = page.control;
    pll = page.pll;
    wait_states = page.wait_states;
    prescalers = page.prescalers;
    expect(paused, "changed while entries run");
    expect(
        !((was & SLUICE_SDI_CLOCK_PLL_ON) && (control & SLUICE_SDI_CLOCK_PLL_ON)) || pll == was_pll,
        "a running PLL was changed");
    expect((control & SLUICE_SDI_CLOCK_PLL_ON) || source() != SLUICE_SDI_CLOCK_SOURCE_PLL,
           "the system clock is a PLL that is off");
    expect(was_source != SLUICE_SDI_CLOCK_SOURCE_PLL || (control & SLUICE_SDI_CLOCK_PLL_ON) ||
               was_source != source(),
           "the PLL in use was turned off");
    expect(!(control & SLUICE_SDI_CLOCK_PLL_ON) || locks || source() != SLUICE_SDI_CLOCK_SOURCE_PLL,
           "switched to a PLL without lock");
    expect(was_source == source() || was_source == SLUICE_SDI_CLOCK_SOURCE_HSI ||
               source() == SLUICE_SDI_CLOCK_SOURCE_HSI,
           "not by way of HSI");
    expect((hz() - 1) / (30 * kMhz) <= wait_states, "too few wait states");
    for (int b = 0; b < 2; ++b) {
      expect(hz() <= uint64_t{b ? 108u : 54u} * kMhz << (prescalers >> (4 * b) & 15),
             "a bus too fast");
    }
    publish();
    return 0;
  }
  static constexpr sluice_clock_ops ops() {
    return {[](void* c, __u32 offset) {
              __u32 value;
              std::memcpy(&value, reinterpret_cast<char*>(&of(c).page) + offset, 4);
              return value;
            },
            [](void* c, __u32 offset, __u32 value) {
              std::memcpy(reinterpret_cast<char*>(&of(c).page) + offset, &value, 4);
            },
            [](void* c) { return of(c).commit(); },
            [](void* c) {
              of(c).n_quiesced++;
              of(c).paused = of(c).quiesce_status == 0;
              return of(c).quiesce_status;
            },
            [](void* c) { of(c).paused = false; },
            [](void*, __u32) {}};
  }
  int change(uint32_t to_hz, Plan* now, std::vector<uint32_t> timers = {0, 0, 0, 0}) {
    static constexpr sluice_clock_ops kOps = ops();
    const auto b = board();
    Plan plan;
    cr_assert(same(sluice_clock_plan(&b, to_hz, &plan), 0));
    return sluice_clock_change(&kOps, this, &b, &plan, timers.data(), now);
  }
};

}  // namespace

Test(clock, the_sequence_breaks_no_rule) {
  const auto settings = all_settings(12 * kMhz, 216 * kMhz);
  std::vector<uint32_t> all = {12 * kMhz, 16 * kMhz};
  for (const auto& [hz, s] : settings) all.push_back(hz);
  std::mt19937 rng(11);
  StrictBoard b;
  for (int i = 0; i < 5000; ++i) {
    const uint32_t hz = all[rng() % all.size()];
    Plan now;
    cr_assert(same(b.change(hz, &now), 0));
    cr_assert(same(now.system_hz, hz) && same(b.hz(), hz) && !b.paused);
    cr_assert(same(b.wait_states, (hz - 1) / (30 * kMhz)));
    cr_assert(b.complaints.empty(), "%u Hz: %s", hz, b.complaints.front().c_str());
  }
}

Test(clock, whatever_fails_ends_on_hsi) {
  Plan now;
  for (int at = 0; at < 12; ++at) {
    StrictBoard b;
    cr_assert(same(b.change(168 * kMhz, &now), 0));
    const int n = b.n_commits;
    b.fail_commit = n + at;
    const int status = b.change(216 * kMhz, &now);
    if (b.n_commits <= n + at) {
      cr_expect(same(status, 0) && at > 4);
      continue;
    }
    cr_expect(same(status, -EIO) && same(now.system_hz, 16 * kMhz), "commit %d", at);
    cr_expect(same(b.hz(), 16 * kMhz) && same(b.control, SLUICE_SDI_CLOCK_HSI_ON));
    cr_expect(b.complaints.empty() && !b.paused);
    b.fail_commit = -1;
    cr_expect(same(b.change(216 * kMhz, &now), 0));
  }
  StrictBoard no_lock;
  no_lock.locks = false;
  cr_expect(same(no_lock.change(168 * kMhz, &now), -EIO) && same(no_lock.hz(), 16 * kMhz));
  cr_expect(no_lock.complaints.empty());
  StrictBoard liar;
  liar.lie = true;
  cr_expect(same(liar.change(168 * kMhz, &now), -EIO) && same(liar.hz(), 16 * kMhz));
  StrictBoard busy;
  busy.quiesce_status = -ETIMEDOUT;
  cr_expect(same(busy.change(168 * kMhz, &now), -ETIMEDOUT) && same(busy.n_commits, 0));
}

Test(clock, timers_are_kept_or_nothing_happens) {
  StrictBoard b;
  Plan now;
  cr_assert(same(b.change(168 * kMhz, &now, {kMhz, 0, 2 * kMhz, 0}), 0));
  cr_expect(same(b.page.timer[0], SLUICE_SDI_TIMER_ON | 83u) && same(b.page.timer[1], 0u));
  cr_expect(same(b.page.timer[2], SLUICE_SDI_TIMER_ON | 83u));
  cr_assert(same(b.change(216 * kMhz, &now, {kMhz, 0, 2 * kMhz, 0}), 0));
  cr_expect(same(b.page.timer[0], SLUICE_SDI_TIMER_ON | 107u));
  const int n = b.n_commits, quiesced = b.n_quiesced;
  cr_expect(same(b.change(12 * kMhz, &now, {20 * kMhz, 0, 0, 0}), -ERANGE));
  cr_expect(same(b.n_commits, n) && same(b.n_quiesced, quiesced) && same(b.hz(), 216 * kMhz));
}
