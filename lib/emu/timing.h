// SPDX-License-Identifier: Apache-2.0
// How long a board of given figures would take: cycles from the work in each command, and the
// counters page that they go to. docs/device-interface.md has the model in words.
#ifndef SLUICE_LIB_EMU_TIMING_H
#define SLUICE_LIB_EMU_TIMING_H

#include <cstdint>
#include <mutex>

#include "emu/queue_segments.h"
#include "emu/words.h"
#include "ops/step.h"
#include "ops/validate.h"

namespace sluice::emu {

// What a command or a COPY does.
struct Work {
  uint64_t macs = 0;
  uint64_t read = 0, written = 0;            // bytes of device memory
  uint64_t host_read = 0, host_written = 0;  // bytes of host memory
  uint64_t bytes() const { return read + written + host_read + host_written; }
};

// The work of one command in this step. Every operand counts once, with the rows that are used.
Work work_of(const LoadedCommand& command, const Step& step, const QueueSegments& segments);

class Timing {
 public:
  Timing(sluice_sdi_counters& counters, uint32_t macs_per_cycle, uint64_t memory_bandwidth);

  // As after reset; what has been counted so far is remembered.
  void reset();
  // As after power on.
  void power_on();
  // All that was counted since power on, resets or not. From any thread.
  sluice_sdi_counters total() const;
  // Adds an entry; `work` is that of a COPY.
  void entry(const Work& work, uint32_t hz, uint32_t wait_states);
  // Adds the commands of a list that has run.
  void run(const LoadedList& list, const Step& step, const QueueSegments& segments, uint32_t hz,
           uint32_t wait_states);
  void interrupt() { add(counters_.interrupts, 1); }

 private:
  uint64_t spend(const Work& work, uint64_t overhead, uint32_t hz, uint32_t wait_states);

  sluice_sdi_counters& counters_;
  double macs_per_cycle_, bandwidth_;
  double ns_fraction_ = 0;  // of a nanosecond, not yet in the counters
  mutable std::mutex mutex_;
  sluice_sdi_counters before_{};  // the last reset; with mutex_
};

}  // namespace sluice::emu

#endif  // SLUICE_LIB_EMU_TIMING_H
