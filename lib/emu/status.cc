// SPDX-License-Identifier: Apache-2.0
// Counters by name.
#include "emu/status.h"

#include "ops/op.h"

namespace sluice::emu {

EmulatorStatus read_status(const Registers& registers) {
  const sluice_sdi_counters& c = registers.counters();
  EmulatorStatus s;
  s.system_hz = load(registers.clock().system_hz);
  s.n_faults = load(registers.control().n_faults);
  s.n_resets = load(registers.control().n_resets);
  s.cycles = load(c.cycles);
  s.stall_cycles = load(c.stall_cycles);
  s.entries = load(c.entries);
  s.runs = load(c.runs);
  s.commands = load(c.commands);
  s.macs = load(c.macs);
  s.bytes_read = load(c.bytes_read);
  s.bytes_written = load(c.bytes_written);
  s.host_bytes_read = load(c.host_bytes_read);
  s.host_bytes_written = load(c.host_bytes_written);
  s.interrupts = load(c.interrupts);
  s.nanoseconds = load(c.nanoseconds);
  for (uint16_t i = 0; i < SLUICE_SDI_COUNTER_OPS; ++i) {
    const Op* op = find_op(i);
    if (op && load(c.op[i].count)) {
      s.ops.push_back({op->name, load(c.op[i].count), load(c.op[i].cycles)});
    }
  }
  return s;
}

}  // namespace sluice::emu
