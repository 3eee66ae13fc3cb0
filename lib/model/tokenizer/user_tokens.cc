// SPDX-License-Identifier: Apache-2.0
#include "model/tokenizer/user_tokens.h"

#include <algorithm>
#include <functional>

namespace sluice {

void UserTokens::add(std::string_view text, int32_t id) {
  ids_[text] = id;
  lengths_.push_back(text.size());
  first_[static_cast<uint8_t>(text[0])] = true;
}

void UserTokens::finish() {
  std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
  lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
}

std::vector<UserTokens::Part> UserTokens::cut(std::string_view text) const {
  std::vector<Part> parts{{text, -1}};
  for (const size_t length : lengths_) {
    std::vector<Part> next;
    for (const Part& part : parts) {
      size_t begin = 0;
      for (size_t at = 0; part.id < 0 && at + length <= part.text.size(); ++at) {
        if (!first_[static_cast<uint8_t>(part.text[at])]) continue;
        const auto it = ids_.find(part.text.substr(at, length));
        if (it == ids_.end()) continue;
        if (at > begin) next.push_back({part.text.substr(begin, at - begin), -1});
        next.push_back({it->first, it->second});
        begin = at + length;
        at = begin - 1;
      }
      if (begin < part.text.size()) next.push_back({part.text.substr(begin), part.id});
    }
    parts = std::move(next);
  }
  return parts;
}

}  // namespace sluice
