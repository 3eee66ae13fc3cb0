// SPDX-License-Identifier: Apache-2.0
// Segments: what was not granted cannot be reached, whichever way it is asked for.
#include <algorithm>
#include <thread>

#include "emu_support.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_segments, .timeout = 240);

namespace {

constexpr uint64_t kBytes = 3 * 4096;
constexpr uint64_t kTop = (uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1;

// Segments 0: read, 1: write, 2: both, 3: never granted, 4: both, scattered host memory, 5 to 7:
// granted and taken back; 8 on: past the table.
struct Grants {
  Memory memory[8];
  explicit Grants(Bench& bench, Queue& queue) {
    for (uint32_t i = 0; i < 8; ++i) {
      const MemoryKind kind = i == 4 ? MemoryKind::kPages : MemoryKind::kDevice;
      memory[i] = must(bench.device.allocate(kind, i == 4 ? 1 << 20 : kBytes));
      const Access access = i == 0 ? Access::kRead : i == 1 ? Access::kWrite : Access::kReadWrite;
      if (i != 3) must(queue.grant(i, memory[i], access, 0, kBytes));
    }
    for (uint32_t i = 5; i < 8; ++i) must(queue.revoke(i));
  }
};

bool granted(uint64_t address, uint64_t length, bool write) {
  const uint64_t segment = address >> SLUICE_SDI_OFFSET_BITS, offset = address & kTop;
  const bool right = write ? segment == 1 || segment == 2 || segment == 4
                           : segment == 0 || segment == 2 || segment == 4;
  return right && offset <= kBytes && length <= kBytes - offset;
}

}  // namespace

Test(emu_segments, edges) {
  Bench bench(small_board(), {.n_segments = 8});
  const Grants grants(bench, bench.queue);
  const uint64_t offsets[] = {0, 1, kBytes - 1, kBytes, kBytes + 1, kTop - 1, kTop};
  const uint64_t lengths[] = {1,    2,        kBytes - 1,        kBytes,     kBytes + 1,
                              kTop, kTop + 1, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - kBytes};
  uint64_t n_faults = 0;
  for (uint32_t segment = 0; segment < 9; ++segment) {
    for (const uint64_t offset : offsets) {
      for (const uint64_t length : lengths) {
        const uint64_t address = SLUICE_SDI_ADDR(segment, offset);
        for (const bool write : {false, true}) {
          // The other side is always granted where the length allows.
          const uint64_t other = SLUICE_SDI_ADDR(segment == 2 ? (write ? 0 : 1) : 2, 0);
          const QueueEntry entry =
              write ? copy_entry(other, address, length) : copy_entry(address, other, length);
          const bool good = granted(address, length, write) && length <= kBytes;
          const uint16_t expected = good ? SLUICE_SDI_OK : SLUICE_SDI_E_SEGMENT;
          cr_assert(same(bench.finish(entry).status, expected),
                    "segment %u offset %#lx length %#lx", segment, offset, length);
          n_faults += !good;
        }
      }
    }
  }
  cr_expect(same(bench.control().n_faults, n_faults));
  cr_expect(
      same(bench.finish(copy_entry(SLUICE_SDI_ADDR(2, 0), SLUICE_SDI_ADDR(2, 4096), 0)).status,
           SLUICE_SDI_E_FIELD));
}

Test(emu_segments, copies_must_not_overlap) {
  Bench bench(small_board(), {.n_segments = 8});
  const Grants grants(bench, bench.queue);
  const auto status = [&](uint64_t src, uint64_t dst, uint64_t length) {
    return bench.finish(copy_entry(SLUICE_SDI_ADDR(2, src), SLUICE_SDI_ADDR(2, dst), length))
        .status;
  };
  cr_expect(same(status(0, 4096, 4096), SLUICE_SDI_OK));
  cr_expect(same(status(4096, 0, 4096), SLUICE_SDI_OK));
  cr_expect(same(status(0, 4095, 4096), SLUICE_SDI_E_FIELD));
  cr_expect(same(status(4095, 0, 4096), SLUICE_SDI_E_FIELD));
  cr_expect(same(status(8, 8, 1), SLUICE_SDI_E_FIELD));
}

Test(emu_segments, the_first_fault_is_recorded_and_kept) {
  Bench bench(small_board(), {.n_segments = 8});
  const Grants grants(bench, bench.queue);
  cr_expect(same(bench.control().first_fault.status, 0u));
  bench.finish(copy_entry(SLUICE_SDI_ADDR(2, 0), SLUICE_SDI_ADDR(3, 77), 123, 42));
  bench.finish(copy_entry(SLUICE_SDI_ADDR(6, 1), SLUICE_SDI_ADDR(2, 0), 9, 43));
  const sluice_sdi_fault fault = bench.control().first_fault;
  cr_expect(same(fault.status, SLUICE_SDI_E_SEGMENT) && same(fault.queue, bench.queue.index()));
  cr_expect(same(fault.id, 42u) && same(fault.length, 123u));
  cr_expect(same(fault.address, uint64_t{SLUICE_SDI_ADDR(3, 77)}));
  cr_expect(same(bench.control().n_faults, 2u));
}

// Every kind of address that a hostile owner can think of. What is not granted is E_SEGMENT, and
// not a byte changes.
Test(emu_segments, a_hammer_reaches_nothing) {
  Bench bench(small_board(), {.n_entries = 1024, .n_segments = 8});
  const Grants grants(bench, bench.queue);
  // All of device memory holds a pattern; the queue of a neighbour is in the middle of it.
  const Memory rest = must(bench.device.allocate(MemoryKind::kDevice, 16 << 20));
  std::vector<Mapping> maps;
  for (const Memory& m : grants.memory) maps.push_back(must(m.map()));
  maps.push_back(must(rest.map()));
  for (const Mapping& m : maps) std::memset(bytes_of(m), 0xa5, m.size());

  std::mt19937_64 rng(2024);
  const auto hostile = [&] {
    const uint64_t segment = rng() % 16 == 0 ? rng() & 0xffff : rng() % 10;
    const uint64_t near[] = {0, kBytes, kTop, kBytes * 2, uint64_t{1} << 32, rng() & kTop};
    return SLUICE_SDI_ADDR(segment, (near[rng() % 6] + rng() % 5 - 2) & kTop);
  };
  const uint64_t total = lightest() ? 2000 : light() ? 100'000 : 10'000'000;
  std::vector<QueueEntry> batch(512);
  std::vector<Completion> done(1024);
  uint64_t sent = 0, seen = 0, wrong = 0;
  while (seen < total) {
    for (QueueEntry& e : batch) {
      do {
        const uint64_t lengths[] = {1 + rng() % 64, kBytes, kTop, UINT64_MAX - rng() % 4096, rng()};
        e = copy_entry(hostile(), hostile(), std::max<uint64_t>(1, lengths[rng() % 5]));
      } while (granted(e.copy.src, e.copy.length, false) &&
               granted(e.copy.dst, e.copy.length, true));
    }
    if (sent < total && 1024 - bench.queue.n_in_flight() >= batch.size()) {
      must(bench.queue.submit(batch));
      sent += batch.size();
    }
    const uint32_t n = must(bench.queue.poll(done));
    for (uint32_t i = 0; i < n; ++i) wrong += done[i].status != SLUICE_SDI_E_SEGMENT;
    seen += n;
  }
  while (bench.queue.n_in_flight()) seen += must(bench.queue.wait(done, 20s));
  cr_expect(same(wrong, 0u));
  cr_expect(same(bench.control().n_faults, sent) && same(seen, sent));
  cr_expect(same(bench.counters().bytes_written, 0u));
  for (const Mapping& m : maps) {
    const std::byte* at = bytes_of(m);
    cr_expect(std::all_of(at, at + m.size(), [](std::byte b) { return b == std::byte{0xa5}; }));
  }
}

Test(emu_segments, scattered_memory_is_one_segment) {
  Bench bench;
  constexpr uint64_t kSize = 4 << 20;
  const Memory pages = must(bench.device.allocate(MemoryKind::kPages, kSize));
  const Memory device = must(bench.device.allocate(MemoryKind::kDevice, kSize));
  cr_expect(same(pages.address(), ~uint64_t{0}));
  const Mapping from = must(pages.map()), to = must(device.map());
  for (uint64_t i = 0; i < kSize / 4; ++i) {
    const auto value = static_cast<uint32_t>(i * 2654435761u);
    std::memcpy(bytes_of(from) + i * 4, &value, 4);
  }
  constexpr uint64_t kOffset = 5 * 4096;
  must(bench.queue.grant(0, pages, Access::kRead, kOffset, kSize - kOffset - 100));
  must(bench.queue.grant(1, device, Access::kReadWrite));
  const uint64_t length = kSize - kOffset - 100;
  cr_expect(same(bench.finish(copy_entry(0, SLUICE_SDI_ADDR(1, 0), length)).status, SLUICE_SDI_OK));
  cr_expect(std::memcmp(bytes_of(to), bytes_of(from) + kOffset, length) == 0);
  cr_expect(same(bench.finish(copy_entry(0, SLUICE_SDI_ADDR(1, 0), length + 1)).status,
                 SLUICE_SDI_E_SEGMENT));
  cr_expect(is_error(bench.queue.grant(0, pages, Access::kRead, 100), EINVAL, {"whole pages"}));
}

// Memory that is freed is out of every segment, and what comes in its place is nobody else's.
Test(emu_segments, freed_memory_is_out_of_reach) {
  Bench bench;
  for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kCoherent, MemoryKind::kPages}) {
    Memory gone = must(bench.device.allocate(kind, 1 << 20));
    const Memory mine = must(bench.device.allocate(MemoryKind::kDevice, 1 << 20));
    must(bench.queue.grant(0, gone, Access::kReadWrite));
    must(bench.queue.grant(1, mine, Access::kReadWrite));
    cr_expect(same(bench.finish(copy_entry(SLUICE_SDI_ADDR(1, 0), 0, 4096)).status, SLUICE_SDI_OK));
    const Mapping still = must(gone.map());
    std::memset(bytes_of(still), 0x77, still.size());
    gone = Memory();
    cr_expect(
        same(bench.finish(copy_entry(SLUICE_SDI_ADDR(1, 0), 0, 1)).status, SLUICE_SDI_E_SEGMENT));
    const Memory next = must(bench.device.allocate(kind, 1 << 20));
    const Mapping clean = must(next.map());
    const std::byte* at = bytes_of(clean);
    cr_expect(std::all_of(at, at + clean.size(), [](std::byte b) { return b == std::byte{0}; }));
    cr_expect(bytes_of(still)[5] == std::byte{0x77});
  }
}

Test(emu_segments, memory_has_limits) {
  Bench bench;
  cr_expect(is_error(bench.device.allocate(MemoryKind::kDevice, uint64_t{1} << 40), ENOMEM,
                     {"device memory"}));
  cr_expect(is_error(bench.device.allocate(MemoryKind::kDevice, 0), EINVAL, {"0 bytes"}));
  const uint64_t before = must(bench.device.info()).memory_free;
  std::vector<Memory> pieces;
  for (;;) {
    auto piece = bench.device.allocate(MemoryKind::kDevice, 3 << 20);
    if (!piece) break;
    pieces.push_back(std::move(*piece));
  }
  cr_expect(pieces.size() >= 10);
  std::shuffle(pieces.begin(), pieces.end(), std::mt19937(1));
  pieces.clear();
  cr_expect(same(must(bench.device.info()).memory_free, before));
  cr_expect(bench.device.allocate(MemoryKind::kDevice, before).has_value());
}
