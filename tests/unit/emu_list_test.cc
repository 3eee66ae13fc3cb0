// SPDX-License-Identifier: Apache-2.0
// Command lists on the board: the CPU's results to the bit, refusals with their place, and owners
// who change lists, steps and segments while they are in use.
#include <atomic>
#include <thread>

#include "emu_support.h"
#include "ops/executor.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_list, .timeout = 120);

namespace {

struct CpuRun {
  SmallModel model;
  std::vector<std::byte> weights = model.weights();
  std::vector<std::byte> scratch = std::vector<std::byte>(model.bytes[kScratch]);
  std::vector<std::byte> kv = std::vector<std::byte>(model.bytes[kKv]);
  CpuRun() {
    Executor executor(**choose_kernels("scalar"), 1);
    const SegmentTable table = {{weights.data(), weights.size(), false},
                                {scratch.data(), scratch.size(), true},
                                {kv.data(), kv.size(), true}};
    const uint32_t handle = must(executor.load(model.list, table));
    must(executor.run(handle, words_of(good_step())));
  }
};

}  // namespace

Test(emu_list, the_board_computes_what_the_cpu_does) {
  const CpuRun cpu;
  for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kCoherent, MemoryKind::kPages}) {
    Bench bench;
    ModelOnBoard m(bench, bench.queue, kind, MemoryKind::kPages);
    const Completion loaded = bench.finish(m.load());
    cr_assert(same(loaded.status, SLUICE_SDI_OK));
    cr_assert(loaded.result != 0);
    cr_assert(same(bench.finish(m.run(loaded.result)).status, SLUICE_SDI_OK));
    cr_expect(m.scratch() == cpu.scratch);
    cr_expect(std::memcmp(bytes_of(m.data[kKv]), cpu.kv.data(), cpu.kv.size()) == 0);
    cr_expect(same(bench.finish(unload_entry(loaded.result)).status, SLUICE_SDI_OK));
    cr_expect(same(bench.finish(m.run(loaded.result)).status, SLUICE_SDI_E_HANDLE));
    cr_expect(same(bench.finish(unload_entry(loaded.result)).status, SLUICE_SDI_E_HANDLE));
  }
}

Test(emu_list, refusals_name_the_place) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const auto n_tensors = static_cast<uint32_t>(m.model.list.tensors.size());
  struct Case {
    void (*spoil)(CommandList&);
    uint16_t status;
    uint32_t index;
  };
  const Case cases[] = {
      {[](CommandList& l) { l.tensors[2].type = 999; }, SLUICE_SDI_E_LIST, 2},
      {[](CommandList& l) { l.tensors[3].address = SLUICE_SDI_ADDR(9, 0); }, SLUICE_SDI_E_SEGMENT,
       3},
      {[](CommandList& l) { l.tensors[1].shape[1] = 1u << 30; }, SLUICE_SDI_E_SEGMENT, 1},
      {[](CommandList& l) { l.commands[3].op = 99; }, SLUICE_SDI_E_LIST, n_tensors + 3},
      {[](CommandList& l) { l.commands[0].dst = 0; }, SLUICE_SDI_E_SEGMENT, n_tensors},
  };
  for (const Case& c : cases) {
    CommandList list = m.model.list;
    c.spoil(list);
    m.put_list(list);
    const Completion done = bench.finish(m.load());
    cr_expect(same(done.status, c.status) && same(done.result, c.index));
  }
  QueueEntry e = m.load();
  e.load.n_tensors = UINT32_MAX;
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_LIMIT));
  e = m.load();
  e.load.address = SLUICE_SDI_ADDR(ModelOnBoard::kHost, ModelOnBoard::kHostBytes - 64);
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_SEGMENT));
}

Test(emu_list, bad_steps_are_refused) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  StepInputs bad = good_step();
  bad.token[0] = kVocab;
  m.put_step(words_of(bad));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_E_STEP));
  m.put_step(m.step);
  QueueEntry e = m.run(handle);
  e.run.step_bytes = 31;
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_STEP));
  e.run.step_bytes = 1u << 30;
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_LIMIT));
  e = m.run(handle + 1);
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_HANDLE));
  e = m.run(handle);
  e.run.step = SLUICE_SDI_ADDR(ModelOnBoard::kHost, ModelOnBoard::kHostBytes - 8);
  cr_expect(same(bench.finish(e).status, SLUICE_SDI_E_SEGMENT));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
}

Test(emu_list, lists_belong_to_their_queue) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const uint32_t handle = bench.finish(m.load()).result;
  Queue other = must(Queue::create(bench.device));
  must(other.grant(ModelOnBoard::kHost, m.host, Access::kRead));
  cr_expect(same(Bench::finish(other, m.run(handle)).status, SLUICE_SDI_E_HANDLE));
  cr_expect(same(Bench::finish(other, unload_entry(handle)).status, SLUICE_SDI_E_HANDLE));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
}

Test(emu_list, a_queue_holds_so_many_lists) {
  Bench bench;
  ModelOnBoard m(bench, bench.queue);
  const uint32_t most = bench.control().max_lists;
  uint32_t first = 0;
  for (uint32_t i = 0; i < most; ++i) {
    const Completion done = bench.finish(m.load());
    cr_assert(same(done.status, SLUICE_SDI_OK));
    if (i == 0) first = done.result;
  }
  cr_expect(same(bench.finish(m.load()).status, SLUICE_SDI_E_LIMIT));
  bench.finish(unload_entry(first));
  cr_expect(same(bench.finish(m.load()).status, SLUICE_SDI_OK));
}

Test(emu_list, a_changed_segment_takes_its_lists_along) {
  Bench bench(small_board(), {.n_segments = 8});
  ModelOnBoard m(bench, bench.queue);
  uint32_t handle = bench.finish(m.load()).result;
  // A segment that the list does not name.
  must(bench.queue.grant(6, m.memory[kKv], Access::kRead));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
  must(bench.queue.revoke(kKv));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_E_HANDLE));
  cr_expect(same(bench.finish(m.load()).status, SLUICE_SDI_E_SEGMENT));
  must(bench.queue.grant(kKv, m.memory[kKv], Access::kReadWrite, 0, m.model.bytes[kKv]));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_E_HANDLE));
  handle = bench.finish(m.load()).result;
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_OK));
  // Fewer rights than before.
  must(bench.queue.grant(kScratch, m.memory[kScratch], Access::kRead, 0, m.model.bytes[kScratch]));
  cr_expect(same(bench.finish(m.run(handle)).status, SLUICE_SDI_E_HANDLE));
  cr_expect(same(bench.finish(m.load()).status, SLUICE_SDI_E_SEGMENT));
}

// An owner who scribbles over list and step while the board reads them: each entry fails or
// succeeds, and memory that was not granted, before and behind what was, stays as it is.
Test(emu_list, lists_and_steps_change_while_they_are_read) {
  Bench bench;
  Memory guard[2] = {must(bench.device.allocate(MemoryKind::kDevice, 1 << 20)), Memory()};
  ModelOnBoard m(bench, bench.queue);
  guard[1] = must(bench.device.allocate(MemoryKind::kDevice, 1 << 20));
  Mapping guard_map[2];
  for (int i = 0; i < 2; ++i) {
    guard_map[i] = must(guard[i].map());
    std::memset(bytes_of(guard_map[i]), 0x5a, guard_map[i].size());
  }
  const auto weights = m.model.weights();
  const size_t list_bytes = m.model.list.tensors.size() * 64 + m.model.list.commands.size() * 64;
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    std::mt19937 rng(5);
    auto* list = reinterpret_cast<volatile uint8_t*>(bytes_of(m.host_data));
    auto* step = list + ModelOnBoard::kStepAt;
    const auto* good = reinterpret_cast<const uint8_t*>(m.step.data());
    while (!stop) {
      const bool in_list = rng() % 2 == 0;
      const size_t at = rng() % (in_list ? list_bytes : m.step.size() * 4);
      volatile uint8_t& byte = in_list ? list[at] : step[at];
      const uint8_t before = in_list ? byte : good[at];
      byte = static_cast<uint8_t>(rng());
      byte = before;
    }
  });
  const int n_rounds = light() ? 300 : 20'000;
  int n_good = 0, n_bad = 0;
  for (int i = 0; i < n_rounds; ++i) {
    const Completion loaded = bench.finish(m.load());
    if (loaded.status != SLUICE_SDI_OK) {
      ++n_bad;
      continue;
    }
    const Completion ran = bench.finish(m.run(loaded.result));
    (ran.status == SLUICE_SDI_OK ? n_good : n_bad)++;
    bench.finish(unload_entry(loaded.result));
  }
  stop = true;
  scribbler.join();
  cr_expect(n_good > 0);
  for (const Mapping& map : guard_map) {
    const std::byte* at = bytes_of(map);
    cr_expect(std::all_of(at, at + map.size(), [](std::byte b) { return b == std::byte{0x5a}; }));
  }
  cr_expect(std::memcmp(bytes_of(m.data[kWeights]), weights.data(), weights.size()) == 0);
}
