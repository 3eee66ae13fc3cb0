// SPDX-License-Identifier: Apache-2.0
// POST /v1/completions: from a request's body to jobs for the scheduler, and from the scheduler's
// events to one JSON response or a stream of server-sent events.
#ifndef DAEMON_COMPLETION_H
#define DAEMON_COMPLETION_H

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sluice/engine.hpp>

#include "api_error.h"
#include "completion_request.h"
#include "http.h"
#include "scheduler.h"

namespace sluice::daemon {

// Runs work on a thread of its own, soon.
using Background = std::function<void(std::function<void()> work)>;

class CompletionService {
 public:
  // A text may have `n_ctx` tokens, generated ones included; a request may ask for `max_choices`
  // texts. Large prompts are tokenized in the background, so that nobody else has to wait for the
  // network's threads. The scheduler outlives the service, the service what it gave to
  // `background`.
  CompletionService(std::shared_ptr<const Model> model, Scheduler& scheduler, std::string model_id,
                    uint32_t n_ctx, uint32_t max_choices, Background background);

  // Answers with 200 and a completion, 400 naming the field, 404 for another model's name, or 503
  // when the queue is full.
  void handle(const HttpRequest& http_request, const std::shared_ptr<Reply>& reply);

 private:
  struct Session;
  struct Prepared {
    std::shared_ptr<Session> session;
    std::vector<Job> jobs;
  };

  ApiResult<Prepared> prepare(const std::string& body) const;
  void start(ApiResult<Prepared> prepared, const std::shared_ptr<Reply>& reply);
  ApiResult<std::vector<int32_t>> prompt_ids(const CompletionRequest& request, size_t index) const;
  ApiResult<uint32_t> tokens_to_generate(const CompletionRequest& request, size_t n_prompt) const;
  ApiResult<std::string> echoed(const Prompt& prompt) const;

  const std::shared_ptr<const Model> model_;
  Scheduler& scheduler_;
  const std::string model_id_;
  const uint32_t n_ctx_;
  const uint32_t max_choices_;
  const Background background_;
};

}  // namespace sluice::daemon

#endif  // DAEMON_COMPLETION_H
