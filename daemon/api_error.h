// SPDX-License-Identifier: Apache-2.0
// Errors as OpenAI's API reports them: an HTTP status and an "error" object with message, type,
// param and code.
#ifndef DAEMON_API_ERROR_H
#define DAEMON_API_ERROR_H

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include <sluice/result.hpp>

#include "http.h"

namespace sluice::daemon {

struct ApiError {
  unsigned status = 400;
  std::string type;     // "invalid_request_error", "server_error"
  std::string message;  // for the person who reads it; names the field and what was expected
  std::string param;    // the field it is about; empty: null in the JSON
  std::string code;     // for programs; empty: null in the JSON
};

template <typename T>
using ApiResult = tl::expected<T, ApiError>;

// A request that is wrong in itself: status 400.
ApiError invalid_request(std::string message, std::string param = {}, std::string code = {});

// `status` is 500 or above.
ApiError server_error(unsigned status, std::string message, std::string code = {});

// The "error" object alone, for the inside of an event stream.
std::string to_json(const ApiError& error);
// A whole response. 503 gets a Retry-After header, 401 a WWW-Authenticate header.
HttpResponse to_response(const ApiError& error);

}  // namespace sluice::daemon

// Evaluates an ApiResult expression; on failure returns its error from the enclosing function, else
// assigns the value to `lhs`, which may be a declaration.
#define SLUICE_API_TRY(lhs, expr) SLUICE_API_TRY_IMPL_(SLUICE_CAT_(api_try_, __LINE__), lhs, expr)
#define SLUICE_API_TRY_IMPL_(tmp, lhs, expr)               \
  auto tmp = (expr);                                       \
  if (!tmp) return tl::unexpected(std::move(tmp).error()); \
  lhs = std::move(*tmp)

#endif  // DAEMON_API_ERROR_H
