// SPDX-License-Identifier: Apache-2.0
// The HTTP API: a table of routes, authorization, and the small endpoints.
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/engine.hpp>

#include "completion.h"
#include "http.h"
#include "scheduler.h"

namespace sluice::daemon {

struct ApiOptions {
  std::string model_id;
  uint32_t n_ctx = 0;                 // tokens of one text
  uint32_t max_choices = 1;           // texts that one request may ask for
  std::vector<std::string> api_keys;  // empty: everybody may come in
  std::string cors_origin;            // empty: no page may
};

class Api {
 public:
  // The scheduler outlives the API, and the API what it gave to `background`. `engine_info` is for
  // display.
  Api(std::shared_ptr<const Model> model, EngineInfo engine_info, Scheduler& scheduler,
      ApiOptions options, Background background);

  // Answers a request, now or later. Safe to call from several threads at once.
  void handle(const HttpRequest& request, const std::shared_ptr<Reply>& reply);

 private:
  // What a route's handler gets: `argument` is what stands for {id} in its path, decoded.
  struct Call {
    const HttpRequest& request;
    std::string argument;
    const std::shared_ptr<Reply>& reply;
  };
  struct Route {
    const char* method;
    const char* path;  // a trailing {id} stands for anything
    bool needs_key;    // when keys are configured
    void (Api::*handler)(const Call& call);
  };
  static const Route kRoutes[];

  void dispatch(const HttpRequest& request, const std::shared_ptr<Reply>& reply);
  bool is_authorized(const HttpRequest& request) const;
  void answer_preflight(const std::string& allow, const std::shared_ptr<Reply>& reply) const;

  void get_health(const Call& call);
  void list_models(const Call& call);
  void get_model(const Call& call);
  void complete(const Call& call);

  std::string model_json() const;

  const std::shared_ptr<const Model> model_;
  const EngineInfo engine_info_;
  Scheduler& scheduler_;
  const ApiOptions options_;
  const int64_t started_;  // Unix time
  CompletionService completions_;
};

// An id that needs no quoting in a URL or a shell: "Tales 7M" becomes "tales-7m".
std::string model_id_from_name(std::string_view name);

// Decodes %XX in a path; false: a '%' without two hexadecimal digits.
bool decode_percent(std::string_view text, std::string* ret_decoded);

// One key a line; blank lines and lines that begin with '#' are skipped. Errors of open(2) keep
// their code; EINVAL: no key in the file.
Result<std::vector<std::string>> read_api_keys(const std::string& path);

}  // namespace sluice::daemon

#endif  // DAEMON_API_H
