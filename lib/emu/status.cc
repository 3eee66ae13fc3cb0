// SPDX-License-Identifier: Apache-2.0
// Counters by name.
#include "emu/status.h"

#include "ops/op.h"

namespace sluice::emu {

EmulatorStatus read_status(const Registers& registers, const sluice_sdi_counters& c) {
  EmulatorStatus s;
  s.system_hz = load(registers.clock().system_hz);
  s.n_faults = load(registers.control().n_faults);
  s.n_resets = load(registers.control().n_resets);
  s.cycles = c.cycles;
  s.stall_cycles = c.stall_cycles;
  s.entries = c.entries;
  s.runs = c.runs;
  s.commands = c.commands;
  s.macs = c.macs;
  s.bytes_read = c.bytes_read;
  s.bytes_written = c.bytes_written;
  s.host_bytes_read = c.host_bytes_read;
  s.host_bytes_written = c.host_bytes_written;
  s.interrupts = c.interrupts;
  s.nanoseconds = c.nanoseconds;
  for (uint16_t i = 0; i < SLUICE_SDI_COUNTER_OPS; ++i) {
    const Op* op = find_op(i);
    if (op && c.op[i].count) {
      s.ops.push_back({op->name, c.op[i].count, c.op[i].cycles});
    }
  }
  return s;
}

}  // namespace sluice::emu
