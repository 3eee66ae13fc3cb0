// SPDX-License-Identifier: Apache-2.0
// Text and JSON for boards, windows, registers and dumps.
#include "print.h"

#include <fmt/format.h>
#include <sluice_sdi.h>

#include <algorithm>
#include <iterator>

namespace sluicectl {
namespace {

const char* kind_name(sluice::BoardKind kind) {
  return kind == sluice::BoardKind::kSdi ? "sdi" : "plain";
}

const char* bus_name(sluice::BusKind bus) {
  return bus == sluice::BusKind::kPlatform ? "platform" : "pci";
}

const char* window_kind_name(sluice::WindowKind kind) {
  switch (kind) {
    case sluice::WindowKind::kRegisters:
      return "registers";
    case sluice::WindowKind::kMemory:
      return "memory";
    case sluice::WindowKind::kPort:
      return "ports";
  }
  return "unknown";
}

std::string id(uint16_t vendor, uint16_t device) {
  return fmt::format("{:04x}:{:04x}", vendor, device);
}

// A platform device has no numbers.
bool is_pci(const sluice::BoardInfo& board) { return board.bus == sluice::BusKind::kPci; }

// On the platform bus nothing in hardware says so: only of boards that the driver gives memory to
// does it know.
const char* bus_master_text(const sluice::BoardInfo& board) {
  if (!is_pci(board) && board.kind == sluice::BoardKind::kPlain) return "not known";
  return board.bus_master ? "on" : "off";
}

// "[7]" or "[15:8]".
std::string bits(const Field& field) {
  return field.high == field.low ? fmt::format("[{}]", field.low)
                                 : fmt::format("[{}:{}]", field.high, field.low);
}

std::string field_value(const Field& field, uint64_t value) {
  const std::string* name = field.name_of(value);
  return fmt::format("{:#x}{}", value, name ? " " + *name : "");
}

}  // namespace

std::string json_line(const Json& json) { return json.dump(2) + "\n"; }

std::string hex(uint64_t value, unsigned width) {
  return fmt::format("0x{:0{}x}", value, width / 4);
}

std::string boards_text(const std::vector<sluice::BoardInfo>& boards) {
  std::string text = fmt::format("{:<14} {:<14} {:<10} {:<6} {:>7}  {}\n", "DEVICE", "BUS NAME",
                                 "ID", "KIND", "WINDOWS", "INTERRUPT");
  for (const auto& board : boards) {
    text += fmt::format("{:<14} {:<14} {:<10} {:<6} {:>7}  {}\n", board.path, board.name,
                        is_pci(board) ? id(board.vendor, board.device) : "-", kind_name(board.kind),
                        board.n_windows, board.has_irq ? "yes" : "no");
  }
  return text;
}

Json board_json(const sluice::BoardInfo& board) {
  return {{"path", board.path},
          {"name", board.name},
          {"kind", kind_name(board.kind)},
          {"bus", bus_name(board.bus)},
          {"vendor", board.vendor},
          {"device", board.device},
          {"subsystem_vendor", board.subsystem_vendor},
          {"subsystem_device", board.subsystem_device},
          {"class", board.class_revision >> 8},
          {"revision", board.class_revision & 0xff},
          {"bus_master", board.bus_master},
          {"has_irq", board.has_irq},
          {"irq_count", board.irq_count},
          {"abi_version", board.abi_version},
          {"n_windows", board.n_windows}};
}

std::string info_text(const sluice::BoardInfo& board,
                      const std::vector<sluice::WindowInfo>& windows) {
  std::string text = fmt::format("{}\n", board.path);
  const auto line = [&](const char* key, const std::string& value) {
    text += fmt::format("  {:<12} {}\n", key, value);
  };
  line("bus name", fmt::format("{} ({})", board.name, bus_name(board.bus)));
  line("kind", kind_name(board.kind));
  if (is_pci(board)) {
    line("id", fmt::format("{}, subsystem {}", id(board.vendor, board.device),
                           id(board.subsystem_vendor, board.subsystem_device)));
    line("class", fmt::format("0x{:06x}, revision 0x{:02x}", board.class_revision >> 8,
                              board.class_revision & 0xff));
  }
  line("bus master", bus_master_text(board));
  line("interrupt", board.has_irq ? fmt::format("yes, {} seen", board.irq_count) : "no");
  line("driver ABI", std::to_string(board.abi_version));
  for (const auto& window : windows) {
    line(fmt::format("window {}", window.index).c_str(),
         fmt::format("{}, {} {}, {} bytes ({:#x}){}{}", window_kind_name(window.kind),
                     is_pci(board) ? "BAR" : "range", window.bar, window.length, window.length,
                     window.can_map ? ", map" : "", window.can_write ? ", write" : ""));
  }
  return text;
}

Json info_json(const sluice::BoardInfo& board, const std::vector<sluice::WindowInfo>& windows) {
  Json json = board_json(board);
  json["windows"] = Json::array();
  for (const auto& window : windows) {
    json["windows"].push_back({{"index", window.index},
                               {"kind", window_kind_name(window.kind)},
                               {"bar", window.bar},
                               {"length", window.length},
                               {"can_map", window.can_map},
                               {"can_write", window.can_write}});
  }
  return json;
}

std::string value_text(const Target& target, uint64_t value) {
  if (target.reg == nullptr) return hex(value, target.width) + "\n";
  if (target.field != nullptr) return field_value(*target.field, target.field->get(value)) + "\n";
  std::string text = fmt::format("{} = {}\n", target.reg->name, hex(value, target.width));
  size_t name_width = 0, bits_width = 0;
  for (const Field& field : target.reg->fields) {
    name_width = std::max(name_width, field.name.size());
    bits_width = std::max(bits_width, bits(field).size());
  }
  for (const Field& field : target.reg->fields) {
    text += fmt::format("  {:<{}} {:>{}} = {}\n", field.name, name_width, bits(field), bits_width,
                        field_value(field, field.get(value)));
  }
  return text;
}

Json value_json(const Target& target, uint64_t value) {
  Json json = {{"window", target.window}, {"offset", target.offset}, {"width", target.width}};
  if (target.reg != nullptr) json["register"] = target.reg->name;
  json["value"] = value;
  json["hex"] = hex(value, target.width);
  if (target.reg == nullptr) return json;
  json["fields"] = Json::object();
  for (const Field& field : target.reg->fields) {
    if (target.field != nullptr && target.field != &field) continue;
    const uint64_t part = field.get(value);
    const std::string* name = field.name_of(part);
    json["fields"][field.name] = {{"value", part}, {"name", name ? Json(*name) : Json()}};
  }
  return json;
}

std::string dump_text(uint64_t offset, unsigned width, const std::vector<uint64_t>& values) {
  constexpr uint64_t kLine = 16;
  const uint64_t bytes = width / 8;
  std::string text;
  for (size_t i = 0; i < values.size(); i++) {
    const uint64_t at = offset + i * bytes;
    if (i == 0 || at % kLine == 0) {
      const uint64_t line = at / kLine * kLine;
      text += fmt::format("{}0x{:08x} ", i == 0 ? "" : "\n", line);
      // A dump that starts inside a line keeps its columns.
      for (uint64_t skip = line; skip < at; skip += bytes) text += std::string(width / 4 + 1, ' ');
    }
    text += fmt::format(" {:0{}x}", values[i], width / 4);
  }
  return text + "\n";
}

Json dump_json(uint32_t window, uint64_t offset, unsigned width,
               const std::vector<uint64_t>& values) {
  Json json = {{"window", window}, {"offset", offset}, {"width", width}};
  json["values"] = values;
  return json;
}

std::string frequency_text(uint32_t hz) {
  static constexpr struct {
    const char* name;
    uint32_t hz;
    int digits;
  } kUnits[] = {{"MHz", 1000000, 6}, {"kHz", 1000, 3}};
  for (const auto& unit : kUnits) {
    if (hz < unit.hz) continue;
    if (hz % unit.hz == 0) return fmt::format("{} {}", hz / unit.hz, unit.name);
    std::string text = fmt::format("{}.{:0{}}", hz / unit.hz, hz % unit.hz, unit.digits);
    text.erase(text.find_last_not_of('0') + 1);
    return text + " " + unit.name;
  }
  return fmt::format("{} Hz", hz);
}

namespace {

const char* source_name(uint32_t source) {
  static constexpr const char* kNames[] = {"hsi", "hse", "pll"};
  return source < std::size(kNames) ? kNames[source] : "unknown";
}

// "1.25 M": three digits that matter.
std::string scaled(double value) {
  static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  size_t at = 0;
  while (value >= 999.5 && at + 1 < std::size(kPrefixes)) {
    value /= 1000;
    at++;
  }
  const int decimals = at == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}", value, decimals, kPrefixes[at]);
}

}  // namespace

std::string clock_text(const sluice::ClockInfo& clock) {
  std::string text;
  const auto line = [&](const char* key, const std::string& value) {
    text += fmt::format("{:<12} {}\n", key, value);
  };
  line("system", frequency_text(clock.system_hz));
  line("source", source_name(clock.source));
  if (clock.source == SLUICE_SDI_CLOCK_SOURCE_PLL) {
    line("pll", fmt::format("M {}, N {}, P {}, Q {}; {} for 48 MHz", clock.m, clock.n, clock.p,
                            clock.q, frequency_text(clock.pll48_hz)));
  }
  line("wait states", std::to_string(clock.wait_states));
  for (size_t i = 0; i < std::size(clock.bus_hz); i++) {
    line(fmt::format("bus {}", i).c_str(), frequency_text(clock.bus_hz[i]));
  }
  for (size_t i = 0; i < std::size(clock.timer_hz); i++) {
    line(fmt::format("timer {}", i).c_str(),
         clock.timer_hz[i] ? frequency_text(clock.timer_hz[i]) : "off");
  }
  line("hsi", frequency_text(clock.hsi_hz));
  line("hse", clock.hse_hz ? frequency_text(clock.hse_hz) : "none");
  line("rated", frequency_text(clock.rated_hz));
  line("boost", frequency_text(clock.boost_hz));
  return text;
}

Json clock_json(const sluice::ClockInfo& clock) {
  return {{"system_hz", clock.system_hz},
          {"source", source_name(clock.source)},
          {"m", clock.m},
          {"n", clock.n},
          {"p", clock.p},
          {"q", clock.q},
          {"wait_states", clock.wait_states},
          {"pll48_hz", clock.pll48_hz},
          {"bus_hz", clock.bus_hz},
          {"timer_hz", clock.timer_hz},
          {"hsi_hz", clock.hsi_hz},
          {"hse_hz", clock.hse_hz},
          {"rated_hz", clock.rated_hz},
          {"boost_hz", clock.boost_hz}};
}

std::string rates_text(const std::vector<BoardRates>& rows) {
  static constexpr char kRow[] =
      "{:<14} {:<9} {:>10} {:>5} {:>10} {:>10} {:>10} {:>10} {:>7}  {}\n";
  std::string text = fmt::format(kRow, "DEVICE", "STATE", "CLOCK", "BUSY", "ENTRIES/s", "MAC/s",
                                 "READ B/s", "WRITE B/s", "QUEUES", "MEMORY");
  for (const BoardRates& row : rows) {
    const auto rate = [&](double value) { return row.counts ? scaled(value) : "-"; };
    text += fmt::format(
        kRow, row.path, row.state, row.system_hz ? frequency_text(row.system_hz) : "-",
        row.counts ? fmt::format("{:.0f}%", row.busy * 100) : "-", rate(row.entries),
        rate(row.macs), rate(row.bytes_read), rate(row.bytes_written),
        row.n_queues ? fmt::format("{}/{}", row.n_queues_used, row.n_queues) : "-",
        row.memory_size ? fmt::format("{}B/{}B", scaled(static_cast<double>(row.memory_used)),
                                      scaled(static_cast<double>(row.memory_size)))
                        : "-");
  }
  return text;
}

Json rates_json(const std::vector<BoardRates>& rows) {
  Json json = Json::array();
  for (const BoardRates& row : rows) {
    Json one = {{"path", row.path},
                {"state", row.state},
                {"system_hz", row.system_hz},
                {"queues", row.n_queues},
                {"queues_used", row.n_queues_used},
                {"memory_size", row.memory_size},
                {"memory_used", row.memory_used}};
    if (row.counts) {
      one["busy"] = row.busy;
      one["entries_per_second"] = row.entries;
      one["macs_per_second"] = row.macs;
      one["bytes_read_per_second"] = row.bytes_read;
      one["bytes_written_per_second"] = row.bytes_written;
    }
    json.push_back(one);
  }
  return json;
}

std::string users_text(const std::vector<BoardUser>& users) {
  static constexpr char kRow[] = "{:<14} {:>7} {:<16} {:>5} {:>6} {:>8}\n";
  std::string text = fmt::format(kRow, "DEVICE", "PID", "COMMAND", "FILES", "QUEUES", "MAPPINGS");
  for (const BoardUser& user : users) {
    text += fmt::format(kRow, user.path, user.pid, user.command, user.n_files, user.n_queues,
                        user.n_mappings);
  }
  return text;
}

Json users_json(const std::vector<BoardUser>& users) {
  Json json = Json::array();
  for (const BoardUser& user : users) {
    json.push_back({{"path", user.path},
                    {"pid", user.pid},
                    {"command", user.command},
                    {"files", user.n_files},
                    {"queues", user.n_queues},
                    {"mappings", user.n_mappings}});
  }
  return json;
}

}  // namespace sluicectl
