// SPDX-License-Identifier: Apache-2.0
// The model of time: what the counters say that a board of given figures would have taken.
#include <cmath>

#include "emu_support.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_timing, .timeout = 60);

namespace {

struct Spent {
  uint64_t cycles, stalls, nanoseconds, macs;
};

Spent run_once(Bench& bench, const ModelOnBoard& m, uint32_t handle) {
  const auto now = [&] {
    const sluice_sdi_counters& c = bench.counters();
    return Spent{c.cycles, c.stall_cycles, c.nanoseconds, c.macs};
  };
  const Spent before = now();
  cr_assert(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
  const Spent after = now();
  return {after.cycles - before.cycles, after.stalls - before.stalls,
          after.nanoseconds - before.nanoseconds, after.macs - before.macs};
}

}  // namespace

Test(emu_timing, arithmetic_scales_with_the_clock) {
  EmulatorOptions options = small_board();
  options.macs_per_cycle = 1;
  options.memory_bandwidth = 1'000'000'000'000;
  Bench bench(options);
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  const Spent rated = run_once(bench, m, handle);
  must(bench.device.set_clock(216'000'000, true));
  const Spent boost = run_once(bench, m, handle);
  // But for the wait states of what is read without arithmetic.
  cr_expect(boost.cycles >= rated.cycles && boost.cycles - rated.cycles <= rated.cycles / 500);
  cr_expect(same(rated.macs, boost.macs));
  cr_expect(rated.macs > 3 * 2 * kDim * kDim && rated.cycles >= rated.macs);
  const double factor =
      static_cast<double>(rated.nanoseconds) / static_cast<double>(boost.nanoseconds);
  cr_expect(std::abs(factor - 216.0 / 168) < 5e-3, "%f", factor);
}

Test(emu_timing, memory_does_not) {
  EmulatorOptions options = small_board();
  options.macs_per_cycle = 1u << 30;
  options.memory_bandwidth = 10'000'000;
  Bench bench(options);
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  const Spent rated = run_once(bench, m, handle);
  must(bench.device.set_clock(84'000'000));
  const Spent slow = run_once(bench, m, handle);
  const double factor =
      static_cast<double>(slow.nanoseconds) / static_cast<double>(rated.nanoseconds);
  cr_expect(std::abs(factor - 1) < 0.02, "%f", factor);
  cr_expect(rated.stalls > rated.cycles * 9 / 10);
}

Test(emu_timing, operations_are_counted_apart) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  for (int i = 0; i < 3; ++i) run_once(bench, m, handle);
  uint64_t expected[SLUICE_SDI_COUNTER_OPS] = {}, total = 0;
  for (const Command& c : m.model.list.commands) expected[c.op] += 3;
  const sluice_sdi_counters& counters = bench.counters();
  for (uint32_t op = 0; op < SLUICE_SDI_COUNTER_OPS; ++op) {
    cr_expect(same(counters.op[op].count, expected[op]), "op %u", op);
    cr_expect(same(counters.op[op].cycles > 0, expected[op] > 0));
    total += expected[op];
  }
  cr_expect(same(counters.commands, total) && same(counters.runs, 3u));
}

Test(emu_timing, copies_are_counted_by_where_they_go) {
  Bench bench;
  const Memory device = must(bench.device.allocate(MemoryKind::kDevice, 1 << 20));
  const Memory host = must(bench.device.allocate(MemoryKind::kCoherent, 1 << 20));
  must(bench.queue.grant(0, device, Access::kReadWrite));
  must(bench.queue.grant(1, host, Access::kReadWrite));
  bench.finish(copy_entry(SLUICE_SDI_ADDR(1, 0), 0, 1000));
  bench.finish(copy_entry(0, SLUICE_SDI_ADDR(1, 0), 200));
  bench.finish(copy_entry(0, 4096, 30));
  bench.finish(copy_entry(SLUICE_SDI_ADDR(1, 0), SLUICE_SDI_ADDR(1, 4096), 4));
  const sluice_sdi_counters& c = bench.counters();
  cr_expect(same(c.host_bytes_read, 1004u) && same(c.bytes_written, 1030u));
  cr_expect(same(c.bytes_read, 230u) && same(c.host_bytes_written, 204u));
  cr_expect(same(c.entries, 4u) && c.cycles > 0 && c.nanoseconds > 0);
}
