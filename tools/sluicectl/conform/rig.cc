// SPDX-License-Identifier: Apache-2.0
#include "tools/sluicectl/conform/rig.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace sluicectl::conform {

using sluice::Access;
using sluice::Completion;
using sluice::fail;
using sluice::Mapping;
using sluice::MemoryKind;
using sluice::QueueEntry;

namespace {

constexpr std::chrono::seconds kPatience{10};

template <typename Page>
Result<Page> read_page(sluice::Device& device, unsigned number) {
  SLUICE_TRY(const Mapping page,
             device.map(0, uint64_t{number} * SLUICE_SDI_PAGE_SIZE, SLUICE_SDI_PAGE_SIZE,
                        sluice::MemoryType::kUncached, true));
  Page out;
  SLUICE_CHECK(page.copy_out(0, std::as_writable_bytes(std::span(&out, 1))));
  return out;
}

}  // namespace

Result<Rig> Rig::make(sluice::Device& device, uint32_t n_entries) {
  Rig rig;
  rig.device_ = &device;
  sluice::QueueOptions options;
  options.n_entries = n_entries;
  options.n_segments = kNumSegments;
  SLUICE_TRY(rig.queue_, sluice::Queue::create(device, options));
  SLUICE_TRY(rig.host_, device.allocate(MemoryKind::kCoherent, kHostBytes));
  SLUICE_TRY(rig.host_map_, rig.host_.map());
  SLUICE_TRY(rig.device_memory_, device.allocate(MemoryKind::kDevice, kDeviceBytes));
  SLUICE_CHECK(rig.queue_->grant(kHost, rig.host_, Access::kReadWrite));
  SLUICE_CHECK(rig.queue_->grant(kDevice, rig.device_memory_, Access::kReadWrite));
  SLUICE_CHECK(rig.queue_->grant(kReadOnly, rig.host_, Access::kRead));
  SLUICE_CHECK(rig.queue_->grant(kWriteOnly, rig.host_, Access::kWrite));
  return rig;
}

Result<void> Rig::put(uint64_t offset, std::span<const std::byte> bytes) {
  return host_map_.copy_in(offset, bytes);
}

Result<std::vector<std::byte>> Rig::get(uint64_t offset, uint64_t length) {
  std::vector<std::byte> out(length);
  SLUICE_CHECK(host_map_.copy_out(offset, out));
  return out;
}

Result<Completion> Rig::submit(QueueEntry entry) {
  entry.id = next_id_++;
  SLUICE_CHECK(queue_->submit({&entry, 1}));
  Completion c{};
  SLUICE_CHECK(queue_->wait({&c, 1}, kPatience));
  if (c.id != entry.id) {
    return found(fmt::format("a completion with id {:#x}, expected {:#x}", c.id, entry.id));
  }
  return c;
}

Result<Completion> Rig::expect(const QueueEntry& entry, uint16_t status) {
  SLUICE_TRY(const Completion c, submit(entry));
  if (c.status != status) {
    return found(fmt::format("opcode {}: status \"{}\", expected \"{}\"", entry.opcode,
                             sluice::completion_status_name(c.status),
                             sluice::completion_status_name(status)));
  }
  return c;
}

Result<sluice_sdi_control> Rig::control() {
  return read_page<sluice_sdi_control>(*device_, SLUICE_SDI_PAGE_CONTROL);
}

Result<sluice_sdi_counters> Rig::counters() {
  return read_page<sluice_sdi_counters>(*device_, SLUICE_SDI_PAGE_COUNTERS);
}

QueueEntry nop() {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_NOP;
  return e;
}

QueueEntry copy(uint64_t dst, uint64_t src, uint64_t length) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_COPY;
  e.copy = {src, dst, length};
  return e;
}

QueueEntry load(uint64_t address, uint32_t n_tensors, uint32_t n_commands) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_LOAD;
  e.load = {address, n_tensors, n_commands};
  return e;
}

QueueEntry run(uint32_t handle, uint64_t step, uint32_t step_bytes) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_RUN;
  e.run = {handle, step_bytes, step};
  return e;
}

QueueEntry unload(uint32_t handle) {
  QueueEntry e{};
  e.opcode = SLUICE_SDI_ENTRY_UNLOAD;
  e.run.handle = handle;
  return e;
}

tl::unexpected<sluice::Error> found(std::string what) { return fail(EPROTO, std::move(what)); }

std::vector<std::byte> pattern(uint64_t length, uint64_t seed) {
  std::vector<std::byte> out(length);
  uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::byte& b : out) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::byte>(x >> 56);
  }
  return out;
}

}  // namespace sluicectl::conform
