// SPDX-License-Identifier: Apache-2.0
// Faults: how they are written, and what each does to those who use the board.
#include "emu_raw.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_fault, .timeout = 120);

namespace {

EmulatorOptions with_fault(const std::string& text) {
  EmulatorOptions options = small_board();
  options.faults = {must(parse_fault(text))};
  return options;
}

}  // namespace

Test(emu_fault, texts) {
  const Fault hang = must(parse_fault("hang@100"));
  cr_expect(hang.kind == FaultKind::kHang && same(hang.after, 100u) && hang.probability == 0);
  const Fault lost = must(parse_fault("lost-irq:0.01"));
  cr_expect(lost.kind == FaultKind::kLostInterrupt && lost.probability == 0.01);
  const Fault late = must(parse_fault("late@5,250ms"));
  cr_expect(late.kind == FaultKind::kLate && same(late.after, 5u) && same(late.delay_ms, 250u));
  cr_expect(must(parse_fault("removal")).kind == FaultKind::kRemoval);
  cr_expect(must(parse_fault("no-lock,1ms")).kind == FaultKind::kNoLock);
  cr_expect(must(parse_fault("all-ones:1")).kind == FaultKind::kAllOnes);
  cr_expect(must(parse_fault("corrupt@0")).kind == FaultKind::kCorruption);
  for (const char* bad : {"", "hung", "hang@", "hang@x", "hang@-1", "late:0", "late:2", "late:nan",
                          "late@1,5", "late@1,ms", "hang@1:2", "@5", "late,"}) {
    cr_expect(is_error(parse_fault(bad), EINVAL, {"expected KIND"}), "%s", bad);
  }
}

Test(emu_fault, a_board_that_hangs_obeys_a_reset) {
  Bench bench(with_fault("hang@10"));
  for (int i = 0; i < 10; ++i) cr_assert(same(bench.finish(nop_entry()).status, SLUICE_SDI_OK));
  const QueueEntry entry = nop_entry();
  must(bench.queue.submit(std::span(&entry, 1)));
  Completion done;
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 100ms), ETIMEDOUT, {}));
  must(bench.device.reset());
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 1s), ECONNRESET, {"reset"}));
  Queue queue = must(Queue::create(bench.device));
  cr_expect(same(Bench::finish(queue, nop_entry(3)).id, 3u));
}

Test(emu_fault, a_lost_interrupt_costs_time_only) {
  Bench bench(with_fault("lost-irq:1"));
  for (int i = 0; i < 5; ++i) {
    // Long enough for both sides to sleep.
    std::this_thread::sleep_for(5ms);
    const auto start = std::chrono::steady_clock::now();
    cr_expect(same(bench.finish(nop_entry()).status, SLUICE_SDI_OK));
    cr_expect(std::chrono::steady_clock::now() - start < 1s);
  }
  cr_expect(same(bench.counters().interrupts, 0u));
}

Test(emu_fault, all_ones_until_a_reset) {
  Bench bench(with_fault("all-ones@3"));
  for (int i = 0; i < 3; ++i) bench.finish(nop_entry());
  cr_assert(RawBoard::eventually([&] { return bench.control().magic == ~0u; }));
  cr_expect(same(must(bench.device.read_register(0, 0x180)), ~0u));
  const QueueEntry entry = nop_entry();
  must(bench.queue.submit(std::span(&entry, 1)));
  Completion done;
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 5s), EIO, {"all ones"}));
  // Which of its figures is looked at first decides.
  const auto refused = Queue::create(bench.device);
  cr_expect(!refused && (refused.error().code == EINVAL || refused.error().code == EIO));
  must(bench.device.reset());
  cr_expect(same(bench.control().magic, SLUICE_SDI_MAGIC));
  Queue queue = must(Queue::create(bench.device));
  cr_expect(same(Bench::finish(queue, nop_entry(3)).status, SLUICE_SDI_OK));
}

Test(emu_fault, a_late_completion_holds_up_its_own_queue_alone) {
  Bench bench(with_fault("late@0,200ms"));
  Queue other = must(Queue::create(bench.device));
  const auto start = std::chrono::steady_clock::now();
  const QueueEntry entries[] = {nop_entry(1), nop_entry(2)};
  must(bench.queue.submit(entries));
  std::this_thread::sleep_for(20ms);
  cr_expect(same(Bench::finish(other, nop_entry()).status, SLUICE_SDI_OK));
  cr_expect(std::chrono::steady_clock::now() - start < 180ms);
  Completion done[2];
  uint32_t n = must(bench.queue.wait(done, 5s));
  cr_expect(std::chrono::steady_clock::now() - start >= 190ms);
  while (n < 2) n += must(bench.queue.wait(std::span(done).subspan(n), 5s));
  cr_expect(same(done[0].id, 1u) && same(done[1].id, 2u));
}

Test(emu_fault, corrupted_memory_is_noticed) {
  Bench bench(with_fault("corrupt@2"));
  const Memory memory = must(bench.device.allocate(MemoryKind::kDevice, 65536));
  must(bench.queue.grant(0, memory, Access::kReadWrite));
  const Mapping map = must(memory.map());
  const auto count_bits = [&] {
    int n = 0;
    for (size_t i = 0; i < map.size(); ++i)
      n += std::popcount(static_cast<uint8_t>(bytes_of(map)[i]));
    return n;
  };
  for (int i = 0; i < 2; ++i) cr_expect(same(bench.finish(nop_entry()).status, SLUICE_SDI_OK));
  cr_expect(same(count_bits(), 0));
  cr_expect(same(bench.finish(nop_entry()).status, SLUICE_SDI_E_DATA));
  cr_expect(same(count_bits(), 1));
  cr_expect(bench.control().status & SLUICE_SDI_STATUS_FATAL);
  // Contents are lost: nothing is right until a reset.
  cr_expect(same(bench.finish(nop_entry()).status, SLUICE_SDI_E_DATA));
  must(bench.device.reset());
  Queue queue = must(Queue::create(bench.device));
  cr_expect(same(Bench::finish(queue, nop_entry()).status, SLUICE_SDI_OK));
}

Test(emu_fault, a_board_that_is_pulled_out_is_gone_for_good) {
  Bench bench(with_fault("removal@4"));
  Memory memory = must(bench.device.allocate(MemoryKind::kDevice, 4096));
  must(bench.queue.grant(0, memory, Access::kRead));
  for (int i = 0; i < 4; ++i) bench.finish(nop_entry());
  cr_assert(RawBoard::eventually([&] { return !bench.device.info(); }));
  const QueueEntry entry = nop_entry();
  cr_expect(is_error(bench.queue.submit(std::span(&entry, 1)), ENODEV, {"gone"}));
  Completion done;
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 5s), ENODEV, {"gone"}));
  cr_expect(is_error(bench.device.reset(), ENODEV, {"gone"}));
  cr_expect(is_error(bench.device.info(), ENODEV, {"gone"}));
  cr_expect(is_error(bench.device.set_clock(168'000'000), ENODEV, {"gone"}));
  const auto start = std::chrono::steady_clock::now();
  memory = Memory();
  cr_expect(std::chrono::steady_clock::now() - start < 1s);
}

Test(emu_fault, a_sleeper_hears_that_the_board_is_gone) {
  Bench bench(with_fault("removal@1"));
  const QueueEntry entries[] = {nop_entry(), nop_entry()};
  must(bench.queue.submit(entries));
  Completion done[2];
  const auto start = std::chrono::steady_clock::now();
  auto n = bench.queue.wait(std::span(done, 1), 20s);
  if (n) n = bench.queue.wait(std::span(done, 1), 20s);
  cr_expect(is_error(n, ENODEV, {"gone"}));
  cr_expect(std::chrono::steady_clock::now() - start < 5s);
}

Test(emu_fault, a_pll_that_does_not_lock_leaves_a_slow_board) {
  Bench bench(with_fault("no-lock@0"));
  cr_expect(same(must(bench.device.clock()).system_hz, 16'000'000u));
  cr_expect(same(bench.finish(nop_entry()).status, SLUICE_SDI_OK));
  // By script it happens once.
  cr_expect(same(must(bench.device.set_clock(168'000'000)).system_hz, 168'000'000u));
  Bench always(with_fault("no-lock:1"));
  cr_expect(is_error(always.device.set_clock(168'000'000), EIO, {"internal oscillator"}));
  cr_expect(same(always.finish(nop_entry()).status, SLUICE_SDI_OK));
}

Test(emu_fault, chance_follows_the_seed) {
  const auto pattern = [](uint64_t seed) {
    EmulatorOptions options = small_board();
    options.faults = {must(parse_fault("corrupt:0.05"))};
    options.seed = seed;
    RawBoard b(options);
    cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
    for (uint32_t i = 0;; ++i) {
      if (b.status_of(nop_entry(i)) != SLUICE_SDI_OK) return i;
    }
  };
  cr_expect(same(pattern(1), pattern(1)) && same(pattern(2), pattern(2)));
  bool differ = false;
  for (uint64_t seed = 1; seed < 6; ++seed) differ |= pattern(seed) != pattern(seed + 1);
  cr_expect(differ);
}

// Faults of every kind by chance: each request ends in bounded time, as a result or as an error
// that says what to do, and a reset brings the board back.
Test(emu_fault, a_storm) {
  EmulatorOptions options = small_board();
  for (const char* text : {"hang:0.002", "lost-irq:0.01", "all-ones:0.002", "late:0.01,2ms",
                           "corrupt:0.005", "no-lock:0.1"}) {
    options.faults.push_back(must(parse_fault(text)));
  }
  Bench bench(options);
  std::optional<Queue> queue = std::move(bench.queue);
  const uint32_t n_rounds = light() ? 300 : 20'000;
  uint32_t n_resets = 0, n_good = 0;
  for (uint32_t i = 0; i < n_rounds; ++i) {
    const auto done = queue->execute(nop_entry(i), 60ms);
    if (done) {
      ++n_good;
      continue;
    }
    const int code = done.error().code;
    cr_assert(code == ETIMEDOUT || code == EIO || code == ECONNRESET, "%s", why(done));
    ++n_resets;
    must(bench.device.reset());
    queue.reset();
    queue = must(Queue::create(bench.device));
  }
  cr_expect(n_resets > 0 && n_good > n_rounds / 2, "%u resets, %u good", n_resets, n_good);
}
