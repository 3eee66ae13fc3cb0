// SPDX-License-Identifier: Apache-2.0
// The table of request fields. A row either names a member with its range or a reader of its own;
// everything else, the wording of the errors included, follows from the row.
#include "completion_request.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "json_reader.h"

namespace sluice::daemon {
namespace {

using nlohmann::json;
using R = CompletionRequest;

// Reads a value into the request. The text says what was expected instead; `at` is the place inside
// the value ("[3]"), if it is not the value as a whole.
struct Mismatch {
  std::string expects;
  std::string at;
};
using Outcome = std::optional<Mismatch>;
using Reader = Outcome (*)(const json& value, R& request);

// A field that the API has and that is not supported, except for this reader's values, which ask
// for nothing.
struct Unsupported {
  bool (*asks_for_nothing)(const json& value);
};

using Target = std::variant<bool R::*, uint32_t R::*, std::optional<uint32_t> R::*, float R::*,
                            std::string R::*, Reader, Unsupported>;

struct Field {
  const char* name;
  Target target;
  double min = 0;  // numbers: the accepted range
  double max = 0;
  const char* expects = nullptr;  // readers of their own: for the documentation
};

constexpr double kMaxU32 = std::numeric_limits<uint32_t>::max();

bool is_id(const json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() || value.get<uint64_t>() <= INT32_MAX) &&
         value.get<int64_t>() >= 0;
}

Outcome read_ids(const json& values, R& request) {
  std::vector<int32_t> ids;
  ids.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!is_id(values[i])) return Mismatch{"a token id", fmt::format("[{}]", i)};
    ids.push_back(values[i].get<int32_t>());
  }
  if (ids.empty()) return Mismatch{"at least one token id", ""};
  request.prompts.emplace_back(std::move(ids));
  return {};
}

constexpr char kPromptExpects[] =
    "a string, an array of strings, an array of token ids, or an array of such arrays";

Outcome read_prompt(const json& value, R& request) {
  if (value.is_string()) {
    request.prompts.emplace_back(value.get<std::string>());
    return {};
  }
  if (!value.is_array() || value.empty()) return Mismatch{kPromptExpects, ""};
  const json& first = value.front();
  if (first.is_number()) return read_ids(value, request);
  if (!first.is_string() && !first.is_array()) return Mismatch{kPromptExpects, "[0]"};
  for (size_t i = 0; i < value.size(); ++i) {
    const json& item = value[i];
    if (item.type() != first.type()) {
      return Mismatch{first.is_string() ? "a string, as the first one is"
                                        : "an array of token ids, as the first one is",
                      fmt::format("[{}]", i)};
    }
    if (item.is_string()) {
      request.prompts.emplace_back(item.get<std::string>());
    } else if (auto wrong = read_ids(item, request)) {
      wrong->at = fmt::format("[{}]{}", i, wrong->at);
      return wrong;
    }
  }
  return {};
}

Outcome add_stop(const json& value, std::string at, R& request) {
  if (!value.is_string()) return Mismatch{"a string", std::move(at)};
  auto text = value.get<std::string>();
  if (text.empty() || text.size() > kMaxStopBytes) {
    return Mismatch{fmt::format("a string of 1 to {} bytes", kMaxStopBytes), std::move(at)};
  }
  request.stop.push_back(std::move(text));
  return {};
}

Outcome read_stop(const json& value, R& request) {
  if (value.is_string()) return add_stop(value, "", request);
  if (!value.is_array() || value.size() > kMaxStops) {
    return Mismatch{fmt::format("a string or an array of at most {} strings", kMaxStops), ""};
  }
  for (size_t i = 0; i < value.size(); ++i) {
    if (auto wrong = add_stop(value[i], fmt::format("[{}]", i), request)) return wrong;
  }
  return {};
}

Outcome read_seed(const json& value, R& request) {
  if (!value.is_number_integer()) return Mismatch{"a 64-bit integer", ""};
  request.seed = value.is_number_unsigned() ? value.get<uint64_t>()
                                            : static_cast<uint64_t>(value.get<int64_t>());
  return {};
}

Outcome read_stream_options(const json& value, R& request) {
  if (!value.is_object()) return Mismatch{"an object", ""};
  const auto found = value.find("include_usage");
  if (found == value.end() || found->is_null()) return {};
  if (!found->is_boolean()) return Mismatch{"true or false", ".include_usage"};
  request.include_usage = found->get<bool>();
  return {};
}

bool is_zero(const json& value) { return value.is_number() && value.get<double>() == 0; }
bool is_empty(const json& value) {
  return (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_object() && value.empty());
}
bool is_one(const json& value) { return value.is_number_integer() && value.get<int64_t>() == 1; }
bool never(const json&) { return false; }

const Field kFields[] = {
    {"model", &R::model},
    {"prompt", &read_prompt, 0, 0, kPromptExpects},
    {"max_tokens", &R::max_tokens, 0, kMaxU32},
    {"temperature", &R::temperature, 0, 2},
    {"top_p", &R::top_p, 0, 1},
    {"n", &R::n, 1, 1024},
    {"stop", &read_stop, 0, 0, "a string or an array of at most 16 strings"},
    {"seed", &read_seed, 0, 0, "a 64-bit integer"},
    {"stream", &R::stream},
    {"stream_options", &read_stream_options, 0, 0, "an object; include_usage: true or false"},
    {"echo", &R::echo},
    {"top_k", &R::top_k, 0, kMaxU32},
    {"min_p", &R::min_p, 0, 1},
    {"repeat_penalty", &R::repeat_penalty, 0.01, 10},
    {"repeat_last_n", &R::repeat_last_n, 0, 65536},
    {"ignore_eos", &R::ignore_eos},
    {"presence_penalty", Unsupported{&is_zero}},
    {"frequency_penalty", Unsupported{&is_zero}},
    {"best_of", Unsupported{&is_one}},
    {"logit_bias", Unsupported{&is_empty}},
    {"logprobs", Unsupported{&never}},
    {"suffix", Unsupported{&is_empty}},
    {"user", Unsupported{[](const json& value) { return value.is_string(); }}},
};

std::string range_of(const char* kind, const Field& field) {
  return fmt::format("{} from {} to {}", kind, field.min, field.max);
}

struct ReadInto {
  const json& value;
  const Field& field;
  R& request;

  Outcome operator()(bool R::*member) const {
    if (!value.is_boolean()) return Mismatch{"true or false", ""};
    request.*member = value.get<bool>();
    return {};
  }
  Outcome operator()(std::string R::*member) const {
    if (!value.is_string()) return Mismatch{"a string", ""};
    request.*member = value.get<std::string>();
    return {};
  }
  Outcome operator()(uint32_t R::*member) const { return whole_number(request.*member); }
  Outcome operator()(std::optional<uint32_t> R::*member) const {
    return whole_number((request.*member).emplace());
  }
  Outcome operator()(float R::*member) const {
    const double number = value.is_number() ? value.get<double>() : -1;
    if (!value.is_number() || !(number >= field.min && number <= field.max)) {
      return Mismatch{range_of("a number", field), ""};
    }
    request.*member = static_cast<float>(number);
    return {};
  }
  Outcome operator()(Reader reader) const { return reader(value, request); }
  Outcome operator()(Unsupported) const { return {}; }  // looked at before

  Outcome whole_number(uint32_t& out) const {
    const double number = value.is_number_integer() ? value.get<double>() : -1;
    if (!value.is_number_integer() || number < field.min || number > field.max) {
      return Mismatch{range_of("a whole number", field), ""};
    }
    out = static_cast<uint32_t>(number);
    return {};
  }
};

// "a string", "3.5": what the client sent instead, short.
std::string describe(const json& value) {
  if (value.is_number()) return value.dump();
  if (value.is_null() || value.is_boolean()) return value.dump();
  return fmt::format("{} {}", value.is_array() || value.is_object() ? "an" : "a",
                     value.type_name());
}

// The place inside `value` that `at` ("[3][1]", ".include_usage") points to.
const json& value_at(const json& value, std::string_view at) {
  const json* here = &value;
  while (at.starts_with('[')) {
    here = &(*here)[std::strtoul(at.data() + 1, nullptr, 10)];
    at.remove_prefix(at.find(']') + 1);
  }
  return at.starts_with('.') ? here->at(std::string(at.substr(1))) : *here;
}

ApiResult<void> read_field(const Field& field, const json& value, R& request) {
  if (const auto* unsupported = std::get_if<Unsupported>(&field.target)) {
    if (unsupported->asks_for_nothing(value)) return {};
    return tl::unexpected(invalid_request(
        fmt::format("'{}' is not supported here, other than with its default", field.name),
        field.name, "unsupported_parameter"));
  }
  const Outcome wrong = std::visit(ReadInto{value, field, request}, field.target);
  if (!wrong) return {};
  const std::string param = field.name + wrong->at;
  return tl::unexpected(
      invalid_request(fmt::format("'{}' must be {}, not {}", param, wrong->expects,
                                  describe(value_at(value, wrong->at))),
                      param, "invalid_value"));
}

// What fits no single row.
ApiResult<void> check_together(const json& body, const R& request) {
  if (request.prompts.empty()) {
    return tl::unexpected(
        invalid_request(fmt::format("'prompt' is missing: it must be {}", kPromptExpects), "prompt",
                        "missing_required_parameter"));
  }
  const auto options = body.find("stream_options");
  if (!request.stream && options != body.end() && !options->is_null()) {
    return tl::unexpected(invalid_request("'stream_options' may only stand beside \"stream\": true",
                                          "stream_options", "invalid_value"));
  }
  return {};
}

}  // namespace

ApiResult<CompletionRequest> read_completion_request(std::string_view body) {
  const auto parsed = read_json(body);
  if (!parsed) return tl::unexpected(invalid_request(parsed.error(), {}, "invalid_json"));
  if (!parsed->is_object()) {
    return tl::unexpected(
        invalid_request(fmt::format("the body must be a JSON object, not {}", describe(*parsed)),
                        {}, "invalid_value"));
  }
  R request;
  for (const auto& [name, value] : parsed->items()) {
    if (value.is_null()) continue;
    const auto* field =
        std::find_if(std::begin(kFields), std::end(kFields),
                     [&key = name](const Field& candidate) { return candidate.name == key; });
    if (field == std::end(kFields)) {
      spdlog::debug("ignored the unknown request field {}",
                    write_json(std::string(name.substr(0, 64))));
      continue;
    }
    if (auto read = read_field(*field, value, request); !read) {
      return tl::unexpected(std::move(read).error());
    }
  }
  if (auto checked = check_together(*parsed, request); !checked) {
    return tl::unexpected(std::move(checked).error());
  }
  return request;
}

std::vector<FieldHelp> completion_fields() {
  struct Describe {
    const Field& field;
    std::string operator()(bool R::*) const { return "true or false"; }
    std::string operator()(std::string R::*) const { return "a string"; }
    std::string operator()(uint32_t R::*) const { return range_of("a whole number", field); }
    std::string operator()(std::optional<uint32_t> R::*) const {
      return range_of("a whole number", field);
    }
    std::string operator()(float R::*) const { return range_of("a number", field); }
    std::string operator()(Reader) const { return field.expects; }
    std::string operator()(Unsupported) const { return "only its default"; }
  };
  std::vector<FieldHelp> help;
  for (const Field& field : kFields) {
    help.push_back({field.name, std::visit(Describe{field}, field.target)});
  }
  return help;
}

}  // namespace sluice::daemon
