// SPDX-License-Identifier: Apache-2.0
// Streams of text: ids to whole UTF-8 characters, and stop strings that may be cut anywhere. What
// comes out does not depend on how the stream was cut into pieces.
#include <algorithm>

#include <sluice/text.hpp>

#include "model/tokenizer/utf8.h"

namespace sluice {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool at_start)
    : tokenizer_(std::move(tokenizer)),
      drop_space_(at_start && tokenizer_->strips_leading_space()) {}

std::string Detokenizer::push(int32_t id) {
  std::string_view piece = tokenizer_->piece(id);
  if (!piece.empty()) {
    if (drop_space_ && piece[0] == ' ') piece.remove_prefix(1);
    drop_space_ = false;
  }
  pending_ += piece;

  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    const utf8::Unit unit = utf8::next(std::string_view(pending_).substr(at));
    if (unit.kind == utf8::Kind::kPartial) break;
    if (unit.kind == utf8::Kind::kValid) {
      out.append(pending_, at, unit.length);
    } else {
      out += utf8::kReplacement;
    }
    at += unit.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Detokenizer::flush() {
  // At most the beginning of one character is held back.
  std::string out(pending_.empty() ? std::string_view() : utf8::kReplacement);
  pending_.clear();
  return out;
}

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  if (stops_.empty()) return std::string(text);
  held_ += text;

  // The stop string that is complete first ends the stream; of several, the longest.
  size_t end = std::string::npos, begin = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    const size_t stop_end = at + stop.size();
    if (stop_end < end || (stop_end == end && at < begin)) {
      end = stop_end;
      begin = at;
    }
  }
  if (begin != std::string::npos) {
    stopped_ = true;
    std::string out = held_.substr(0, begin);
    held_.clear();
    return out;
  }

  size_t keep = 0;  // the longest end of what is held that a stop string begins with
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) {
        keep = n;
        break;
      }
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopMatcher::flush() {
  std::string out = std::move(held_);
  held_.clear();
  return out;
}

}  // namespace sluice
