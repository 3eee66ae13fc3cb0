// SPDX-License-Identifier: Apache-2.0
// The completions endpoint. A Session lives as long as its request: the scheduler's events reach it
// through the reply's post(), so that everything in it happens on the network side, one at a time.
#include "completion.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <nlohmann/json.hpp>
#include <random>

#include "json_reader.h"

namespace sluice::daemon {
namespace {

using json = nlohmann::ordered_json;

constexpr uint32_t kDefaultMaxTokens = 16;
constexpr size_t kLargeBody = 64 << 10;  // bytes; tokenizing takes about a second for each MiB

uint64_t random_number() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return generator();
}

// The API knows two reasons: an end that the model or a stop string made, and a limit.
json finish_name(std::optional<Finish> finish) {
  if (!finish) return nullptr;
  return *finish == Finish::kLength ? "length" : "stop";
}

SamplingParams sampling_of(const CompletionRequest& request) {
  SamplingParams sampling;
  sampling.temperature = request.temperature;
  sampling.top_k = request.top_k;
  sampling.top_p = request.top_p;
  sampling.min_p = request.min_p;
  sampling.repeat_penalty = request.repeat_penalty;
  sampling.repeat_last_n = request.repeat_last_n;
  return sampling;
}

}  // namespace

struct CompletionService::Session {
  struct Choice {
    std::string text;  // not streamed: what the response will hold
    std::optional<Finish> finish;
    uint32_t n_tokens = 0;
  };

  std::shared_ptr<Reply> reply;
  std::string id;
  int64_t created = 0;
  std::string model_id;
  bool stream = false;
  bool include_usage = false;
  uint64_t n_prompt_tokens = 0;
  std::vector<Choice> choices;
  size_t n_unfinished = 0;
  bool failed = false;

  json usage() const {
    uint64_t n_generated = 0;
    for (const Choice& choice : choices) n_generated += choice.n_tokens;
    return {{"prompt_tokens", n_prompt_tokens},
            {"completion_tokens", n_generated},
            {"total_tokens", n_prompt_tokens + n_generated}};
  }

  json envelope() const {
    return {{"id", id},
            {"object", "text_completion"},
            {"created", created},
            {"model", model_id},
            {"choices", json::array()}};
  }

  static json choice_json(size_t index, const std::string& text, std::optional<Finish> finish) {
    return {{"index", index},
            {"text", text},
            {"logprobs", nullptr},
            {"finish_reason", finish_name(finish)}};
  }

  void send_chunk(const json& chunk) {
    reply->write(fmt::format("data: {}\n\n", write_json(chunk)));
  }

  void begin() {
    if (!stream) return;
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("cache-control", "no-cache");
    head.headers.emplace_back("x-accel-buffering", "no");  // a proxy must not hold pieces back
    reply->begin_stream(std::move(head));
    for (size_t i = 0; i < choices.size(); ++i) {
      if (choices[i].text.empty()) continue;  // the echo of a prompt
      json chunk = envelope();
      chunk["choices"].push_back(choice_json(i, choices[i].text, {}));
      if (include_usage) chunk["usage"] = nullptr;
      send_chunk(chunk);
    }
  }

  void on_event(const JobEvent& event) {
    if (failed) return;
    if (!event.error.empty()) return fail_with(server_error(500, event.error, "engine_error"));
    Choice& choice = choices[event.index];
    choice.n_tokens = event.n_tokens;
    if (event.finish) {
      choice.finish = event.finish;
      --n_unfinished;
    }
    if (stream) {
      on_piece(event);
    } else {
      choice.text += event.text;
      if (n_unfinished == 0) send_whole();
    }
  }

  // Usage stands in the last chunk that has text; a client that asked for it gets it the way it
  // expects instead: null everywhere and a chunk of its own, without choices, at the end.
  void on_piece(const JobEvent& event) {
    json chunk = envelope();
    chunk["choices"].push_back(choice_json(event.index, event.text, event.finish));
    if (include_usage) {
      chunk["usage"] = nullptr;
    } else if (n_unfinished == 0) {
      chunk["usage"] = usage();
    }
    send_chunk(chunk);
    if (n_unfinished > 0) return;
    if (include_usage) {
      json last = envelope();
      last["usage"] = usage();
      send_chunk(last);
    }
    reply->write("data: [DONE]\n\n");
    reply->end_stream();
  }

  void send_whole() {
    json whole = envelope();
    for (size_t i = 0; i < choices.size(); ++i) {
      whole["choices"].push_back(choice_json(i, choices[i].text, choices[i].finish));
    }
    whole["usage"] = usage();
    HttpResponse response;
    response.body = write_json(whole);
    reply->send(std::move(response));
  }

  void fail_with(const ApiError& error) {
    failed = true;
    if (!stream) return reply->send(to_response(error));
    reply->write(fmt::format("data: {}\n\n", to_json(error)));
    reply->end_stream();
  }
};

CompletionService::CompletionService(std::shared_ptr<const Model> model, Scheduler& scheduler,
                                     std::string model_id, uint32_t n_ctx, uint32_t max_choices,
                                     Background background)
    : model_(std::move(model)),
      scheduler_(scheduler),
      model_id_(std::move(model_id)),
      n_ctx_(n_ctx),
      max_choices_(max_choices),
      background_(std::move(background)) {}

void CompletionService::handle(const HttpRequest& http_request,
                               const std::shared_ptr<Reply>& reply) {
  if (http_request.body.size() <= kLargeBody) return start(prepare(http_request.body), reply);
  background_([this, body = http_request.body, reply] {
    auto prepared = std::make_shared<ApiResult<Prepared>>(
        tl::unexpected(server_error(500, "the server ran out of resources")));
    try {
      *prepared = prepare(body);
    } catch (const std::bad_alloc&) {
      spdlog::error("out of memory for a request of {} bytes", body.size());
    }
    reply->post([this, prepared, reply] { start(std::move(*prepared), reply); });
  });
}

// Hands a request's jobs to the scheduler, or answers with what is wrong with it.
void CompletionService::start(ApiResult<Prepared> prepared, const std::shared_ptr<Reply>& reply) {
  if (!prepared) return reply->send(to_response(prepared.error()));
  const std::shared_ptr<Session> session = std::move(prepared->session);
  session->reply = reply;
  const auto submitted = scheduler_.submit(std::move(prepared->jobs), [session](JobEvent event) {
    session->reply->post([session, event = std::move(event)] { session->on_event(event); });
  });
  if (!submitted) {
    return reply->send(to_response(
        server_error(503, "the server is busy: " + submitted.error().message, "overloaded")));
  }
  // Events cannot overtake this: they are posted to where this runs.
  session->begin();
  reply->on_disconnect(
      [&scheduler = scheduler_, request = *submitted] { scheduler.cancel(request); });
}

// Reads the request and turns every prompt, `n` times, into a job.
ApiResult<CompletionService::Prepared> CompletionService::prepare(const std::string& body) const {
  SLUICE_API_TRY(const CompletionRequest request, read_completion_request(body));
  if (!request.model.empty() && request.model != model_id_) {
    return tl::unexpected(ApiError{404, "invalid_request_error",
                                   fmt::format("there is no model '{}' here; the one that is "
                                               "served is '{}'",
                                               request.model.substr(0, 256), model_id_),
                                   "model", "model_not_found"});
  }
  if (request.prompts.size() * request.n > max_choices_) {
    return tl::unexpected(invalid_request(
        fmt::format("{} prompts times n = {} are more than the {} texts that one request may ask "
                    "for",
                    request.prompts.size(), request.n, max_choices_),
        request.n > 1 ? "n" : "prompt", "invalid_value"));
  }
  Job job;
  job.sampling = sampling_of(request);
  if (auto valid = job.sampling.validate(); !valid) {
    return tl::unexpected(invalid_request(valid.error().message, {}, "invalid_value"));
  }
  job.ignore_eos = request.ignore_eos;
  job.stream = request.stream;
  job.stop = request.stop;

  auto session = std::make_shared<Session>();
  const uint64_t seed = request.seed ? *request.seed : random_number();
  std::vector<Job> jobs;
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    SLUICE_API_TRY(job.prompt, prompt_ids(request, i));
    SLUICE_API_TRY(job.max_tokens, tokens_to_generate(request, job.prompt.size()));
    job.at_start = job.prompt.size() == 1 && job.prompt[0] == model_->tokenizer()->bos();
    session->n_prompt_tokens += job.prompt.size();
    std::string echo;
    if (request.echo) {
      SLUICE_API_TRY(echo, echoed(request.prompts[i]));
    }
    for (uint32_t k = 0; k < request.n; ++k) {
      job.sampling.seed = seed + k;  // the choices of one prompt differ
      jobs.push_back(job);
      session->choices.push_back({echo, {}, 0});
    }
  }
  session->id = fmt::format("cmpl-{:016x}{:016x}", random_number(), random_number());
  session->created = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  session->model_id = model_id_;
  session->stream = request.stream;
  session->include_usage = request.include_usage;
  session->n_unfinished = jobs.size();
  return Prepared{std::move(session), std::move(jobs)};
}

ApiResult<std::vector<int32_t>> CompletionService::prompt_ids(const CompletionRequest& request,
                                                              size_t index) const {
  const Tokenizer& tokenizer = *model_->tokenizer();
  const Prompt& prompt = request.prompts[index];
  const std::string param =
      request.prompts.size() > 1 ? fmt::format("prompt[{}]", index) : "prompt";
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    auto ids = tokenizer.encode(*text, tokenizer.add_bos());
    if (!ids.empty()) return ids;
    return tl::unexpected(invalid_request(fmt::format("'{}' must have at least one token", param),
                                          param, "invalid_value"));
  }
  const auto& ids = std::get<std::vector<int32_t>>(prompt);
  const auto outside = std::find_if(ids.begin(), ids.end(), [&](int32_t id) {
    return id < 0 || static_cast<uint32_t>(id) >= tokenizer.n_vocab();
  });
  if (outside == ids.end()) return ids;
  const std::string place = fmt::format("{}[{}]", param, outside - ids.begin());
  return tl::unexpected(invalid_request(
      fmt::format("'{}' must be a token id below {}, not {}", place, tokenizer.n_vocab(), *outside),
      place, "invalid_value"));
}

// A text that does not fit the context is refused with the counts, never cut.
ApiResult<uint32_t> CompletionService::tokens_to_generate(const CompletionRequest& request,
                                                          size_t n_prompt) const {
  const uint64_t wanted = request.max_tokens.value_or(1);
  if (n_prompt + wanted > n_ctx_) {
    return tl::unexpected(invalid_request(
        fmt::format("the context has {} tokens, but the request needs {}: {} of the prompt and {} "
                    "to generate (max_tokens)",
                    n_ctx_, n_prompt + wanted, n_prompt, wanted),
        n_prompt + 1 > n_ctx_ ? "prompt" : "max_tokens", "context_length_exceeded"));
  }
  if (request.max_tokens) return *request.max_tokens;
  return static_cast<uint32_t>(std::min<uint64_t>(kDefaultMaxTokens, n_ctx_ - n_prompt));
}

ApiResult<std::string> CompletionService::echoed(const Prompt& prompt) const {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  auto text = model_->tokenizer()->decode(std::get<std::vector<int32_t>>(prompt));
  if (!text) return tl::unexpected(invalid_request(text.error().message, "prompt"));
  return std::move(*text);
}

}  // namespace sluice::daemon
