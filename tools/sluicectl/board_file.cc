// SPDX-License-Identifier: Apache-2.0
// Reading of board descriptions; every value is checked, and every unknown key refused, because a
// misspelt "acess" that goes unnoticed is a register written by mistake.
#include "board_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <string_view>

#include "number.h"
#include "tools/common/cli.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace sluicectl {
namespace {

using sluice::Error;
using sluice::fail;
using sluice::Result;

// One table of the file and how to speak of it.
struct Place {
  const toml::table& table;
  std::string name;  // "boards/edu.toml: register CTRL"
};

Result<void> check_keys(const Place& place, std::initializer_list<const char*> known) {
  for (const auto& [key, value] : place.table) {
    const std::string_view name = key.str();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return fail(EBADMSG, fmt::format("{}: line {}: unknown key '{}'", place.name,
                                       value.source().begin.line, name));
    }
  }
  return {};
}

Result<std::string> get_string(const Place& place, const char* key, const std::string& fallback) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return fallback;
  if (const auto value = node->value_exact<std::string>()) return *value;
  return fail(EBADMSG, fmt::format("{}: {}: expected a string", place.name, key));
}

Result<std::optional<uint64_t>> get_number(const Place& place, const char* key, uint64_t max) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value_exact<int64_t>();
  if (!value || *value < 0 || static_cast<uint64_t>(*value) > max) {
    return fail(EBADMSG,
                fmt::format("{}: {}: expected a number from 0 to {}", place.name, key, max));
  }
  return static_cast<uint64_t>(*value);
}

// A name can be told from a number, and from REGISTER.FIELD, on the command line.
Result<std::string> get_name(const Place& place) {
  SLUICE_TRY(const std::string name, get_string(place, "name", ""));
  const char* tail = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
  if (name.empty() || looks_like_number(name) || name.find_first_not_of(tail) != name.npos) {
    return fail(EBADMSG, fmt::format("{}: name '{}': expected letters, digits and _, not starting "
                                     "with a digit",
                                     place.name, name));
  }
  return name;
}

// "7", "15:8" or 7.
Result<void> parse_bits(const Place& place, unsigned width, Field* field) {
  const toml::node* node = place.table.get("bits");
  uint64_t high = 0, low = 0;
  bool good = false;
  if (node != nullptr && node->is_integer()) {
    high = low = static_cast<uint64_t>(node->value_or(int64_t{-1}));
    good = true;
  } else if (node != nullptr && node->is_string()) {
    const std::string text = node->value_or(std::string());
    const size_t colon = text.find(':');
    const auto first = parse_number(text.substr(0, colon));
    const auto second = colon == text.npos ? first : parse_number(text.substr(colon + 1));
    good = first && second;
    if (good) high = *first, low = *second;
  }
  if (!good || high < low || high >= width) {
    return fail(EBADMSG, fmt::format("{}: bits: expected a bit number or \"HIGH:LOW\" within {} "
                                     "bits",
                                     place.name, width));
  }
  field->high = static_cast<unsigned>(high);
  field->low = static_cast<unsigned>(low);
  return {};
}

Result<void> parse_names(const Place& place, Field* field) {
  const toml::node* node = place.table.get("enum");
  if (node == nullptr) return {};
  const toml::table* names = node->as_table();
  if (names == nullptr) {
    return fail(EBADMSG, fmt::format("{}: enum: expected {{ VALUE = \"name\" }}", place.name));
  }
  for (const auto& [key, value] : *names) {
    const auto number = parse_number(std::string(key.str()));
    const auto name = value.value_exact<std::string>();
    if (!number || *number > field->max() || !name || name->empty() || looks_like_number(*name)) {
      return fail(EBADMSG, fmt::format("{}: enum {}: expected VALUE = \"name\" with a value up to "
                                       "{:#x}",
                                       place.name, key.str(), field->max()));
    }
    field->names.push_back({*number, *name});
  }
  std::sort(field->names.begin(), field->names.end(),
            [](const EnumName& a, const EnumName& b) { return a.value < b.value; });
  return {};
}

Result<Field> parse_field(const Place& place, const Register& reg) {
  SLUICE_CHECK(check_keys(place, {"name", "bits", "enum", "description"}));
  Field field;
  SLUICE_TRY(field.name, get_name(place));
  const Place named{place.table, fmt::format("{} field {}", place.name, field.name)};
  SLUICE_CHECK(parse_bits(named, reg.width, &field));
  SLUICE_CHECK(parse_names(named, &field));
  SLUICE_TRY(field.description, get_string(named, "description", ""));
  for (const Field& other : reg.fields) {
    if (other.name == field.name) {
      return fail(EBADMSG, fmt::format("{}: two fields of that name", named.name));
    }
    if ((other.mask() & field.mask()) != 0) {
      return fail(EBADMSG, fmt::format("{}: overlaps field {}", named.name, other.name));
    }
  }
  return field;
}

// Calls `each` for every table of the array of tables `key`; a missing array is an empty one.
template <typename Each>
Result<void> for_tables(const Place& place, const char* key, Each each) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    return fail(EBADMSG, fmt::format("{}: {}: expected [[...]] tables", place.name, key));
  }
  for (const toml::node& entry : *array) {
    const toml::table* table = entry.as_table();
    if (table == nullptr) {
      return fail(EBADMSG, fmt::format("{}: {}: expected [[...]] tables", place.name, key));
    }
    SLUICE_CHECK(each(*table));
  }
  return {};
}

Result<Access> parse_access(const Place& place) {
  SLUICE_TRY(const std::string text, get_string(place, "access", "rw"));
  if (text == "rw") return Access::kReadWrite;
  if (text == "ro") return Access::kReadOnly;
  if (text == "wo") return Access::kWriteOnly;
  return fail(EBADMSG,
              fmt::format("{}: access '{}': expected \"rw\", \"ro\" or \"wo\"", place.name, text));
}

Result<Register> parse_register(const Place& place) {
  SLUICE_CHECK(
      check_keys(place, {"name", "window", "offset", "width", "access", "description", "field"}));
  Register reg;
  SLUICE_TRY(reg.name, get_name(place));
  const Place named{place.table, fmt::format("{} {}", place.name, reg.name)};
  SLUICE_TRY(const auto window, get_number(named, "window", UINT32_MAX));
  SLUICE_TRY(const auto offset, get_number(named, "offset", INT64_MAX));
  SLUICE_TRY(const auto width, get_number(named, "width", 64));
  SLUICE_TRY(reg.access, parse_access(named));
  SLUICE_TRY(reg.description, get_string(named, "description", ""));
  if (!offset) return fail(EBADMSG, named.name + ": offset is missing");
  reg.window = static_cast<uint32_t>(window.value_or(0));
  reg.offset = *offset;
  reg.width = static_cast<unsigned>(width.value_or(32));
  if (reg.width != 8 && reg.width != 16 && reg.width != 32 && reg.width != 64) {
    return fail(EBADMSG, named.name + ": width: expected 8, 16, 32 or 64");
  }
  if (reg.offset % (reg.width / 8) != 0) {
    return fail(EBADMSG, fmt::format("{}: offset {:#x}: expected a multiple of {} for {} bits",
                                     named.name, reg.offset, reg.width / 8, reg.width));
  }
  SLUICE_CHECK(for_tables(named, "field", [&](const toml::table& table) -> Result<void> {
    SLUICE_TRY(Field field, parse_field({table, named.name}, reg));
    reg.fields.push_back(std::move(field));
    return {};
  }));
  std::sort(reg.fields.begin(), reg.fields.end(),
            [](const Field& a, const Field& b) { return a.high > b.high; });
  return reg;
}

Result<void> parse_head(const Place& file, BoardFile* board) {
  const toml::node* node = file.table.get("board");
  if (node == nullptr) return {};
  const toml::table* table = node->as_table();
  if (table == nullptr) return fail(EBADMSG, file.name + ": board: expected a [board] table");
  const Place place{*table, file.name + ": board"};
  SLUICE_CHECK(check_keys(place, {"name", "vendor", "device"}));
  SLUICE_TRY(board->name, get_string(place, "name", ""));
  SLUICE_TRY(const auto vendor, get_number(place, "vendor", UINT16_MAX));
  SLUICE_TRY(const auto device, get_number(place, "device", UINT16_MAX));
  if (vendor) board->vendor = static_cast<uint16_t>(*vendor);
  if (device) board->device = static_cast<uint16_t>(*device);
  return {};
}

}  // namespace

const std::string* Field::name_of(uint64_t value) const {
  for (const EnumName& entry : names) {
    if (entry.value == value) return &entry.name;
  }
  return nullptr;
}

const Field* Register::field(const std::string& field_name) const {
  for (const Field& entry : fields) {
    if (entry.name == field_name) return &entry;
  }
  return nullptr;
}

const Register* BoardFile::find(const std::string& register_name) const {
  for (const Register& entry : registers) {
    if (entry.name == register_name) return &entry;
  }
  return nullptr;
}

Result<BoardFile> parse_board(const std::string& text, const std::string& path) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return fail(EBADMSG, fmt::format("{}: line {}: {}", path, parsed.error().source().begin.line,
                                     parsed.error().description()));
  }
  BoardFile board;
  board.path = path;
  const Place file{parsed.table(), path};
  SLUICE_CHECK(check_keys(file, {"board", "register"}));
  SLUICE_CHECK(parse_head(file, &board));
  SLUICE_CHECK(for_tables(file, "register", [&](const toml::table& table) -> Result<void> {
    SLUICE_TRY(Register reg, parse_register({table, path + ": register"}));
    if (board.find(reg.name) != nullptr) {
      return fail(EBADMSG, fmt::format("{}: two registers named {}", path, reg.name));
    }
    board.registers.push_back(std::move(reg));
    return {};
  }));
  if (board.registers.empty()) return fail(EBADMSG, path + ": no [[register]] in it");
  return board;
}

Result<BoardFile> load_board(const std::string& path) {
  SLUICE_TRY(const std::string text, sluice::cli::read_text(path));
  return parse_board(text, path);
}

}  // namespace sluicectl
