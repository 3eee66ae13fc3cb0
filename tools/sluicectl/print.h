// SPDX-License-Identifier: Apache-2.0
// What sluicectl prints: one function per thing, as text for people or as JSON for scripts.
#ifndef SLUICECTL_PRINT_H
#define SLUICECTL_PRINT_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <sluice/device.hpp>
#include <string>
#include <vector>

#include "board_file.h"
#include "board_io.h"

namespace sluicectl {

using Json = nlohmann::ordered_json;

// What JSON commands print: indented, with a newline at the end.
std::string json_line(const Json& json);

// "0x010000ed": as many digits as the width has.
std::string hex(uint64_t value, unsigned width);

std::string boards_text(const std::vector<sluice::BoardInfo>& boards);
Json board_json(const sluice::BoardInfo& board);

std::string info_text(const sluice::BoardInfo& board,
                      const std::vector<sluice::WindowInfo>& windows);
Json info_json(const sluice::BoardInfo& board, const std::vector<sluice::WindowInfo>& windows);

// A register by offset is its value; a named one shows its fields; a field is its value and name.
std::string value_text(const Target& target, uint64_t value);
Json value_json(const Target& target, uint64_t value);

// 16 bytes a line, each register of `width` bits; `values` start at `offset`.
std::string dump_text(uint64_t offset, unsigned width, const std::vector<uint64_t>& values);
Json dump_json(uint32_t window, uint64_t offset, unsigned width,
               const std::vector<uint64_t>& values);

// "168 MHz", "32.768 kHz": nothing is rounded.
std::string frequency_text(uint32_t hz);
std::string clock_text(const sluice::ClockInfo& clock);
Json clock_json(const sluice::ClockInfo& clock);

// A row of `top`: rates are per second.
struct BoardRates {
  std::string path, state;
  uint32_t system_hz = 0;  // 0: no clock block
  bool counts = false;     // without counters the rates are not known
  uint32_t n_queues = 0, n_queues_used = 0;
  uint64_t memory_size = 0, memory_used = 0;
  double busy = 0;  // part of the time
  double entries = 0, macs = 0, bytes_read = 0, bytes_written = 0;
};
std::string rates_text(const std::vector<BoardRates>& rows);
Json rates_json(const std::vector<BoardRates>& rows);

// A row of `who`.
struct BoardUser {
  std::string path, command;
  int pid = 0;
  uint64_t n_files = 0, n_queues = 0, n_mappings = 0;
};
std::string users_text(const std::vector<BoardUser>& users);
Json users_json(const std::vector<BoardUser>& users);

}  // namespace sluicectl

#endif  // SLUICECTL_PRINT_H
