// SPDX-License-Identifier: Apache-2.0
// Board descriptions: a TOML file that names a board's registers and their fields.
// The format is documented in docs/driver.md; what is accepted here has no overlap, no register
// outside its width's alignment and no field outside its register.
#ifndef SLUICECTL_BOARD_FILE_H
#define SLUICECTL_BOARD_FILE_H

#include <cstdint>
#include <optional>
#include <sluice/result.hpp>
#include <string>
#include <vector>

namespace sluicectl {

enum class Access { kReadWrite, kReadOnly, kWriteOnly };

struct EnumName {
  uint64_t value = 0;
  std::string name;
};

struct Field {
  std::string name;
  unsigned high = 0, low = 0;  // bits, both inclusive
  std::string description;
  std::vector<EnumName> names;

  uint64_t max() const { return ~uint64_t{0} >> (63 - (high - low)); }
  uint64_t mask() const { return max() << low; }
  uint64_t get(uint64_t value) const { return (value >> low) & max(); }
  uint64_t put(uint64_t value, uint64_t field) const { return (value & ~mask()) | field << low; }
  // The name of a value, or null.
  const std::string* name_of(uint64_t value) const;
};

struct Register {
  std::string name;
  uint32_t window = 0;
  uint64_t offset = 0;
  unsigned width = 32;
  Access access = Access::kReadWrite;
  std::string description;
  std::vector<Field> fields;

  const Field* field(const std::string& field_name) const;
};

struct BoardFile {
  std::string path;
  std::string name;
  // What `info` must say for the description to fit; not given: anything.
  std::optional<uint16_t> vendor, device;
  std::vector<Register> registers;

  const Register* find(const std::string& register_name) const;
};

// Errors name the path, and the line or the register and key that they are about.
sluice::Result<BoardFile> parse_board(const std::string& text, const std::string& path);
sluice::Result<BoardFile> load_board(const std::string& path);

}  // namespace sluicectl

#endif  // SLUICECTL_BOARD_FILE_H
