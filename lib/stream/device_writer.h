// SPDX-License-Identifier: Apache-2.0
// Bytes on their way into a board's memory: through a mapping, by the CPU, or through a staging
// buffer and COPY entries, by the board, while the CPU fills the next part.
#ifndef SLUICE_STREAM_DEVICE_WRITER_H
#define SLUICE_STREAM_DEVICE_WRITER_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include <sluice/device.hpp>
#include <sluice/queue.hpp>

namespace sluice {

struct Transfer {
  uint64_t size = 0;
  uint64_t to = 0;  // offset in the destination
  // Fetches the bytes of the source from `offset` on. EFAULT: `to` is not there any more.
  std::function<Result<void>(uint64_t offset, std::span<std::byte> to)> read;

  // From memory that outlives the transfer.
  static Transfer of(std::span<const std::byte> bytes, uint64_t to);
};

enum class StreamBy : uint8_t { kMapping, kCopy };

// What writes where. The queue must be empty, and stays the caller's for other use afterwards.
struct DeviceWriter {
  Device* device = nullptr;
  Queue* queue = nullptr;
  const Memory* destination = nullptr;
  uint16_t segment = 0;  // of the queue, in which the destination is granted for writing
  // The staging buffer of kBufferBytes in host memory, for kCopy alone, and the segment of the
  // queue in which it is granted for reading. The caller's, so that nothing is freed on a board
  // that has stopped answering.
  const Mapping* buffer = nullptr;
  uint16_t staging = 0;
  std::chrono::nanoseconds timeout{};  // of a single COPY
  // Called now and then with bytes written so far; false cancels (ECANCELED).
  std::function<bool(uint64_t bytes)> progress;

  static constexpr uint64_t kBufferBytes = uint64_t{4} << 20;

  // EIO, ECONNRESET, ETIMEDOUT, ENODEV: the board failed; ERANGE: outside the destination.
  Result<void> write(std::span<const Transfer> transfers, StreamBy by) const;

 private:
  Result<void> by_mapping(std::span<const Transfer> transfers) const;
  Result<void> by_copy(std::span<const Transfer> transfers) const;
};

}  // namespace sluice

#endif  // SLUICE_STREAM_DEVICE_WRITER_H
