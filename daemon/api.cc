// SPDX-License-Identifier: Apache-2.0
// Routing, authorization and the endpoints that answer at once.
#include "api.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <strings.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "json_reader.h"

namespace sluice::daemon {
namespace {

using json = nlohmann::ordered_json;

// Takes the same time wherever the texts differ, so that a key cannot be guessed byte by byte.
bool equal_in_constant_time(std::string_view given, std::string_view expected) {
  unsigned difference = given.size() == expected.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference |= static_cast<unsigned char>(given[i] ^ other);
  }
  return difference == 0;
}

// Whether `path` is the route's; what stands for {id} goes to `ret_argument`.
bool matches(std::string_view pattern, std::string_view path, std::string* ret_argument) {
  constexpr std::string_view kPlaceholder = "{id}";
  if (!pattern.ends_with(kPlaceholder)) return path == pattern;
  pattern.remove_suffix(kPlaceholder.size());
  if (path.size() <= pattern.size() || !path.starts_with(pattern)) return false;
  return decode_percent(path.substr(pattern.size()), ret_argument);
}

HttpResponse json_response(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

}  // namespace

const Api::Route Api::kRoutes[] = {
    {"GET", "/health", false, &Api::get_health},
    {"GET", "/v1/models", true, &Api::list_models},
    {"GET", "/v1/models/{id}", true, &Api::get_model},
    {"POST", "/v1/completions", true, &Api::complete},
};

Api::Api(std::shared_ptr<const Model> model, EngineInfo engine_info, Scheduler& scheduler,
         ApiOptions options, Background background)
    : model_(std::move(model)),
      engine_info_(std::move(engine_info)),
      scheduler_(scheduler),
      options_(std::move(options)),
      started_(std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()),
      completions_(model_, scheduler_, options_.model_id, options_.n_ctx, options_.max_choices,
                   std::move(background)) {}

void Api::handle(const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
  try {
    dispatch(request, reply);
  } catch (const std::exception& error) {  // out of memory, in all likelihood
    spdlog::error("request handler: {}", error.what());
    reply->send(to_response(server_error(500, "the server ran out of resources")));
  }
}

void Api::dispatch(const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
  std::string allow;  // methods of this path
  for (const Route& route : kRoutes) {
    std::string argument;
    if (!matches(route.path, request.path, &argument)) continue;
    if (request.method == route.method) {
      if (route.needs_key && !is_authorized(request)) {
        return reply->send(to_response({401, "invalid_request_error",
                                        "a valid API key is needed, as in \"Authorization: Bearer "
                                        "KEY\"",
                                        "", "invalid_api_key"}));
      }
      return (this->*route.handler)({request, std::move(argument), reply});
    }
    if (!allow.empty()) allow += ", ";
    allow += route.method;
    if (allow.ends_with("GET")) allow += ", HEAD";
  }
  if (allow.empty()) {
    return reply->send(to_response(
        {404, "invalid_request_error",
         fmt::format("there is nothing at {} {}", request.method, request.path.substr(0, 256)), "",
         "unknown_url"}));
  }
  if (request.method == "OPTIONS" && !options_.cors_origin.empty()) {
    return answer_preflight(allow, reply);
  }
  auto response = to_response({405, "invalid_request_error",
                               fmt::format("{} is not allowed at {}; allowed: {}", request.method,
                                           request.path.substr(0, 256), allow),
                               "", "method_not_allowed"});
  response.headers.emplace_back("allow", allow);
  reply->send(std::move(response));
}

bool Api::is_authorized(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return true;
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view given = request.authorization;
  if (given.size() < kScheme.size() ||
      strncasecmp(given.data(), kScheme.data(), kScheme.size()) != 0) {
    return false;
  }
  given.remove_prefix(kScheme.size());
  bool found = false;
  for (const std::string& key : options_.api_keys) found |= equal_in_constant_time(given, key);
  return found;
}

void Api::answer_preflight(const std::string& allow, const std::shared_ptr<Reply>& reply) const {
  HttpResponse response;
  response.status = 204;
  response.headers = {{"access-control-allow-methods", allow},
                      {"access-control-allow-headers", "authorization, content-type"},
                      {"access-control-max-age", "600"}};
  reply->send(std::move(response));
}

void Api::get_health(const Call& call) {
  const Scheduler::Stats stats = scheduler_.stats();
  call.reply->send(json_response(write_json({{"status", "ok"},
                                             {"running", stats.running},
                                             {"waiting", stats.waiting},
                                             {"preempted", stats.preempted}})));
}

void Api::list_models(const Call& call) {
  call.reply->send(json_response(fmt::format(R"({{"object":"list","data":[{}]}})", model_json())));
}

void Api::get_model(const Call& call) {
  if (call.argument == options_.model_id) return call.reply->send(json_response(model_json()));
  call.reply->send(
      to_response({404, "invalid_request_error",
                   fmt::format("there is no model '{}' here", call.argument.substr(0, 256)),
                   "model", "model_not_found"}));
}

void Api::complete(const Call& call) { completions_.handle(call.request, call.reply); }

std::string Api::model_json() const {
  const ModelInfo& info = model_->info();
  return write_json({{"id", options_.model_id},
                     {"object", "model"},
                     {"created", started_},
                     {"owned_by", "sluice"},
                     {"max_model_len", options_.n_ctx},
                     {"meta",
                      {{"architecture", info.architecture},
                       {"format", info.format},
                       {"n_params", info.n_params},
                       {"n_bytes", info.n_bytes},
                       {"n_vocab", info.n_vocab},
                       {"n_ctx_train", info.n_ctx_train},
                       {"device", engine_info_.device},
                       {"isa", engine_info_.isa},
                       {"threads", engine_info_.n_threads}}}});
}

std::string model_id_from_name(std::string_view name) {
  std::string id;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '.' || c == '_' || c == '-');
    id += plain ? static_cast<char>(std::tolower(byte)) : '-';
  }
  return id.empty() ? "model" : id;
}

bool decode_percent(std::string_view text, std::string* ret_decoded) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    uint8_t byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc{} || end != digits.data() + 2) return false;
    decoded += static_cast<char>(byte);
    i += 2;
  }
  *ret_decoded = std::move(decoded);
  return true;
}

Result<std::vector<std::string>> read_api_keys(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (!file) return fail(errno != 0 ? errno : EIO, fmt::format("{}: {}", path, strerror(errno)));
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);) {
    const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
    line.erase(line.begin(), std::find_if_not(line.begin(), line.end(), is_space));
    line.erase(std::find_if_not(line.rbegin(), line.rend(), is_space).base(), line.end());
    if (!line.empty() && line[0] != '#') keys.push_back(std::move(line));
  }
  if (keys.empty()) return fail(EINVAL, fmt::format("{}: no API key in it", path));
  return keys;
}

}  // namespace sluice::daemon
