// SPDX-License-Identifier: Apache-2.0
// What the conformance checks work with: a queue of the board, a piece of its memory and a piece of
// the host's, and short ways to submit and to say what was expected.
#ifndef SLUICECTL_CONFORM_RIG_H
#define SLUICECTL_CONFORM_RIG_H

#include <cstdint>
#include <sluice/device.hpp>
#include <sluice/queue.hpp>
#include <span>
#include <string>
#include <vector>

namespace sluicectl::conform {

using sluice::Result;

// Segments of every rig.
enum : uint16_t {
  kHost,       // host memory, read and write
  kDevice,     // device memory, read and write
  kReadOnly,   // the same host memory, to be read
  kWriteOnly,  // the same host memory, to be written
  kSpare,      // empty, for checks that grant and revoke
  kEmpty,      // stays empty
  kNumSegments
};

inline constexpr uint64_t kHostBytes = 1 << 20;
inline constexpr uint64_t kDeviceBytes = 1 << 20;

class Rig {
 public:
  static Result<Rig> make(sluice::Device& device, uint32_t n_entries = 16);

  sluice::Device& device() { return *device_; }
  sluice::Queue& queue() { return *queue_; }
  const sluice::Memory& host() const { return host_; }
  const sluice::Memory& device_memory() const { return device_memory_; }

  // Host memory, as this program sees it.
  Result<void> put(uint64_t offset, std::span<const std::byte> bytes);
  Result<std::vector<std::byte>> get(uint64_t offset, uint64_t length);

  // Submits one entry and waits for its completion, whose id must be the entry's.
  Result<sluice::Completion> submit(sluice::QueueEntry entry);
  // The same, and the status must be `status`; the completion.
  Result<sluice::Completion> expect(const sluice::QueueEntry& entry, uint16_t status);

  // The control page as it is now. Reserved words are read as well.
  Result<sluice_sdi_control> control();
  Result<sluice_sdi_counters> counters();

 private:
  Rig() = default;
  sluice::Device* device_ = nullptr;
  std::optional<sluice::Queue> queue_;
  sluice::Memory host_, device_memory_;
  sluice::Mapping host_map_;
  uint32_t next_id_ = 0x5eed0000;
};

sluice::QueueEntry nop();
sluice::QueueEntry copy(uint64_t dst, uint64_t src, uint64_t length);
sluice::QueueEntry load(uint64_t address, uint32_t n_tensors, uint32_t n_commands);
sluice::QueueEntry run(uint32_t handle, uint64_t step, uint32_t step_bytes);
sluice::QueueEntry unload(uint32_t handle);

// An error that says what a check found instead of what it expected.
tl::unexpected<sluice::Error> found(std::string what);

// Bytes that differ from place to place and from seed to seed.
std::vector<std::byte> pattern(uint64_t length, uint64_t seed);

}  // namespace sluicectl::conform

#endif  // SLUICECTL_CONFORM_RIG_H
