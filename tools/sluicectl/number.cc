// SPDX-License-Identifier: Apache-2.0
// Parsing of decimal, hexadecimal and octal numbers.
#include "number.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

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

sluice::Result<uint32_t> parse_frequency(const std::string& text) {
  static constexpr struct {
    const char* name;
    unsigned digits;  // of its power of ten
  } kUnits[] = {{"", 0},  {"Hz", 0},  {"k", 3}, {"kHz", 3}, {"K", 3},
                {"M", 6}, {"MHz", 6}, {"G", 9}, {"GHz", 9}};
  const auto refuse = [&] {
    return sluice::fail(
        kUsage, fmt::format("'{}' is no frequency of whole Hz, such as 168MHz or 168000000", text));
  };
  const size_t unit_at = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string unit = text.substr(unit_at);
  const auto* found = std::find_if(std::begin(kUnits), std::end(kUnits),
                                   [&](const auto& one) { return unit == one.name; });
  if (found == std::end(kUnits)) return refuse();
  const size_t point = std::min(text.find('.'), unit_at);
  std::string fraction = point < unit_at ? text.substr(point + 1, unit_at - point - 1) : "";
  if (point == 0 || (point < unit_at && fraction.empty())) return refuse();
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (fraction.size() > found->digits) return refuse();
  fraction.resize(found->digits, '0');
  const std::string digits = text.substr(0, point) + fraction;
  uint32_t hz = 0;
  const char* last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, hz);
  if (error != std::errc() || end != last) return refuse();
  return hz;
}

bool looks_like_number(const std::string& text) {
  return !text.empty() && (text[0] == '-' || text[0] == '+' || (text[0] >= '0' && text[0] <= '9'));
}

}  // namespace sluicectl
