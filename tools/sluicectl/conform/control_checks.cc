// SPDX-License-Identifier: Apache-2.0
// Identification, faults, reset, clocks, counters.
#include <fmt/format.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "tools/sluicectl/conform/checks.h"

namespace sluicectl::conform {
namespace {

constexpr uint64_t kKnownCapabilities =
    SLUICE_SDI_CAP_EXACT | SLUICE_SDI_CAP_CLOCK | SLUICE_SDI_CAP_COUNTERS | SLUICE_SDI_CAP_HOST |
    SLUICE_SDI_CAP_PAGED | SLUICE_SDI_CAP_NOTIFY | SLUICE_SDI_CAP_FAST | SLUICE_SDI_CAP_FAST_FLOATS;

Result<void> expect(bool holds, const char* what) {
  if (holds) return {};
  return found(fmt::format("expected {}", what));
}

Result<void> identification(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control c, rig.control());
  SLUICE_CHECK(expect(c.magic == SLUICE_SDI_MAGIC, "magic 0x45434c53"));
  SLUICE_CHECK(expect(SLUICE_SDI_VERSION_MAJOR(c.version) == 1, "major version 1"));
  SLUICE_CHECK(expect(c.capabilities & SLUICE_SDI_CAP_EXACT, "capability EXACT"));
  if (c.version == SLUICE_SDI_VERSION) {
    SLUICE_CHECK(expect((c.capabilities & ~kKnownCapabilities) == 0, "no unknown capability"));
  }
  const bool paged = c.capabilities & SLUICE_SDI_CAP_PAGED;
  const bool host = c.capabilities & SLUICE_SDI_CAP_HOST;
  SLUICE_CHECK(expect(!paged || host, "HOST where there is PAGED"));
  SLUICE_CHECK(expect(c.memory_size > 0 && c.memory_size % SLUICE_SDI_PAGE_SIZE == 0,
                      "device memory of whole pages"));
  SLUICE_CHECK(expect(c.n_queues >= 1 && c.n_queues <= SLUICE_SDI_MAX_QUEUES, "1 to 64 queues"));
  SLUICE_CHECK(
      expect(c.n_segments >= 1 && c.n_segments <= SLUICE_SDI_MAX_SEGMENTS, "1 to 65,536 segments"));
  SLUICE_CHECK(
      expect(std::has_single_bit(c.max_entries) && c.max_entries >= 2 && c.max_entries <= 65536,
             "max_entries a power of two from 2 to 65,536"));
  SLUICE_CHECK(
      expect(c.n_vectors >= 1 && c.n_vectors <= c.n_queues + 1, "1 to 1 + n_queues vectors"));
  SLUICE_CHECK(expect(c.max_commands > 0 && c.max_tensors > 0 && c.max_lists > 0 &&
                          c.max_step_bytes >= sizeof(sluice_sdi_step),
                      "room for lists and step buffers"));
  return expect(std::memchr(c.name, 0, sizeof(c.name)) != nullptr, "a zero at the end of the name");
}

Result<void> is_ready(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control c, rig.control());
  SLUICE_CHECK(expect(c.status == SLUICE_SDI_STATUS_READY, "status READY and nothing else"));
  SLUICE_CHECK(expect(c.request == c.acknowledge, "the last request acknowledged"));
  return expect(c.result == SLUICE_SDI_RESULT_OK, "its result OK");
}

Result<void> faults(Rig& rig) {
  SLUICE_CHECK(rig.device().reset());
  SLUICE_TRY(rig, Rig::make(rig.device()));
  SLUICE_TRY(const sluice_sdi_control before, rig.control());
  SLUICE_CHECK(
      expect(before.n_faults == 0 && before.first_fault.status == 0, "no fault after reset"));
  const uint64_t address = SLUICE_SDI_ADDR(kEmpty, 0x1230);
  auto bad = copy(SLUICE_SDI_ADDR(kHost, 0), address, 0x45);
  SLUICE_TRY(const auto c, rig.expect(bad, SLUICE_SDI_E_SEGMENT));
  for (int i = 0; i < 3; ++i) {
    bad.opcode = 0x7777;
    SLUICE_CHECK(rig.expect(bad, SLUICE_SDI_E_OPCODE));
  }
  SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
  SLUICE_TRY(const sluice_sdi_control after, rig.control());
  if (after.n_faults != 4)
    return found(fmt::format("{} faults counted, expected 4", after.n_faults));
  const sluice_sdi_fault& f = after.first_fault;
  SLUICE_CHECK(expect(f.status == SLUICE_SDI_E_SEGMENT, "the first fault's status in the record"));
  SLUICE_CHECK(expect(f.queue == rig.queue().index(), "its queue"));
  SLUICE_CHECK(expect(f.id == c.id, "its entry's id"));
  return expect(f.address == address && f.length == 0x45, "its address and length");
}

Result<void> reset(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control before, rig.control());
  SLUICE_CHECK(rig.device().reset());
  SLUICE_TRY(const sluice_sdi_control after, rig.control());
  SLUICE_CHECK(expect(after.n_resets == before.n_resets + 1, "n_resets one more"));
  SLUICE_CHECK(expect(after.status == SLUICE_SDI_STATUS_READY, "status READY"));
  SLUICE_CHECK(expect(after.n_faults == 0, "no faults"));
  const auto entry = nop();
  const auto dead = rig.queue().submit({&entry, 1});
  SLUICE_CHECK(expect(!dead && dead.error().code == ECONNRESET, "the queue of before to be dead"));
  SLUICE_TRY(rig, Rig::make(rig.device()));
  SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
  return {};
}

Result<void> clocks(Rig& rig) {
  SLUICE_TRY(const sluice::ClockInfo now, rig.device().clock());
  const auto change = [&](uint32_t hz) -> Result<void> {
    SLUICE_TRY(const sluice::ClockInfo c, rig.device().set_clock(hz, true));
    if (c.system_hz != hz) {
      return found(fmt::format("{} Hz measured after a change to {} Hz", c.system_hz, hz));
    }
    SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
    return {};
  };
  SLUICE_CHECK(change(now.rated_hz));
  SLUICE_CHECK(change(now.boost_hz));
  SLUICE_CHECK(change(now.hsi_hz));
  SLUICE_CHECK(change(now.rated_hz));
  const auto odd = rig.device().set_clock(now.rated_hz - 1, true);
  return expect(!odd && odd.error().code == EDOM, "a frequency without dividers to be refused");
}

Result<void> timers(Rig& rig) {
  SLUICE_TRY(const sluice::ClockInfo now, rig.device().clock());
  SLUICE_CHECK(rig.device().set_clock(now.rated_hz));
  for (uint32_t t = 0; t < SLUICE_SDI_N_TIMERS; ++t) {
    SLUICE_TRY(const uint32_t hz, rig.device().set_timer(t, 1'000'000));
    SLUICE_TRY(const sluice::ClockInfo c, rig.device().clock());
    if (c.timer_hz[t] != hz) {
      return found(fmt::format("timer {} counts with {} Hz, expected {}", t, c.timer_hz[t], hz));
    }
  }
  // A new system clock, and the timers count as before.
  SLUICE_TRY(const sluice::ClockInfo c, rig.device().set_clock(now.boost_hz, true));
  for (uint32_t t = 0; t < SLUICE_SDI_N_TIMERS; ++t) {
    if (c.timer_hz[t] != 1'000'000) {
      return found(fmt::format("timer {} at {} Hz after a clock change", t, c.timer_hz[t]));
    }
  }
  SLUICE_CHECK(rig.device().set_clock(now.rated_hz));
  return {};
}

Result<void> count(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_counters before, rig.counters());
  for (int i = 0; i < 5; ++i) SLUICE_CHECK(rig.expect(nop(), SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(copy(SLUICE_SDI_ADDR(kDevice, 0), SLUICE_SDI_ADDR(kHost, 0), 4096),
                          SLUICE_SDI_OK));
  SLUICE_TRY(const sluice_sdi_counters after, rig.counters());
  SLUICE_CHECK(expect(after.entries == before.entries + 6, "6 entries more"));
  SLUICE_CHECK(expect(after.host_bytes_read >= before.host_bytes_read + 4096,
                      "4096 bytes more read from the host"));
  SLUICE_CHECK(expect(after.bytes_written >= before.bytes_written + 4096,
                      "4096 bytes more written to device memory"));
  return expect(after.cycles > before.cycles, "cycles to have passed");
}

constexpr Check kChecks[] = {
    {"identification", identification},
    {"ready, requests acknowledged", is_ready},
    {"faults are counted and the first one is kept", faults},
    {"reset", reset},
    {"clock changes", clocks, SLUICE_SDI_CAP_CLOCK},
    {"timers", timers, SLUICE_SDI_CAP_CLOCK},
    {"counters", count, SLUICE_SDI_CAP_COUNTERS},
};

}  // namespace

std::span<const Check> control_checks() { return kChecks; }

}  // namespace sluicectl::conform
