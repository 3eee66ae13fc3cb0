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
    const StepInput in{&sequence, {&id, 1}, Logits::kLast, true};
    SLUICE_CHECK(engine.step({&in, 1}));
  }
  output.flush();
  return result;
}

namespace {

// The ids of a text in whole chunks, each beginning with BOS if the model has one.
Result<std::vector<int32_t>> chunked(const Model& model, std::string_view text, uint32_t chunk) {
  const Tokenizer& tokenizer = *model.tokenizer();
  if (chunk < 4 || chunk > model.info().n_ctx_train) {
    return fail(EINVAL, fmt::format("chunks of {} tokens, expected 4 to {}", chunk,
                                    model.info().n_ctx_train));
  }
  std::vector<int32_t> ids = tokenizer.encode(text, true);
  if (ids.size() < chunk) {
    return fail(EINVAL,
                fmt::format("the text has {} tokens, one chunk needs {}", ids.size(), chunk));
  }
  ids.resize(ids.size() / chunk * chunk);
  if (tokenizer.bos() >= 0) {
    for (size_t at = 0; at < ids.size(); at += chunk) ids[at] = tokenizer.bos();
  }
  return ids;
}

// Has each engine go through the chunks, all in step; score(i, next) is called when logits(i) of
// each say what token `next` should be: from the second half of a chunk on.
template <typename Score, typename Chunk>
Result<void> go_through(std::span<Engine* const> engines, std::span<const int32_t> ids,
                        uint32_t chunk, const Score& score, const Chunk& done_chunk) {
  std::vector<Sequence> sequences;
  uint32_t batch = chunk;
  for (Engine* engine : engines) {
    SLUICE_TRY(Sequence sequence, engine->new_sequence());
    sequences.push_back(std::move(sequence));
    batch = std::min(batch, engine->options().max_batch_tokens);
  }
  for (size_t c = 0; c < ids.size() / chunk; ++c) {
    const auto tokens = ids.subspan(c * chunk, chunk);
    for (size_t e = 0; e < engines.size(); ++e) {
      sequences[e].clear();
      SLUICE_CHECK(feed(*engines[e], sequences[e], tokens.first(chunk / 2), batch));
    }
    for (uint32_t at = chunk / 2; at + 1 < chunk;) {
      const uint32_t n = std::min(batch, chunk - 1 - at);
      for (size_t e = 0; e < engines.size(); ++e) {
        const StepInput in{&sequences[e], tokens.subspan(at, n), Logits::kAll};
        SLUICE_CHECK(engines[e]->step({&in, 1}));
      }
      for (uint32_t i = 0; i < n; ++i) score(i, tokens[at + i + 1]);
      at += n;
    }
    if (!done_chunk(c + 1)) return fail(ECANCELED, "cancelled");
  }
  return {};
}

// Logarithm of the sum of exp(logits), in double precision.
double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float l : logits) sum += std::exp(l - top);
  return top + std::log(sum);
}

// KL divergence of what the logits `q` say from what `p` say, in nats.
double divergence(std::span<const float> p, std::span<const float> q) {
  const double p_all = log_sum_exp(p), q_all = log_sum_exp(q);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - p_all;
    sum += std::exp(log_p) * (log_p - (q[i] - q_all));
  }
  return std::max(sum, 0.0);
}

size_t top(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

Result<Perplexity> perplexity(Engine& engine, std::string_view text, uint32_t chunk,
                              const PerplexityProgress& progress) {
  SLUICE_TRY(const auto ids, chunked(engine.model(), text, chunk));
  Perplexity out;
  double sum = 0;
  Engine* const engines[] = {&engine};
  const auto score = [&](uint32_t i, int32_t next) {
    sum += negative_log_likelihood(engine.logits(i), next);
    ++out.n_tokens;
  };
  SLUICE_CHECK(go_through(engines, ids, chunk, score, [&](size_t done) {
    out.value = std::exp(sum / static_cast<double>(out.n_tokens));
    return !progress || progress(done, ids.size() / chunk, out.value);
  }));
  return out;
}

Result<Comparison> compare(Engine& reference, Engine& engine, std::string_view text, uint32_t chunk,
                           const PerplexityProgress& progress) {
  SLUICE_TRY(const auto ids, chunked(engine.model(), text, chunk));
  if (reference.model().info().n_vocab != engine.model().info().n_vocab ||
      chunked(reference.model(), text, chunk).value_or(std::vector<int32_t>()) != ids) {
    return fail(EINVAL, fmt::format("{} and {} do not make the same tokens of the text",
                                    reference.model().info().path, engine.model().info().path));
  }
  Comparison out;
  double sum = 0, reference_sum = 0, kl = 0;
  uint64_t n_same = 0, n = 0;
  Engine* const engines[] = {&reference, &engine};
  const auto score = [&](uint32_t i, int32_t next) {
    const auto p = reference.logits(i), q = engine.logits(i);
    reference_sum += negative_log_likelihood(p, next);
    sum += negative_log_likelihood(q, next);
    const double one = divergence(p, q);
    kl += one;
    out.kl_most = std::max(out.kl_most, one);
    n_same += top(p) == top(q);
    ++n;
  };
  SLUICE_CHECK(go_through(engines, ids, chunk, score, [&](size_t done) {
    out.kl_mean = kl / static_cast<double>(n);
    return !progress || progress(done, ids.size() / chunk, out.kl_mean);
  }));
  const auto total = static_cast<double>(n);
  out.perplexity = {std::exp(sum / total), n};
  out.reference = {std::exp(reference_sum / total), n};
  out.same_top = static_cast<double>(n_same) / total;
  return out;
}

}  // namespace sluice
