// SPDX-License-Identifier: Apache-2.0
// Requests, doorbells and interrupts word by word, as a driver that gets them wrong sees them;
// sleep and reset.
#include <sys/mman.h>

#include <csignal>

#include "emu_raw.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_control, .timeout = 240);

Test(emu_control, identification) {
  RawBoard b;
  const sluice_sdi_control& c = b.r.control();
  cr_expect(same(c.magic, SLUICE_SDI_MAGIC) && same(c.version, SLUICE_SDI_VERSION));
  cr_expect(same(c.memory_size, 4u << 20) && same(c.n_queues, 7u) && same(c.n_vectors, 8u));
  cr_expect(same(c.status, SLUICE_SDI_STATUS_READY) && same(c.irq_mask, ~uint64_t{0}));
  cr_expect(same(c.n_resets, 0u) && same(c.acknowledge, 0u));
  cr_expect(c.capabilities & SLUICE_SDI_CAP_EXACT && c.capabilities & SLUICE_SDI_CAP_NOTIFY);
}

Test(emu_control, requests_have_results) {
  RawBoard b;
  cr_expect(b.request(77) == SLUICE_SDI_RESULT_UNKNOWN);
  cr_expect(b.request(0) == SLUICE_SDI_RESULT_UNKNOWN);
  cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 7) == SLUICE_SDI_RESULT_INVALID);
  cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, ~0ull) == SLUICE_SDI_RESULT_INVALID);
  cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_DISABLE, 0) == SLUICE_SDI_RESULT_STATE);
  cr_expect(b.request(SLUICE_SDI_ACTION_SEGMENTS, 0) == SLUICE_SDI_RESULT_STATE);
  cr_expect(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 0) == SLUICE_SDI_RESULT_STATE);
  cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_DISABLE, 0) == SLUICE_SDI_RESULT_OK);
  cr_expect(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_expect(same(b.status_of(nop_entry()), SLUICE_SDI_OK));
}

Test(emu_control, queue_setups_are_checked) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_assert(b.request(SLUICE_SDI_ACTION_QUEUE_DISABLE, 0) == SLUICE_SDI_RESULT_OK);
  const sluice_sdi_queue good = b.r.queue(0);
  struct Case {
    void (*spoil)(sluice_sdi_queue&);
    uint32_t result;
  };
  const Case cases[] = {
      {[](sluice_sdi_queue& q) { q.n_entries = 0; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.n_entries = 1; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.n_entries = 48; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.n_entries = 1u << 31; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.n_segments = 0; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.n_segments = UINT32_MAX; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.vector = 8; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.coalesce_us = 1'000'001; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.sq_base += 32; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.cq_base += 16; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.segments += 32; }, SLUICE_SDI_RESULT_INVALID},
      {[](sluice_sdi_queue& q) { q.sq_base = 0; }, SLUICE_SDI_RESULT_DMA},
      {[](sluice_sdi_queue& q) { q.sq_base = ~uint64_t{63}; }, SLUICE_SDI_RESULT_DMA},
      {[](sluice_sdi_queue& q) { q.cq_base = RawBoard::kBus + RawBoard::kHostBytes - 64; },
       SLUICE_SDI_RESULT_DMA},
      {[](sluice_sdi_queue& q) { q.segments = RawBoard::kBus + RawBoard::kHostBytes; },
       SLUICE_SDI_RESULT_DMA},
  };
  for (const Case& c : cases) {
    b.r.queue(0) = good;
    c.spoil(b.r.queue(0));
    cr_expect(b.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 0) == c.result, "case %zu",
              static_cast<size_t>(&c - cases));
  }
}

Test(emu_control, segment_tables_are_checked) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  const uint32_t rw = SLUICE_SDI_SEGMENT_READ | SLUICE_SDI_SEGMENT_WRITE;
  struct Case {
    sluice_sdi_segment entry;
    uint32_t result;
  };
  const uint64_t size = b.memory.size();
  const Case cases[] = {
      {{0, size, rw, 0, 0}, SLUICE_SDI_RESULT_OK},
      {{0, size + 1, rw, 0, 0}, SLUICE_SDI_RESULT_INVALID},
      {{size, 1, rw, 0, 0}, SLUICE_SDI_RESULT_INVALID},
      {{~uint64_t{0}, 2, rw, 0, 0}, SLUICE_SDI_RESULT_INVALID},
      {{0, ~uint64_t{0}, rw, 0, 0}, SLUICE_SDI_RESULT_INVALID},
      {{0, 4096, rw | 16, 0, 0}, SLUICE_SDI_RESULT_INVALID},
      {{0, 4096, rw, 12, 0}, SLUICE_SDI_RESULT_INVALID},
      {{0, 4096, rw, 0, 1}, SLUICE_SDI_RESULT_INVALID},
      {{0, 4096, rw | SLUICE_SDI_SEGMENT_PAGED, 12, 0}, SLUICE_SDI_RESULT_INVALID},
      {{RawBoard::kBus, 4096, rw | SLUICE_SDI_SEGMENT_PAGED | SLUICE_SDI_SEGMENT_HOST, 11, 0},
       SLUICE_SDI_RESULT_INVALID},
      {{64, 4096, rw | SLUICE_SDI_SEGMENT_PAGED | SLUICE_SDI_SEGMENT_HOST, 12, 0},
       SLUICE_SDI_RESULT_DMA},
      {{0, uint64_t{1} << 48, rw | SLUICE_SDI_SEGMENT_PAGED | SLUICE_SDI_SEGMENT_HOST, 12, 0},
       SLUICE_SDI_RESULT_DMA},
      {{0, 4096, rw | SLUICE_SDI_SEGMENT_HOST, 0, 0}, SLUICE_SDI_RESULT_DMA},
      {{12345, 0, 0, 0, 0}, SLUICE_SDI_RESULT_OK},
  };
  auto* table = reinterpret_cast<sluice_sdi_segment*>(b.host.data() + RawBoard::kTable);
  for (const Case& c : cases) {
    table[2] = c.entry;
    cr_expect(b.request(SLUICE_SDI_ACTION_SEGMENTS, 0) == c.result, "case %zu",
              static_cast<size_t>(&c - cases));
    // What was there before is still granted.
    cr_expect(same(b.status_of(copy_entry(0, 4096, 64)), SLUICE_SDI_OK));
  }
}

// A table that changes without a request is not looked at.
Test(emu_control, a_segment_table_is_a_snapshot) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  b.set_segment(2, 0, 4096, SLUICE_SDI_SEGMENT_READ);
  b.set_segment(0, 0, 0, 0);
  cr_expect(same(b.status_of(copy_entry(SLUICE_SDI_ADDR(2, 0), SLUICE_SDI_ADDR(1, 0), 64)),
                 SLUICE_SDI_E_SEGMENT));
  cr_expect(same(b.status_of(copy_entry(0, 4096, 64)), SLUICE_SDI_OK));
}

Test(emu_control, a_tail_too_far_ahead_halts_the_queue) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_expect(same(b.status_of(nop_entry()), SLUICE_SDI_OK));
  emu::store(b.r.doorbell(0).sq_tail, b.tail + RawBoard::kEntries + 1);
  b.board->notify();
  cr_assert(RawBoard::eventually([&] { return emu::load(b.r.control().n_faults) == 1; }));
  cr_expect(same(b.r.control().first_fault.status, SLUICE_SDI_E_RING));
  b.submit(nop_entry());
  b.board->notify();
  cr_expect(!b.collect(30ms));
  cr_assert(b.request(SLUICE_SDI_ACTION_QUEUE_DISABLE, 0) == SLUICE_SDI_RESULT_OK);
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_expect(same(b.status_of(nop_entry()), SLUICE_SDI_OK));
  cr_assert(b.request(SLUICE_SDI_ACTION_CLEAR_FAULTS) == SLUICE_SDI_RESULT_OK);
  cr_expect(same(emu::load(b.r.control().n_faults), 0u));
  cr_expect(same(b.r.control().first_fault.status, 0u));
}

Test(emu_control, a_full_completion_ring_is_waited_for) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  for (uint32_t i = 0; i < RawBoard::kEntries; ++i) b.submit(nop_entry(i));
  const auto entries = [&] { return emu::load(b.r.counters().entries); };
  cr_assert(RawBoard::eventually([&] { return entries() == RawBoard::kEntries; }));
  // The owner submits more without having consumed anything.
  for (uint32_t i = 0; i < 10; ++i) b.submit(nop_entry(RawBoard::kEntries + i));
  std::this_thread::sleep_for(20ms);
  cr_expect(same(entries(), RawBoard::kEntries));
  // And says that it has consumed more than there is.
  emu::store(b.r.doorbell(0).cq_head, 1000000u);
  b.board->notify();
  std::this_thread::sleep_for(20ms);
  cr_expect(same(entries(), RawBoard::kEntries));
  for (uint32_t i = 0; i < RawBoard::kEntries + 10; ++i) {
    const auto done = b.collect();
    if (emu::load(b.r.doorbell(0).idle)) b.board->notify();
    cr_assert(done && done->id == i, "entry %u", i);
  }
}

Test(emu_control, interrupts_are_masked_counted_and_coalesced) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  const auto n = [&] { return b.n_interrupts[1].load(); };
  b.status_of(nop_entry());
  cr_expect(same(n(), 0u) && same(emu::load(b.r.control().irq_events), 0u));
  emu::store(b.r.control().irq_mask, ~uint64_t{2});
  for (int i = 0; i < 10; ++i) b.status_of(nop_entry());
  cr_assert(RawBoard::eventually([&] { return n() == 10; }));
  cr_expect(same(emu::load(b.r.control().irq_events), 10u));
  cr_expect(same(emu::load(b.r.counters().interrupts), 10u));
  // Faults have vector 0, which is masked here.
  QueueEntry bad = nop_entry();
  bad.opcode = 99;
  b.status_of(bad);
  cr_expect(same(b.n_interrupts[0].load(), 0u));
  emu::store(b.r.control().irq_mask, 0u);
  b.status_of(bad);
  cr_assert(RawBoard::eventually([&] { return b.n_interrupts[0] == 1; }));

  cr_assert(b.request(SLUICE_SDI_ACTION_QUEUE_DISABLE, 0) == SLUICE_SDI_RESULT_OK);
  cr_assert(same(b.enable_queue(4, 300'000), SLUICE_SDI_RESULT_OK));
  const uint32_t before = n();
  for (int i = 0; i < 3; ++i) b.status_of(nop_entry());
  cr_expect(same(n(), before));
  b.status_of(nop_entry());
  cr_assert(RawBoard::eventually([&] { return n() == before + 1; }));
  const auto start = std::chrono::steady_clock::now();
  b.status_of(nop_entry());
  cr_expect(same(n(), before + 1));
  cr_assert(RawBoard::eventually([&] { return n() == before + 2; }));
  cr_expect(std::chrono::steady_clock::now() - start >= 290ms);
}

// A line instead of vectors: up while there is an event that was not seen and is not masked.
Test(emu_control, a_line_is_held_until_it_is_seen) {
  RawBoard b(small_board(), 4 << 20, true);
  sluice_sdi_control& c = b.r.control();
  const auto is_up = [&](bool up) {
    b.board->notify();
    if (!RawBoard::eventually([&] { return b.line_up == up; })) return false;
    std::this_thread::sleep_for(5ms);
    return b.line_up == up;
  };
  cr_assert(same(c.n_vectors, 1u) && same(b.enable_queue(), SLUICE_SDI_RESULT_INVALID));
  cr_assert(same(b.enable_queue(0, 0, 0), SLUICE_SDI_RESULT_OK));
  b.status_of(nop_entry());
  cr_expect(is_up(false) && same(emu::load(c.irq_events), 0u), "masked, and yet it is up");
  emu::store(c.irq_mask, 0u);
  for (uint64_t i = 1; i < 4; ++i) {
    b.status_of(nop_entry());
    cr_expect(is_up(true) && same(emu::load(c.irq_events), i));
    emu::store(c.irq_seen, i - 1);
    cr_expect(is_up(true), "an event that is older is not the latest");
    emu::store(c.irq_mask, 1u);
    cr_expect(is_up(false));
    emu::store(c.irq_mask, 0u);
    cr_expect(is_up(true));
    emu::store(c.irq_seen, i);
    cr_expect(is_up(false));
  }
  b.status_of(nop_entry());
  cr_expect(is_up(true));
  cr_assert(b.request(SLUICE_SDI_ACTION_RESET) == SLUICE_SDI_RESULT_OK);
  cr_expect(is_up(false) && same(b.n_interrupts[0].load(), 0u));
  // Switched off it lets go.
  cr_assert(same(b.enable_queue(0, 0, 0), SLUICE_SDI_RESULT_OK));
  emu::store(c.irq_mask, 0u);
  b.status_of(nop_entry());
  cr_expect(is_up(true));
  b.board.reset();
  cr_expect(!b.line_up);
}

Test(emu_control, a_pause_holds_entries_back) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_assert(b.request(SLUICE_SDI_ACTION_PAUSE) == SLUICE_SDI_RESULT_OK);
  b.submit(nop_entry(5));
  cr_expect(!b.collect(30ms));
  cr_assert(b.request(SLUICE_SDI_ACTION_RESUME) == SLUICE_SDI_RESULT_OK);
  const auto done = b.collect();
  cr_expect(done && same(done->id, 5u));
  cr_assert(b.request(SLUICE_SDI_ACTION_PAUSE) == SLUICE_SDI_RESULT_OK);
  cr_assert(b.request(SLUICE_SDI_ACTION_RESET) == SLUICE_SDI_RESULT_OK);
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  cr_expect(same(b.status_of(nop_entry()), SLUICE_SDI_OK));
}

Test(emu_control, a_reset_takes_everything_back) {
  RawBoard b;
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  emu::store(b.r.control().irq_mask, 0u);
  for (int i = 0; i < 5; ++i) b.status_of(nop_entry());
  cr_assert(b.request(SLUICE_SDI_ACTION_RESET) == SLUICE_SDI_RESULT_OK);
  const sluice_sdi_control& c = b.r.control();
  cr_expect(same(c.n_resets, 1u) && same(c.irq_mask, ~uint64_t{0}) && same(c.irq_events, 0u));
  cr_expect(same(c.magic, SLUICE_SDI_MAGIC) && same(c.status, SLUICE_SDI_STATUS_READY));
  cr_expect(same(emu::load(b.r.counters().entries), 0u));
  cr_expect(same(emu::load(b.r.doorbell(0).sq_tail), 0u) && emu::load(b.r.doorbell(0).idle) != 0);
  emu::store(b.r.doorbell(0).sq_tail, 3u);
  b.board->notify();
  std::this_thread::sleep_for(10ms);
  cr_expect(same(emu::load(b.r.counters().entries), 0u));
  b.board->power_cycle();
  cr_expect(same(c.n_resets, 0u) && same(emu::load(c.acknowledge), 0u));
}

// Within the time of a piece, not of the whole entry.
Test(emu_control, a_reset_stops_what_is_under_way) {
  constexpr uint64_t kMemory = uint64_t{1} << 30;
  RawBoard b(small_board(), kMemory);
  for (int i = 0; i < 5; ++i) {
    cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
    b.submit(copy_entry(0, kMemory / 2, kMemory / 2));
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    cr_assert(b.request(i % 2 ? SLUICE_SDI_ACTION_QUEUE_DISABLE : SLUICE_SDI_ACTION_RESET, 0) ==
              SLUICE_SDI_RESULT_OK);
    const auto& slot = *reinterpret_cast<Completion*>(b.host.data() + RawBoard::kCq);
    const uint16_t phase = slot.phase;
    std::this_thread::sleep_for(5ms);
    cr_expect(same(slot.phase, phase));
  }
}

// The race that the protocol is made for: whoever stores a doorbell and reads `idle` is seen, or
// sees. The owner's delay wanders over the moment at which the board falls asleep.
Test(emu_control, no_doorbell_is_lost_over_100000_sleeps) {
  RawBoard b;
  b.board->set_spin(0ns);
  cr_assert(same(b.enable_queue(), SLUICE_SDI_RESULT_OK));
  const uint32_t n = lightest() ? 500 : light() ? 5000 : 100'000;
  const uint64_t before = b.board->n_sleeps();
  std::atomic<uint32_t> sink{0};
  std::mt19937 rng(1);
  for (uint32_t i = 0; b.board->n_sleeps() - before < n; ++i) {
    for (uint32_t spin = rng() % 2000; spin > 0; --spin)
      sink.store(spin, std::memory_order_relaxed);
    b.submit(nop_entry(i));
    auto& slot = reinterpret_cast<Completion*>(b.host.data() + RawBoard::kCq)[b.head % 64];
    const uint16_t phase = b.head / 64 % 2 == 0 ? 1 : 0;
    const auto start = std::chrono::steady_clock::now();
    for (uint32_t look = 0; emu::load(slot.phase) != phase; ++look) {
      if (look % 1024 == 1023) std::this_thread::yield();
      cr_assert(look % 1024 != 0 || std::chrono::steady_clock::now() - start < 10s,
                "doorbell %u was lost", i);
    }
    cr_assert(same(slot.id, i));
    emu::store(b.r.doorbell(0).cq_head, ++b.head);
  }
}

Test(emu_control, a_device_reset_with_work_in_flight) {
  Bench bench;
  const Memory device = must(bench.device.allocate(MemoryKind::kDevice, 48 << 20));
  const Memory host = must(bench.device.allocate(MemoryKind::kCoherent, 8192));
  must(bench.queue.grant(0, device, Access::kReadWrite));
  std::memset(bytes_of(must(device.map())), 0x11, 4096);
  std::memset(bytes_of(must(host.map())), 0x22, 8192);
  const std::vector<QueueEntry> work(32, copy_entry(0, 24 << 20, 24 << 20));
  must(bench.queue.submit(work));
  must(bench.device.reset());
  std::vector<Completion> done(64);
  cr_expect(is_error(bench.queue.wait(done, 5s), ECONNRESET, {"reset"}) ||
            bench.queue.n_in_flight() < 32);
  const QueueEntry entry = nop_entry();
  cr_expect(is_error(bench.queue.submit(std::span(&entry, 1)), ECONNRESET, {"reset"}));
  cr_expect(is_error(bench.queue.grant(1, host, Access::kRead), ECONNRESET, {"reset"}));
  // Objects are still there: device memory without its contents, host memory with them.
  cr_expect(bytes_of(must(device.map()))[5] == std::byte{0});
  cr_expect(bytes_of(must(host.map()))[8191] == std::byte{0x22});
  Queue queue = must(Queue::create(bench.device));
  must(queue.grant(0, host, Access::kRead));
  must(queue.grant(1, device, Access::kReadWrite));
  cr_expect(
      same(Bench::finish(queue, copy_entry(0, SLUICE_SDI_ADDR(1, 0), 8192)).status, SLUICE_SDI_OK));
  cr_expect(bytes_of(must(device.map()))[4095] == std::byte{0x22});
  cr_expect(same(must(bench.device.info()).n_resets, 1u));
}

Test(emu_control, a_reset_takes_mappings_back) {
  Bench bench;
  for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kCoherent}) {
    const Memory memory = must(bench.device.allocate(kind, 4096));
    const Mapping map = must(memory.map());
    cr_expect(map.read(0).has_value());
    must(bench.device.reset());
    cr_expect(is_error(map.read(0), ECONNRESET, {"taken back"}));
    cr_expect(must(memory.map()).read(0).has_value());
  }
}

Test(emu_control, a_device_keeps_its_registers_to_itself) {
  Bench bench;
  Device& d = bench.device;
  for (const uint64_t page : {1, 2, 4, 15, 16, 17}) {
    cr_expect(is_error(d.map(0, page * 4096, 4096, MemoryType::kNative, true), EPERM, {"page"}));
  }
  cr_expect(is_error(d.map(0, 0, 4096), EPERM, {"read-only"}));
  cr_expect(is_error(d.map(0, 0, 0, MemoryType::kNative, true), EPERM, {"page 1"}));
  cr_expect(is_error(d.map(0, 0, 4096, MemoryType::kCached, true), EOPNOTSUPP, {"uncached"}));
  cr_expect(is_error(d.map(1, 0, 4096), EOPNOTSUPP, {"cannot be mapped"}));
  cr_expect(is_error(d.map(2, 0, 4096), ENXIO, {"window"}));
  cr_expect(is_error(d.map(0, 1, 4096, MemoryType::kNative, true), EINVAL, {"page size"}));
  cr_expect(is_error(d.map(0, 1 << 30, 4096, MemoryType::kNative, true), ERANGE, {"past the end"}));
  cr_expect(same(must(d.read_register(0, 0)), SLUICE_SDI_MAGIC));
  cr_expect(same(must(d.read_register(0, 0, 8)), SLUICE_SDI_MAGIC & 0xff));
  cr_expect(
      same(must(d.poll_register(0, 0, 0xff00, SLUICE_SDI_MAGIC & 0xff00, 1s)), SLUICE_SDI_MAGIC));
  cr_expect(is_error(d.poll_register(0, 0, 0xff, 0, 10ms), ETIMEDOUT, {"reads 0x"}));
  cr_expect(is_error(d.read_register(0, 2, 32), EINVAL, {"multiple of 4"}));
  cr_expect(is_error(d.write_register(0, 0x100, 1), EPERM, {"written"}));
  cr_expect(is_error(d.update_register(0, 0x100, 1, 1), EPERM, {"written"}));
  cr_expect(is_error(d.update_register(0, 0x100, 1, 2), EINVAL, {"mask"}));
  cr_expect(is_error(d.read_register(1, 0), EPERM, {"allocated"}));
  cr_expect(same(must(d.windows()).size(), 2u));
}

Test(emu_control, a_device_counts_interrupts) {
  Bench bench;
  cr_expect(!must(bench.device.wait_interrupt(0ms)).has_value() ||
            must(bench.device.arm_interrupt()) > 0);
  const uint64_t armed = must(bench.device.arm_interrupt());
  cr_expect(!must(bench.device.wait_interrupt(20ms)).has_value());
  bench.finish(nop_entry());
  cr_expect(same(must(bench.device.wait_interrupt(5000ms)).value_or(0), armed + 1));
}
