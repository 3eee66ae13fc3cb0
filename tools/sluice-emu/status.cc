// SPDX-License-Identifier: Apache-2.0
// Counters as a table and as JSON, from one list of fields.
#include "status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sluice_emu {
namespace {

using sluice::EmulatorStatus;

struct Field {
  const char* name;
  uint64_t EmulatorStatus::*value;
};

constexpr Field kFields[] = {
    {"resets", &EmulatorStatus::n_resets},
    {"faults", &EmulatorStatus::n_faults},
    {"entries", &EmulatorStatus::entries},
    {"runs", &EmulatorStatus::runs},
    {"commands", &EmulatorStatus::commands},
    {"interrupts", &EmulatorStatus::interrupts},
    {"macs", &EmulatorStatus::macs},
    {"bytes_read", &EmulatorStatus::bytes_read},
    {"bytes_written", &EmulatorStatus::bytes_written},
    {"host_bytes_read", &EmulatorStatus::host_bytes_read},
    {"host_bytes_written", &EmulatorStatus::host_bytes_written},
    {"cycles", &EmulatorStatus::cycles},
    {"stall_cycles", &EmulatorStatus::stall_cycles},
    {"nanoseconds", &EmulatorStatus::nanoseconds},
};

}  // namespace

std::string status_text(const EmulatorStatus& status) {
  std::string out =
      fmt::format("{:<20} {:>20}\n{:<20} {:>20}\n", "guest",
                  status.guest_connected ? "connected" : "none", "system_hz", status.system_hz);
  for (const Field& field : kFields) {
    out += fmt::format("{:<20} {:>20}\n", field.name, status.*field.value);
  }
  if (status.runs) {
    out += fmt::format(
        "{:<20} {:>20.1f}\n", "microseconds/run",
        static_cast<double>(status.nanoseconds) / 1e3 / static_cast<double>(status.runs));
  }
  if (status.ops.empty()) return out;
  out += fmt::format("\n{:<20} {:>12} {:>20} {:>7}\n", "operation", "commands", "cycles", "share");
  for (const EmulatorStatus::Op& op : status.ops) {
    const double share =
        status.cycles ? 100.0 * static_cast<double>(op.cycles) / static_cast<double>(status.cycles)
                      : 0;
    out += fmt::format("{:<20} {:>12} {:>20} {:>6.1f}%\n", op.name, op.count, op.cycles, share);
  }
  return out;
}

std::string status_json(const EmulatorStatus& status) {
  nlohmann::ordered_json json;
  json["guest_connected"] = status.guest_connected;
  json["system_hz"] = status.system_hz;
  for (const Field& field : kFields) json[field.name] = status.*field.value;
  json["ops"] = nlohmann::ordered_json::object();
  for (const EmulatorStatus::Op& op : status.ops) {
    json["ops"][op.name] = {{"count", op.count}, {"cycles", op.cycles}};
  }
  return json.dump() + "\n";
}

}  // namespace sluice_emu
