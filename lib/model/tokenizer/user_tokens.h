// SPDX-License-Identifier: Apache-2.0
// User-defined tokens: texts that become one token wherever they stand, before anything else is
// looked at.
#ifndef SLUICE_MODEL_TOKENIZER_USER_TOKENS_H
#define SLUICE_MODEL_TOKENIZER_USER_TOKENS_H

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sluice {

class UserTokens {
 public:
  struct Part {
    std::string_view text;
    int32_t id;  // -1: text that is yet to be encoded
  };

  // `text` must stay where it is, and not be empty. After the last one, finish().
  void add(std::string_view text, int32_t id);
  void finish();

  // Cuts a text. Longer tokens are looked for first, in the whole text, each from left to right.
  std::vector<Part> cut(std::string_view text) const;

 private:
  std::unordered_map<std::string_view, int32_t> ids_;
  std::vector<size_t> lengths_;       // of the texts, longest first
  std::array<bool, 256> first_ = {};  // bytes that one begins with
};

}  // namespace sluice

#endif  // SLUICE_MODEL_TOKENIZER_USER_TOKENS_H
