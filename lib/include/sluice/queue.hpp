// SPDX-License-Identifier: Apache-2.0
// Queues of a board with the Device Interface: what a program submits, and what comes back.
#ifndef SLUICE_QUEUE_HPP
#define SLUICE_QUEUE_HPP

#include <linux/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include <sluice/device.hpp>
#include <sluice/result.hpp>

#include <sluice_sdi.h>

namespace sluice {

using QueueEntry = sluice_sdi_entry;
using Completion = sluice_sdi_completion;

struct QueueOptions {
  uint32_t n_entries = 64;  // of each ring, a power of two
  uint32_t n_segments = 16;
  uint32_t coalesce_count = 0;  // completions for one interrupt
  uint32_t coalesce_us = 0;
};

// What a board may do with a segment.
enum class Access : uint8_t { kRead = 1, kWrite = 2, kReadWrite = 3 };

// "segment fault" and so on, for SLUICE_SDI_E_*.
const char* completion_status_name(uint32_t status);

// A pair of rings in memory that board and program share, and the queue's segment table, which only
// the driver writes. Submitting and collecting make no system call unless the board sleeps. Several
// threads may use several queues; one queue is for one thread at a time.
class Queue {
 public:
  // EBUSY: all queues are taken; ENOTSUP: a plain board; EINVAL: the options.
  static Result<Queue> create(const Device& device, const QueueOptions& options = {});
  Queue(Queue&&) noexcept;
  Queue& operator=(Queue&&) noexcept;
  ~Queue();

  uint32_t index() const;      // number of the queue on its board
  uint32_t n_entries() const;  // of each ring
  uint32_t n_segments() const;

  // Lets this queue's entries reach `length` bytes (0: to the end) of the memory from `offset`, as
  // segment `segment`. Lists that name a segment which changes must be loaded anew.
  Result<void> grant(uint32_t segment, const Memory& memory, Access access, uint64_t offset = 0,
                     uint64_t length = 0);
  Result<void> revoke(uint32_t segment);

  // Entries submitted and not yet collected.
  uint32_t n_in_flight() const;
  // Puts entries into the ring and rings the doorbell once. EAGAIN: there is no room for all of
  // them, and none was taken. ECONNRESET: the board was reset; ENODEV: it is gone.
  Result<void> submit(std::span<const QueueEntry> entries);
  // Collects completions that are there, oldest first; how many.
  Result<uint32_t> poll(std::span<Completion> completions);
  // Waits for at least one: looks for a short while that adapts to how long completions take, then
  // sleeps. ETIMEDOUT; ECONNRESET and ENODEV as submit(). A negative timeout waits for ever.
  Result<uint32_t> wait(std::span<Completion> completions, std::chrono::nanoseconds timeout);
  // Submits one entry on an otherwise empty queue and waits for it. EIO: a status that is not
  // SLUICE_SDI_OK, named in the message; also the errors of submit() and wait().
  Result<Completion> execute(const QueueEntry& entry, std::chrono::nanoseconds timeout);

 private:
  struct Impl;
  explicit Queue(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // SLUICE_QUEUE_HPP
