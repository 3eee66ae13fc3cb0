// SPDX-License-Identifier: Apache-2.0
// Parsing of decimal, hexadecimal and octal numbers.
#include "number.h"

#include <fmt/format.h>

#include <charconv>

namespace sluicectl {

sluice::Result<uint64_t> parse_number(const std::string& text) {
  const char* first = text.data();
  const char* last = first + text.size();
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    first += 2;
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
    first += 1;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(first, last, value, base);
  if (error == std::errc::result_out_of_range) {
    return sluice::fail(kUsage, fmt::format("'{}' does not fit in 64 bits", text));
  }
  if (error != std::errc() || end != last) {
    return sluice::fail(
        kUsage, fmt::format("'{}' is not a number (decimal, 0x hexadecimal or 0 octal)", text));
  }
  return value;
}

bool looks_like_number(const std::string& text) {
  return !text.empty() && (text[0] == '-' || text[0] == '+' || (text[0] >= '0' && text[0] <= '9'));
}

}  // namespace sluicectl
