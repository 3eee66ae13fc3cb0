// SPDX-License-Identifier: Apache-2.0
// UTF-8: one character, ill-formed subpart or unfinished character at a time.
#include "model/tokenizer/utf8.h"

namespace sluice::utf8 {
namespace {

// Lead bytes by range: how long the character is, and what its second byte may be.
struct Lead {
  uint8_t first, last;
  uint8_t length;
  uint8_t second_first, second_last;
};

constexpr Lead kLeads[] = {
    {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

}  // namespace

Unit next(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  for (const Lead& lead : kLeads) {
    if (byte(0) < lead.first || byte(0) > lead.last) continue;
    for (size_t i = 1; i < lead.length; ++i) {
      if (i == text.size()) return {Kind::kPartial, i};
      const uint8_t low = i == 1 ? lead.second_first : 0x80;
      const uint8_t high = i == 1 ? lead.second_last : 0xbf;
      if (byte(i) < low || byte(i) > high) return {Kind::kInvalid, i};
    }
    return {Kind::kValid, lead.length};
  }
  return {Kind::kInvalid, 1};
}

}  // namespace sluice::utf8
