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

}  // namespace sluicectl

#endif  // SLUICECTL_PRINT_H
