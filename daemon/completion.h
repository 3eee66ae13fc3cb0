// SPDX-License-Identifier: Apache-2.0
// POST /v1/completions: from a request's body to jobs for the scheduler, and from the scheduler's
// events to one JSON response or a stream of server-sent events.
#ifndef DAEMON_COMPLETION_H
#define DAEMON_COMPLETION_H

#include <cstdint>
#include <memory>
#include <string>

#include <sluice/engine.hpp>

#include "api_error.h"
#include "completion_request.h"
#include "http.h"
#include "scheduler.h"

namespace sluice::daemon {

class CompletionService {
 public:
  // A text may have `n_ctx` tokens, generated ones included; a request may ask for `max_choices`
  // texts. The scheduler outlives the service.
  CompletionService(std::shared_ptr<const Model> model, Scheduler& scheduler, std::string model_id,
                    uint32_t n_ctx, uint32_t max_choices);

  // Answers with 200 and a completion, 400 naming the field, 404 for another model's name, or 503
  // when the queue is full.
  void handle(const HttpRequest& http_request, const std::shared_ptr<Reply>& reply);

 private:
  struct Session;

  ApiResult<std::shared_ptr<Session>> prepare(const std::string& body,
                                              const std::shared_ptr<Reply>& reply,
                                              std::vector<Job>* ret_jobs) const;
  ApiResult<std::vector<int32_t>> prompt_ids(const CompletionRequest& request, size_t index) const;
  ApiResult<uint32_t> tokens_to_generate(const CompletionRequest& request, size_t n_prompt) const;
  ApiResult<std::string> echoed(const Prompt& prompt) const;

  const std::shared_ptr<const Model> model_;
  Scheduler& scheduler_;
  const std::string model_id_;
  const uint32_t n_ctx_;
  const uint32_t max_choices_;
};

}  // namespace sluice::daemon

#endif  // DAEMON_COMPLETION_H
