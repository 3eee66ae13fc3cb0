// SPDX-License-Identifier: Apache-2.0
// A SAX consumer that builds the document and counts the nesting: the parser's own tree builder has
// no depth limit, and reports errors without their position unless it may throw.
#include "json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace sluice::daemon {
namespace {

using nlohmann::json;

// What the parser says without its "[json.exception...]" tag and its own account of the position.
std::string reason_of(const char* what) {
  std::string_view text = what;
  if (const size_t tag = text.find("] "); text.starts_with('[') && tag != text.npos) {
    text.remove_prefix(tag + 2);
  }
  if (text.starts_with("parse error at line")) {
    if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
  }
  constexpr size_t kLongest = 160;  // it quotes the last token, which may be the whole body
  if (text.size() > kLongest) return std::string(text.substr(0, kLongest)) + "...";
  return std::string(text);
}

class TreeBuilder final : public nlohmann::json_sax<json> {
 public:
  TreeBuilder(std::string_view text, size_t max_depth) : text_(text), max_depth_(max_depth) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // JSON text has none
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    // The position counts the characters read, the offending one included.
    fail_at(position > 0 ? position - 1 : 0, reason_of(error.what()));
    return false;
  }

  tl::expected<json, std::string> finish(bool whole) && {
    if (whole) return std::move(root_);
    if (error_.empty()) error_ = "malformed JSON";
    return tl::unexpected<std::string>(std::move(error_));
  }

 private:
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (open_.size() >= max_depth_) {
      error_ = fmt::format("JSON is nested deeper than {} levels", max_depth_);
      return false;
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  void fail_at(size_t offset, const std::string& reason) {
    offset = std::min(offset, text_.size());
    const std::string_view before = text_.substr(0, offset);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t newline = before.rfind('\n');
    const size_t column = offset - (newline == before.npos ? 0 : newline + 1) + 1;
    error_ = fmt::format("malformed JSON at line {}, column {} (byte {}): {}", line, column, offset,
                         reason);
  }

  std::string_view text_;
  size_t max_depth_;
  json root_;
  std::vector<json*> open_;  // containers from the root to here
  std::string key_;
  std::string error_;
};

}  // namespace

tl::expected<json, std::string> read_json(std::string_view text, size_t max_depth) {
  TreeBuilder builder(text, max_depth);
  const bool whole = json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).finish(whole);
}

std::string write_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace sluice::daemon
