// SPDX-License-Identifier: Apache-2.0
// Parsing of numbers with a suffix.
#include "units.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <string_view>

namespace sluice_emu {

sluice::Result<uint64_t> parse_amount(const std::string& text, uint64_t unit) {
  constexpr std::string_view kSuffixes = "kMGT";
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  bool good = error == std::errc() && rest != text.data() && end - rest <= 1;
  if (good && rest != end) {
    const size_t power = kSuffixes.find(*rest == 'K' ? 'k' : *rest);
    good = power != kSuffixes.npos;
    for (size_t i = 0; good && i <= power; ++i) {
      good = !__builtin_mul_overflow(value, unit, &value);
    }
  }
  if (good) return value;
  return sluice::fail(EINVAL,
                      fmt::format("'{}': expected a number, with k, M, G or T behind it", text));
}

}  // namespace sluice_emu
