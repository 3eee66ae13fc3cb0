// SPDX-License-Identifier: Apache-2.0
// Text generation and perplexity on top of steps.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>

#include <sluice/engine.hpp>

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens in chunks, logits wanted for the last one alone.
Result<void> feed(Engine& engine, Sequence& sequence, std::span<const int32_t> tokens,
                  uint32_t chunk) {
  while (!tokens.empty()) {
    const auto part = tokens.first(std::min<size_t>(tokens.size(), chunk));
    tokens = tokens.subspan(part.size());
    const StepInput in{&sequence, part, tokens.empty() ? Logits::kLast : Logits::kNone};
    SLUICE_CHECK(engine.step({&in, 1}));
  }
  return {};
}

// Turns sampled ids into shown text until something ends it.
class Output {
 public:
  Output(Generation& result, const Engine& engine, const GenerateParams& params,
         const TextCallback& on_text)
      : result_(result),
        tokenizer_(engine.model().tokenizer()),
        detokenizer_(tokenizer_),
        stops_(params.stop),
        ignore_eos_(params.ignore_eos),
        on_text_(on_text) {}

  // False: generation is over, result.finish says why.
  bool push(int32_t id) {
    if (!ignore_eos_ && tokenizer_->is_end(id)) return end(Finish::kEnd);
    result_.ids.push_back(id);
    if (!show(stops_.push(detokenizer_.push(id)))) return end(Finish::kCancelled);
    return stops_.stopped() ? end(Finish::kStop) : true;
  }
  // What was held back: half a character, or what might have become a stop string.
  void flush() {
    if (result_.finish == Finish::kStop || result_.finish == Finish::kCancelled) return;
    show(stops_.push(detokenizer_.flush()));
    show(stops_.flush());
    if (stops_.stopped()) result_.finish = Finish::kStop;
  }

 private:
  bool end(Finish why) {
    result_.finish = why;
    return false;
  }
  bool show(const std::string& text) {
    result_.text += text;
    return text.empty() || !on_text_ || on_text_(text);
  }
  Generation& result_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher stops_;
  bool ignore_eos_;
  const TextCallback& on_text_;
};

// -log p(token) under softmax(logits), in double.
double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float l : logits) sum += std::exp(l - top);
  return top + std::log(sum) - logits[static_cast<size_t>(token)];
}

}  // namespace

Result<Generation> generate(Engine& engine, Sequence& sequence, std::span<const int32_t> prompt,
                            const GenerateParams& params, const TextCallback& on_text) {
  if (prompt.empty()) return fail(EINVAL, "an empty prompt: expected at least one token");
  SLUICE_CHECK(params.sampling.validate());
  Generation result;
  result.n_prompt = static_cast<uint32_t>(prompt.size());
  auto start = Clock::now();
  SLUICE_CHECK(feed(engine, sequence, prompt, engine.options().max_batch_tokens));
  result.prefill_seconds = seconds_since(start);

  Sampler sampler(params.sampling);
  for (const int32_t id : prompt) sampler.accept(id);
  Output output(result, engine, params, on_text);
  const uint32_t most = sequence.window() ? UINT32_MAX : engine.model().info().n_ctx_train;
  start = Clock::now();
  while (result.ids.size() < params.n_predict) {
    const int32_t id = sampler.sample(engine.logits(0));
    sampler.accept(id);
    if (!output.push(id)) break;
    result.decode_seconds = seconds_since(start);
    if (result.ids.size() == params.n_predict || sequence.n_tokens() >= most) break;
    if (result.ids.size() == 1) start = Clock::now();
    const StepInput in{&sequence, {&id, 1}, Logits::kLast};
    SLUICE_CHECK(engine.step({&in, 1}));
  }
  output.flush();
  return result;
}

Result<Perplexity> perplexity(Engine& engine, std::string_view text, uint32_t chunk,
                              const PerplexityProgress& progress) {
  const ModelInfo& model = engine.model().info();
  const Tokenizer& tokenizer = *engine.model().tokenizer();
  if (chunk < 4 || chunk > model.n_ctx_train) {
    return fail(EINVAL,
                fmt::format("chunks of {} tokens, expected 4 to {}", chunk, model.n_ctx_train));
  }
  std::vector<int32_t> ids = tokenizer.encode(text, true);
  const size_t n_chunks = ids.size() / chunk;
  if (n_chunks == 0) {
    return fail(EINVAL,
                fmt::format("the text has {} tokens, one chunk needs {}", ids.size(), chunk));
  }
  SLUICE_TRY(Sequence sequence, engine.new_sequence());
  const uint32_t batch = engine.options().max_batch_tokens;
  Perplexity out;
  double sum = 0;
  for (size_t c = 0; c < n_chunks; ++c) {
    const std::span<int32_t> tokens(ids.data() + c * chunk, chunk);
    if (tokenizer.bos() >= 0) tokens[0] = tokenizer.bos();
    sequence.clear();
    // Logits of token j - 1 score token j, from j = chunk / 2 + 1 on.
    SLUICE_CHECK(feed(engine, sequence, tokens.first(chunk / 2), batch));
    for (uint32_t at = chunk / 2; at + 1 < chunk;) {
      const uint32_t n = std::min(batch, chunk - 1 - at);
      const StepInput in{&sequence, tokens.subspan(at, n), Logits::kAll};
      SLUICE_CHECK(engine.step({&in, 1}));
      for (uint32_t i = 0; i < n; ++i) {
        sum += negative_log_likelihood(engine.logits(i), tokens[at + i + 1]);
      }
      at += n;
      out.n_tokens += n;
    }
    out.value = std::exp(sum / static_cast<double>(out.n_tokens));
    if (progress && !progress(c + 1, n_chunks, out.value)) return fail(ECANCELED, "cancelled");
  }
  return out;
}

}  // namespace sluice
