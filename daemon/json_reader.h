// SPDX-License-Identifier: Apache-2.0
// Reads JSON that came from the network: no exceptions, bounded nesting, and errors that say where.
#ifndef DAEMON_JSON_READER_H
#define DAEMON_JSON_READER_H

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sluice::daemon {

inline constexpr size_t kMaxJsonDepth = 32;

// Parses one JSON value that fills `text`. The error is a sentence with line, column and byte
// offset: malformed JSON, invalid UTF-8 in a string, a number too large for its type, or nesting
// deeper than `max_depth`. Of a key that occurs twice the last value counts.
tl::expected<nlohmann::json, std::string> read_json(std::string_view text,
                                                    size_t max_depth = kMaxJsonDepth);

// Compact JSON, fields in the order in which they were added; invalid UTF-8 in strings becomes
// U+FFFD.
std::string write_json(const nlohmann::ordered_json& value);

}  // namespace sluice::daemon

#endif  // DAEMON_JSON_READER_H
