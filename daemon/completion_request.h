// SPDX-License-Identifier: Apache-2.0
// The body of POST /v1/completions: what it may hold, and its reader. One table names every field
// with its type and range; what a field may not hold is an error that names it.
#ifndef DAEMON_COMPLETION_REQUEST_H
#define DAEMON_COMPLETION_REQUEST_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api_error.h"

namespace sluice::daemon {

// A text, or token ids (at least one).
using Prompt = std::variant<std::string, std::vector<int32_t>>;

inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = 1024;

// The initial values are the API's defaults.
struct CompletionRequest {
  std::string model;  // empty: the one that is served
  std::vector<Prompt> prompts;
  std::optional<uint32_t> max_tokens;  // absent: 16, or fewer where the context ends
  float temperature = 1;
  float top_p = 1;
  uint32_t top_k = 0;
  float min_p = 0;
  float repeat_penalty = 1;
  uint32_t repeat_last_n = 64;
  std::optional<uint64_t> seed;  // absent: a random one
  uint32_t n = 1;                // choices for each prompt
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  bool echo = false;
  bool ignore_eos = false;
};

// Reads a request's body. Errors: malformed JSON with its position; a field of the wrong type or
// out of range, by name; a field of the API that is not supported, by name. Fields that are null
// count as absent; names that the API does not have are ignored (and logged at debug level).
ApiResult<CompletionRequest> read_completion_request(std::string_view body);

// One line a field for the documentation: name, what is expected.
struct FieldHelp {
  std::string name;
  std::string expects;
};
std::vector<FieldHelp> completion_fields();

}  // namespace sluice::daemon

#endif  // DAEMON_COMPLETION_REQUEST_H
