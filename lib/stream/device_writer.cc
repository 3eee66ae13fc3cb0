// SPDX-License-Identifier: Apache-2.0
#include "stream/device_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "device/guard.h"

namespace sluice {
namespace {

constexpr uint64_t kPart = uint64_t{1} << 20;                    // fits a core's second cache twice
constexpr uint32_t kParts = DeviceWriter::kBufferBytes / kPart;  // in flight at most

// Calls part(transfer, offset in it, bytes) for pieces of at most kPart bytes.
template <typename Part>
Result<void> for_each_part(std::span<const Transfer> transfers, Part part) {
  for (const Transfer& t : transfers) {
    for (uint64_t at = 0; at < t.size; at += kPart) {
      SLUICE_CHECK(part(t, at, std::min<uint64_t>(kPart, t.size - at)));
    }
  }
  return {};
}

}  // namespace

Transfer Transfer::of(std::span<const std::byte> bytes, uint64_t to) {
  return {bytes.size(), to, [bytes](uint64_t offset, std::span<std::byte> out) -> Result<void> {
            if (guarded([&] { std::memcpy(out.data(), bytes.data() + offset, out.size()); })) {
              return {};
            }
            return fail(EFAULT, "memory that was taken back");
          }};
}

Result<void> DeviceWriter::write(std::span<const Transfer> transfers, StreamBy by) const {
  for (const Transfer& t : transfers) {
    if (t.to > destination->size() || t.size > destination->size() - t.to) {
      return fail(ERANGE, fmt::format("{} bytes for offset {} of {} bytes of device memory", t.size,
                                      t.to, destination->size()));
    }
  }
  return by == StreamBy::kMapping ? by_mapping(transfers) : by_copy(transfers);
}

// By way of a buffer: a file cannot always be read into device memory by one system call.
Result<void> DeviceWriter::by_mapping(std::span<const Transfer> transfers) const {
  SLUICE_TRY(const Mapping mapping, destination->map());
  std::vector<std::byte> buffer(kPart);
  uint64_t done = 0;
  return for_each_part(transfers, [&](const Transfer& t, uint64_t at, uint64_t n) -> Result<void> {
    const std::span<std::byte> part(buffer.data(), n);
    SLUICE_CHECK(t.read(at, part));
    SLUICE_CHECK(mapping.copy_in(t.to + at, part));
    done += n;
    if (progress && !progress(done)) return fail(ECANCELED, "cancelled");
    return {};
  });
}

namespace {

// A ring of parts: the CPU reads into one while the board takes those before.
class CopyRing {
 public:
  explicit CopyRing(const DeviceWriter& writer) : w_(writer) {}

  Result<void> add(const Transfer& t, uint64_t at, uint64_t n) {
    while (submitted_ - completed_ == std::min(kParts, w_.queue->n_entries())) {
      SLUICE_CHECK(collect());
    }
    const uint64_t part = submitted_ % kParts * kPart;
    auto* data = static_cast<std::byte*>(const_cast<void*>(w_.buffer->data()));
    const auto read = t.read(at, {data + part, n});
    if (!read && read.error().code == EFAULT) {
      return fail(ECONNRESET, "the staging buffer was taken back: the board was reset, or is gone");
    }
    SLUICE_CHECK(read);
    QueueEntry entry{};
    entry.opcode = SLUICE_SDI_ENTRY_COPY;
    entry.copy = {SLUICE_SDI_ADDR(w_.staging, part), SLUICE_SDI_ADDR(w_.segment, t.to + at), n};
    SLUICE_CHECK(w_.queue->submit({&entry, 1}));
    ++submitted_;
    return {};
  }

  Result<void> finish() {
    while (completed_ < submitted_) SLUICE_CHECK(collect());
    return {};
  }

 private:
  Result<void> collect() {
    Completion completions[kParts];
    SLUICE_TRY(const uint32_t n, w_.queue->wait(completions, w_.timeout));
    for (uint32_t i = 0; i < n; ++i) {
      if (completions[i].status == SLUICE_SDI_OK) continue;
      return fail(EIO, fmt::format("writing device memory: {}",
                                   completion_status_name(completions[i].status)));
    }
    completed_ += n;
    return {};
  }

  const DeviceWriter& w_;
  uint64_t submitted_ = 0, completed_ = 0;
};

}  // namespace

Result<void> DeviceWriter::by_copy(std::span<const Transfer> transfers) const {
  CopyRing ring(*this);
  uint64_t done = 0;
  SLUICE_CHECK(
      for_each_part(transfers, [&](const Transfer& t, uint64_t at, uint64_t n) -> Result<void> {
        SLUICE_CHECK(ring.add(t, at, n));
        done += n;
        if (progress && !progress(done)) return fail(ECANCELED, "cancelled");
        return {};
      }));
  return ring.finish();
}

}  // namespace sluice
