// SPDX-License-Identifier: Apache-2.0
// Rings, entries, segments.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tools/sluicectl/conform/checks.h"

namespace sluicectl::conform {
namespace {

using sluice::Access;
using sluice::Completion;
using sluice::QueueEntry;

constexpr uint64_t kHalf = kHostBytes / 2;

Result<void> wraps(Rig& rig) {
  for (int i = 0; i < 100; ++i) SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
  return {};
}

// Whole rings at a time: ids in order, and sq_head never goes back.
Result<void> full_rings(Rig& rig) {
  sluice::Queue& queue = rig.queue();
  const uint32_t n = queue.n_entries();
  std::vector<QueueEntry> entries(n, nop());
  std::vector<Completion> completions(n);
  uint32_t next = 1, expected = 1;
  for (int round = 0; round < 20; ++round) {
    for (QueueEntry& e : entries) e.id = next++;
    SLUICE_CHECK(queue.submit(entries));
    for (uint32_t done = 0; done < n;) {
      SLUICE_TRY(const uint32_t got, queue.wait(completions, std::chrono::seconds(10)));
      for (uint32_t i = 0; i < got; ++i) {
        if (completions[i].id != expected++) {
          return found(fmt::format("id {}, expected {}", completions[i].id, expected - 1));
        }
      }
      done += got;
    }
  }
  return {};
}

Result<void> unknown_opcodes(Rig& rig) {
  for (const uint16_t opcode : {6, 7, 255, 256, 65535}) {
    QueueEntry e{};
    e.opcode = opcode;
    SLUICE_CHECK(rig.expect(e, SLUICE_SDI_E_OPCODE));
  }
  return {};
}

// Every unused word of every entry, and the flags, set to something.
Result<void> unused_words(Rig& rig) {
  struct Case {
    uint16_t opcode;
    int first_unused;
  };
  for (const Case c : {Case{SLUICE_SDI_ENTRY_NOP, 0}, Case{SLUICE_SDI_ENTRY_COPY, 3},
                       Case{SLUICE_SDI_ENTRY_LOAD, 2}, Case{SLUICE_SDI_ENTRY_RUN, 2},
                       Case{SLUICE_SDI_ENTRY_UNLOAD, 1}, Case{SLUICE_SDI_ENTRY_FENCE, 0}}) {
    for (int word = c.first_unused; word < 7; ++word) {
      QueueEntry e{};
      e.opcode = c.opcode;
      if (c.opcode == SLUICE_SDI_ENTRY_COPY) e.copy = {0, SLUICE_SDI_ADDR(kHost, 4096), 1};
      e.words[word] = 1;
      SLUICE_CHECK(rig.expect(e, SLUICE_SDI_E_FIELD));
    }
    QueueEntry e{};
    e.opcode = c.opcode;
    e.flags = 1;
    SLUICE_CHECK(rig.expect(e, SLUICE_SDI_E_FIELD));
  }
  return {};
}

Result<void> fence(Rig& rig) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_FENCE;
  for (int i = 0; i < 10; ++i) SLUICE_CHECK(rig.expect(e, SLUICE_SDI_OK));
  return {};
}

// Host to device and back, every alignment, sizes that are not round.
Result<void> copies(Rig& rig) {
  uint64_t seed = 1;
  for (const uint64_t length : {1, 2, 3, 7, 8, 63, 64, 65, 4095, 4096, 4097, 100'003}) {
    for (uint64_t shift = 0; shift < 9; shift += 1 + (length > 1000) * 3) {
      const auto bytes = pattern(length, ++seed);
      SLUICE_CHECK(rig.put(shift, bytes));
      SLUICE_CHECK(rig.put(kHalf, std::vector<std::byte>(length + 16)));
      SLUICE_CHECK(rig.expect(
          copy(SLUICE_SDI_ADDR(kDevice, 3 * shift), SLUICE_SDI_ADDR(kHost, shift), length),
          SLUICE_SDI_OK));
      SLUICE_CHECK(rig.expect(
          copy(SLUICE_SDI_ADDR(kHost, kHalf + 8), SLUICE_SDI_ADDR(kDevice, 3 * shift), length),
          SLUICE_SDI_OK));
      SLUICE_TRY(const auto back, rig.get(kHalf, length + 16));
      const bool before = std::all_of(back.begin(), back.begin() + 8,
                                      [](std::byte b) { return b == std::byte{0}; });
      const bool after =
          std::all_of(back.end() - 8, back.end(), [](std::byte b) { return b == std::byte{0}; });
      if (!before || !after || !std::equal(bytes.begin(), bytes.end(), back.begin() + 8)) {
        return found(fmt::format("{} bytes at a shift of {} came back different", length, shift));
      }
    }
  }
  return {};
}

Result<void> empty_and_overlapping_copies(Rig& rig) {
  const uint64_t at = SLUICE_SDI_ADDR(kHost, 4096);
  SLUICE_CHECK(rig.expect(copy(at, SLUICE_SDI_ADDR(kDevice, 0), 0), SLUICE_SDI_E_FIELD));
  SLUICE_CHECK(rig.expect(copy(at, at, 1), SLUICE_SDI_E_FIELD));
  SLUICE_CHECK(rig.expect(copy(at + 63, at, 64), SLUICE_SDI_E_FIELD));
  SLUICE_CHECK(rig.expect(copy(at, at + 63, 64), SLUICE_SDI_E_FIELD));
  // The same memory by way of another segment overlaps as well.
  SLUICE_CHECK(rig.expect(copy(at, SLUICE_SDI_ADDR(kReadOnly, 4096), 64), SLUICE_SDI_E_FIELD));
  SLUICE_CHECK(rig.expect(copy(at + 64, at, 64), SLUICE_SDI_OK));
  return {};
}

// Addresses that nobody granted, as source and as destination; not a byte may change.
Result<void> segment_edges(Rig& rig) {
  constexpr uint64_t kTop = (uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1;
  struct Range {
    uint64_t address, length;
  };
  const Range wrong[] = {
      {SLUICE_SDI_ADDR(kDevice, kDeviceBytes), 1},
      {SLUICE_SDI_ADDR(kDevice, kDeviceBytes - 1), 2},
      {SLUICE_SDI_ADDR(kDevice, kDeviceBytes - 4096), 4097},
      {SLUICE_SDI_ADDR(kDevice, kTop), 1},
      {SLUICE_SDI_ADDR(kDevice, kTop), 2},
      {SLUICE_SDI_ADDR(kDevice, 0), kDeviceBytes + 1},
      {SLUICE_SDI_ADDR(kDevice, 1), ~uint64_t{0}},
      {SLUICE_SDI_ADDR(kDevice, 4096), ~uint64_t{0} - 4095},
      {SLUICE_SDI_ADDR(kDevice, 4096), uint64_t{1} << 48},
      {SLUICE_SDI_ADDR(kEmpty, 0), 1},
      {SLUICE_SDI_ADDR(kSpare, 0), 64},
      {SLUICE_SDI_ADDR(kNumSegments, 0), 1},
      {SLUICE_SDI_ADDR(0xffff, 0), 1},
      {SLUICE_SDI_ADDR(0xffff, kTop), 64},
  };
  const auto bytes = pattern(kHostBytes, 99);
  SLUICE_CHECK(rig.put(0, bytes));
  for (const Range& r : wrong) {
    const uint64_t good = SLUICE_SDI_ADDR(kHost, 0);
    SLUICE_CHECK(rig.expect(copy(good, r.address, r.length), SLUICE_SDI_E_SEGMENT));
    SLUICE_CHECK(rig.expect(copy(r.address, good, r.length), SLUICE_SDI_E_SEGMENT));
  }
  const uint64_t device = SLUICE_SDI_ADDR(kDevice, 0);
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kReadOnly, 0), device, 8), SLUICE_SDI_E_SEGMENT));
  SLUICE_CHECK(rig.expect(copy(device, SLUICE_SDI_ADDR(kWriteOnly, 0), 8), SLUICE_SDI_E_SEGMENT));
  SLUICE_TRY(const auto after, rig.get(0, kHostBytes));
  if (after != bytes) return found("a refused copy wrote something");
  return {};
}

// A segment is the range that was granted of the memory, no more, from its first byte on.
Result<void> partial_grants(Rig& rig) {
  SLUICE_CHECK(rig.put(0, pattern(kHostBytes, 5)));
  SLUICE_CHECK(rig.queue().grant(kSpare, rig.host(), Access::kRead, 8192, 4096));
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kDevice, 0), SLUICE_SDI_ADDR(kSpare, 0), 4096),
                          SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kDevice, 0), SLUICE_SDI_ADDR(kSpare, 1), 4096),
                          SLUICE_SDI_E_SEGMENT));
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kHost, kHalf), SLUICE_SDI_ADDR(kDevice, 0), 4096),
                          SLUICE_SDI_OK));
  SLUICE_TRY(const auto got, rig.get(kHalf, 4096));
  SLUICE_TRY(const auto want, rig.get(8192, 4096));
  if (got != want) return found("a granted part of the memory begins elsewhere");
  SLUICE_CHECK(rig.queue().revoke(kSpare));
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kDevice, 0), SLUICE_SDI_ADDR(kSpare, 0), 1),
                          SLUICE_SDI_E_SEGMENT));
  return {};
}

// Two queues have two segment tables.
Result<void> queues_are_apart(Rig& rig) {
  SLUICE_TRY(Rig other, Rig::make(rig.device()));
  SLUICE_CHECK(rig.queue().grant(kSpare, rig.host(), Access::kRead));
  const auto entry = copy(SLUICE_SDI_ADDR(kDevice, 0), SLUICE_SDI_ADDR(kSpare, 0), 64);
  SLUICE_CHECK(rig.expect(entry, SLUICE_SDI_OK));
  SLUICE_CHECK(other.expect(entry, SLUICE_SDI_E_SEGMENT));
  return {};
}

// The board sleeps between entries, and every time it wakes.
Result<void> wakes_up(Rig& rig) {
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 4 * 5));
    SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
  }
  return {};
}

constexpr Check kChecks[] = {
    {"entries complete, through many wraps of the rings", wraps},
    {"full rings, in order", full_rings},
    {"unknown opcodes", unknown_opcodes},
    {"flags and unused words", unused_words},
    {"fences", fence},
    {"copies of every alignment", copies, SLUICE_SDI_CAP_HOST},
    {"empty and overlapping copies", empty_and_overlapping_copies, SLUICE_SDI_CAP_HOST},
    {"segments: edges, wrap-around, rights", segment_edges, SLUICE_SDI_CAP_HOST},
    {"segments: parts of memory, revoked", partial_grants, SLUICE_SDI_CAP_HOST},
    {"segments: each queue has its own", queues_are_apart, SLUICE_SDI_CAP_HOST},
    {"a sleeping board wakes", wakes_up},
};

}  // namespace

std::span<const Check> queue_checks() { return kChecks; }

}  // namespace sluicectl::conform
