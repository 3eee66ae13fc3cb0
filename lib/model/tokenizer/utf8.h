// SPDX-License-Identifier: Apache-2.0
// UTF-8 as the Unicode standard defines it (table 3-7): no overlong forms, no surrogates, nothing
// above U+10FFFF. Ill-formed bytes are cut into maximal subparts, one U+FFFD each.
#ifndef SLUICE_MODEL_TOKENIZER_UTF8_H
#define SLUICE_MODEL_TOKENIZER_UTF8_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::utf8 {

inline constexpr std::string_view kReplacement = "\xef\xbf\xbd";

enum class Kind : uint8_t {
  kValid,    // a whole character
  kInvalid,  // can become no character, whatever follows
  kPartial,  // the text ends within what may become a character
};

struct Unit {
  Kind kind;
  size_t length;  // bytes, 1 .. 4
};

// What stands at the beginning of `text`, which is not empty.
Unit next(std::string_view text);

}  // namespace sluice::utf8

#endif  // SLUICE_MODEL_TOKENIZER_UTF8_H
