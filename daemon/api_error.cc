// SPDX-License-Identifier: Apache-2.0
// The JSON form of API errors. Text that came from a client may hold any bytes, so invalid UTF-8 is
// replaced and never thrown about.
#include "api_error.h"

#include <nlohmann/json.hpp>

#include "json_reader.h"

namespace sluice::daemon {

ApiError invalid_request(std::string message, std::string param, std::string code) {
  return {400, "invalid_request_error", std::move(message), std::move(param), std::move(code)};
}

ApiError server_error(unsigned status, std::string message, std::string code) {
  return {status, "server_error", std::move(message), {}, std::move(code)};
}

std::string to_json(const ApiError& error) {
  using json = nlohmann::ordered_json;
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
  };
  return write_json({{"error",
                      {{"message", error.message},
                       {"type", error.type},
                       {"param", text_or_null(error.param)},
                       {"code", text_or_null(error.code)}}}});
}

HttpResponse to_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.body = to_json(error);
  if (error.status == 503) response.headers.emplace_back("retry-after", "1");
  if (error.status == 401) response.headers.emplace_back("www-authenticate", "Bearer");
  return response;
}

}  // namespace sluice::daemon
