// SPDX-License-Identifier: Apache-2.0
#include "stream/device_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {
namespace {

constexpr uint64_t kPart = uint64_t{1} << 20;  // fits a core's second cache twice
constexpr uint32_t kParts = 4;                 // in flight

// Calls part(source, destination offset) for pieces of at most kPart bytes.
template <typename Part>
Result<void> for_each_part(std::span<const Transfer> transfers, Part part) {
  for (const Transfer& t : transfers) {
    for (uint64_t at = 0; at < t.from.size(); at += kPart) {
      SLUICE_CHECK(
          part(t.from.subspan(at, std::min<uint64_t>(kPart, t.from.size() - at)), t.to + at));
    }
  }
  return {};
}

}  // namespace

Result<void> DeviceWriter::write(std::span<const Transfer> transfers, StreamBy by) const {
  for (const Transfer& t : transfers) {
    if (t.to > destination->size() || t.from.size() > destination->size() - t.to) {
      return fail(ERANGE, fmt::format("{} bytes for offset {} of {} bytes of device memory",
                                      t.from.size(), t.to, destination->size()));
    }
  }
  return by == StreamBy::kMapping ? by_mapping(transfers) : by_copy(transfers);
}

Result<void> DeviceWriter::by_mapping(std::span<const Transfer> transfers) const {
  SLUICE_TRY(const Mapping mapping, destination->map());
  uint64_t done = 0;
  return for_each_part(transfers,
                       [&](std::span<const std::byte> from, uint64_t to) -> Result<void> {
                         SLUICE_CHECK(mapping.copy_in(to, from));
                         done += from.size();
                         if (progress && !progress(done)) return fail(ECANCELED, "cancelled");
                         return {};
                       });
}

Result<void> DeviceWriter::by_copy(std::span<const Transfer> transfers) const {
  SLUICE_TRY(const Memory buffer, device->allocate(MemoryKind::kCoherent, kParts * kPart));
  SLUICE_TRY(const Mapping mapping, buffer.map());
  SLUICE_CHECK(queue->grant(staging, buffer, Access::kRead));
  uint64_t submitted = 0, completed = 0, done = 0;
  Completion completions[kParts];
  const auto collect = [&]() -> Result<void> {
    SLUICE_TRY(const uint32_t n, queue->wait(completions, timeout));
    for (uint32_t i = 0; i < n; ++i) {
      if (completions[i].status != SLUICE_SDI_OK) {
        return fail(EIO, fmt::format("writing device memory: {}",
                                     completion_status_name(completions[i].status)));
      }
    }
    completed += n;
    return {};
  };
  SLUICE_CHECK(
      for_each_part(transfers, [&](std::span<const std::byte> from, uint64_t to) -> Result<void> {
        while (submitted - completed == std::min(kParts, queue->n_entries())) {
          SLUICE_CHECK(collect());
        }
        const uint64_t part = submitted % kParts * kPart;
        SLUICE_CHECK(mapping.copy_in(part, from));
        QueueEntry entry{};
        entry.opcode = SLUICE_SDI_ENTRY_COPY;
        entry.copy = {SLUICE_SDI_ADDR(staging, part), SLUICE_SDI_ADDR(segment, to), from.size()};
        SLUICE_CHECK(queue->submit({&entry, 1}));
        ++submitted;
        done += from.size();
        if (progress && !progress(done)) return fail(ECANCELED, "cancelled");
        return {};
      }));
  while (completed < submitted) SLUICE_CHECK(collect());
  return queue->revoke(staging);
}

}  // namespace sluice
