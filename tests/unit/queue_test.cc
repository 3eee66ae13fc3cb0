// SPDX-License-Identifier: Apache-2.0
// Queues on a board within the process: rings over many wraps, waiting, errors, several at once.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "core/cpu.h"
#include "emu_support.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(queue, .timeout = 120);

Test(queue, completions_come_in_order_over_many_wraps) {
  for (const uint32_t n_entries : {2u, 4u, 64u, 1024u}) {
    Bench bench(small_board(), {.n_entries = n_entries});
    std::mt19937 rng(n_entries);
    const uint32_t total = light() ? n_entries * 20 : n_entries * 300 + 7;
    std::vector<Completion> done(n_entries);
    uint32_t sent = 0, seen = 0;
    while (seen < total) {
      std::vector<QueueEntry> batch;
      const uint32_t room = n_entries - bench.queue.n_in_flight();
      const auto n = std::min<uint32_t>(room ? rng() % (room + 1) : 0, total - sent);
      for (uint32_t i = 0; i < n; ++i) batch.push_back(nop_entry(sent + i));
      must(bench.queue.submit(batch));
      sent += n;
      if (bench.queue.n_in_flight() == 0) continue;
      const uint32_t got = must(bench.queue.wait(done, 20s));
      for (uint32_t i = 0; i < got; ++i, ++seen) {
        cr_assert(same(done[i].id, seen) && same(done[i].status, SLUICE_SDI_OK));
        cr_assert(same(done[i].sq_head, seen + 1));
        cr_assert(same(done[i].phase, seen / n_entries % 2 == 0 ? 1 : 0));
      }
    }
    cr_expect(same(bench.queue.n_in_flight(), 0u));
  }
}

Test(queue, a_full_ring_takes_nothing) {
  Bench bench(small_board(), {.n_entries = 8});
  const std::vector<QueueEntry> nine(9);
  cr_expect(is_error(bench.queue.submit(nine), EAGAIN, {"9 entries", "room for 8"}));
  cr_expect(same(bench.queue.n_in_flight(), 0u));
  must(bench.queue.submit(std::span(nine).first(8)));
  cr_expect(is_error(bench.queue.submit(std::span(nine).first(1)), EAGAIN, {"room for 0"}));
  std::vector<Completion> done(8);
  for (uint32_t seen = 0; seen < 8;) seen += must(bench.queue.wait(done, 20s));
  must(bench.queue.submit(std::span(nine).first(8)));
}

Test(queue, options_and_arguments_are_checked) {
  Bench bench;
  cr_expect(is_error(Queue::create(bench.device, {.n_entries = 3}), EINVAL, {"power of two"}));
  cr_expect(is_error(Queue::create(bench.device, {.n_entries = 1}), EINVAL, {"power of two"}));
  cr_expect(is_error(Queue::create(bench.device, {.n_entries = 1u << 20}), EINVAL, {"up to"}));
  cr_expect(is_error(Queue::create(bench.device, {.n_segments = 0}), EINVAL, {"segment"}));
  cr_expect(is_error(Queue::create(bench.device, {.n_segments = 1u << 20}), EINVAL, {"segments"}));
  Completion done;
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 1s), EINVAL, {"nothing to wait for"}));
  const Memory memory = must(bench.device.allocate(MemoryKind::kDevice, 4096));
  cr_expect(is_error(bench.queue.grant(16, memory, Access::kRead), EINVAL, {"segment 16"}));
  cr_expect(is_error(bench.queue.grant(0, memory, Access::kRead, 4097), ERANGE, {"4097"}));
  cr_expect(is_error(bench.queue.grant(0, memory, Access::kRead, 1, 4096), ERANGE, {"4096"}));
  Bench other;
  cr_expect(is_error(other.queue.grant(0, memory, Access::kRead), EINVAL, {"not this board's"}));
}

Test(queue, queues_are_given_out_once) {
  EmulatorOptions options = small_board();
  options.n_queues = 2;
  Bench bench(options);
  cr_expect(same(must(bench.device.info()).n_queues_free, 1u));
  {
    const Queue second = must(Queue::create(bench.device));
    cr_expect(same(second.index(), 1u));
    cr_expect(is_error(Queue::create(bench.device), EBUSY, {"all 2 queues"}));
  }
  Queue again = must(Queue::create(bench.device));
  cr_expect(same(Bench::finish(again, nop_entry(5)).id, 5u));
}

Test(queue, a_wait_ends_in_time) {
  EmulatorOptions options = small_board();
  options.faults = {must(parse_fault("late@0,300ms"))};
  Bench bench(options);
  const QueueEntry entry = nop_entry(9);
  must(bench.queue.submit(std::span(&entry, 1)));
  Completion done{};
  const auto start = std::chrono::steady_clock::now();
  cr_expect(is_error(bench.queue.wait(std::span(&done, 1), 50ms), ETIMEDOUT, {"no completion"}));
  const auto took = std::chrono::steady_clock::now() - start;
  cr_expect(took >= 50ms && took < 250ms);
  cr_expect(same(must(bench.queue.wait(std::span(&done, 1), -1ns)), 1u));
  cr_expect(same(done.id, 9u));
  cr_expect(std::chrono::steady_clock::now() - start >= 290ms);
}

Test(queue, statuses_have_names) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < SLUICE_SDI_N_STATUS; ++i) names.emplace_back(completion_status_name(i));
  std::sort(names.begin(), names.end());
  cr_expect(std::unique(names.begin(), names.end()) == names.end());
  cr_expect(same(std::string(completion_status_name(SLUICE_SDI_N_STATUS)), "unknown status"));
  Bench bench;
  QueueEntry bad = nop_entry(3);
  bad.opcode = 77;
  cr_expect(is_error(bench.queue.execute(bad, 20s), EIO, {"entry 3", "unknown opcode"}));
}

Test(queue, entries_are_checked_word_by_word) {
  Bench bench;
  const QueueEntry good[] = {nop_entry(), copy_entry(0, 4096, 64), unload_entry(1),
                             run_entry(1, 0, 32)};
  const uint32_t used[] = {0, 3, 1, 2};
  for (size_t i = 0; i < std::size(good); ++i) {
    QueueEntry e = good[i];
    e.flags = 1;
    cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_FIELD));
    for (size_t word = used[i]; word < std::size(e.words); ++word) {
      e = good[i];
      e.words[word] = uint64_t{1} << 63;
      cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_FIELD), "opcode %u word %zu", e.opcode,
                word);
    }
  }
  QueueEntry e = unload_entry(1);
  e.run.step_bytes = 1;
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_FIELD));
  for (uint32_t opcode = SLUICE_SDI_ENTRY_FENCE + 1; opcode < 65536; opcode += 4099) {
    e = nop_entry();
    e.opcode = static_cast<uint16_t>(opcode);
    cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_OPCODE));
  }
}

Test(queue, four_threads_on_four_queues) {
  Bench bench;
  const uint32_t n_rounds = light() ? 200 : 5000;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      auto queue = Queue::create(bench.device, {.n_entries = 16});
      auto memory = bench.device.allocate(MemoryKind::kDevice, 8192);
      if (!queue || !memory || !queue->grant(t, *memory, Access::kReadWrite)) {
        ++failures;
        return;
      }
      const auto map = memory->map();
      std::vector<Completion> done(16);
      for (uint32_t i = 0; i < n_rounds; ++i) {
        std::memset(bytes_of(*map), static_cast<int>(t * 64 + i % 64), 4096);
        const QueueEntry entries[] = {
            nop_entry(i), copy_entry(SLUICE_SDI_ADDR(t, 0), SLUICE_SDI_ADDR(t, 4096), 4096, i),
            copy_entry(SLUICE_SDI_ADDR((t + 1) % 4, 0), SLUICE_SDI_ADDR(t, 4096), 64, i)};
        if (!queue->submit(entries)) ++failures;
        for (uint32_t seen = 0; seen < 3;) {
          const auto n = queue->wait(done, 20s);
          if (!n) {
            ++failures;
            return;
          }
          for (uint32_t k = 0; k < *n; ++k, ++seen) {
            const uint16_t expected = seen < 2 ? SLUICE_SDI_OK : SLUICE_SDI_E_SEGMENT;
            if (done[k].id != i || done[k].status != expected) ++failures;
          }
        }
        if (std::memcmp(bytes_of(*map), bytes_of(*map) + 4096, 4096) != 0) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cr_expect(same(failures.load(), 0));
  cr_expect(same(bench.control().n_faults, uint64_t{4} * n_rounds));
}

// The figure that the interface was designed for. The best of many rounds: other programs may have
// the processors in some of them. Other tests would have them in all: tests/unit/run has it run by
// itself.
Test(queue, a_round_trip_takes_less_than_two_microseconds) {
  if (light() || usable_cpus() < 2) cr_skip_test("needs two processors at full speed");
  if (!std::getenv("SLUICE_TEST_ALONE")) cr_skip_test("runs by itself, with SLUICE_TEST_ALONE=1");
  double load = 0;
  getloadavg(&load, 1);
  if (load > 2 * usable_cpus()) cr_skip_test("the machine is busy with other things");
  Bench bench;
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  const QueueEntry entry = nop_entry();
  Completion done;
  for (int round = 0; round < 200 && best > 1; ++round) {
    std::vector<double> times;
    for (int i = 0; i < 500; ++i) {
      const auto start = Clock::now();
      must(bench.queue.submit(std::span(&entry, 1)));
      while (must(bench.queue.poll(std::span(&done, 1))) == 0) {
      }
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + 250, times.end());
    best = std::min(best, times[250]);
  }
  cr_expect(best < 2.0, "%.2f us", best);
}
