// SPDX-License-Identifier: Apache-2.0
// The engine against golden outputs, and exactness: the same bits for every ISA, thread count,
// chunking and company in the batch.
#include <cerrno>
#include <cmath>
#include <cstring>

#include <sluice/engine.hpp>
#include <sluice/quantize.hpp>

#include "ops/kernels/kernels.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(engine, .timeout = 300);

namespace {

std::shared_ptr<const Model> tales() {
  auto model = Model::embedded();
  cr_assert(model.has_value(), "%s", why(model));
  return *model;
}

// The model for tests that any model can serve.
std::shared_ptr<const Model> subject() {
  if (!test::lightest()) return tales();
  const test::TempDir dir;
  cr_assert(synthesize("tiny", "F16", dir.file("tiny.gguf")).has_value());
  auto model = Model::load(dir.file("tiny.gguf"));
  cr_assert(model.has_value(), "%s", why(model));
  return *model;
}

uint32_t subject_vocab() { return subject()->info().n_vocab; }

std::unique_ptr<Engine> engine_for(std::shared_ptr<const Model> model,
                                   const EngineOptions& options = {}) {
  auto engine = Engine::create(std::move(model), options);
  cr_assert(engine.has_value(), "%s", why(engine));
  return std::move(*engine);
}

std::vector<int32_t> some_tokens(uint32_t n, uint32_t n_vocab) {
  std::vector<int32_t> out;
  for (uint32_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>((i * 7919 + 11) % n_vocab));
  return out;
}

// Logits of every token, fed in chunks.
std::vector<float> all_logits(Engine& engine, Sequence& sequence, std::span<const int32_t> tokens,
                              uint32_t chunk) {
  std::vector<float> out;
  for (size_t at = 0; at < tokens.size(); at += chunk) {
    const auto part = tokens.subspan(at, std::min<size_t>(chunk, tokens.size() - at));
    const StepInput in{&sequence, part, Logits::kAll};
    const auto done = engine.step({&in, 1});
    cr_assert(done.has_value(), "%s", why(done));
    for (uint32_t r = 0; r < engine.n_outputs(); ++r) {
      const auto row = engine.logits(r);
      out.insert(out.end(), row.begin(), row.end());
    }
  }
  return out;
}

std::vector<float> all_logits(const EngineOptions& options, std::span<const int32_t> tokens,
                              uint32_t chunk, uint32_t window = 0) {
  const auto engine = engine_for(subject(), options);
  auto sequence = engine->new_sequence(window);
  cr_assert(sequence.has_value(), "%s", why(sequence));
  return all_logits(*engine, *sequence, tokens, chunk);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

EngineOptions options_of(const char* isa, unsigned n_threads) {
  EngineOptions o;
  o.isa = isa;
  o.n_threads = n_threads;
  return o;
}

void check_golden(const std::string& name, std::shared_ptr<const Model> model) {
  const auto fixture = test::read_json("tests/data/" + name + ".json");
  cr_assert(fixture.contains("greedy"));
  const auto engine = engine_for(model);
  GenerateParams params;
  params.sampling.temperature = 0;
  params.ignore_eos = true;
  size_t n = 0;
  for (const auto& g : fixture["greedy"]) {
    if (test::light() && ++n > 1) break;
    auto expected = g["greedy"].get<std::vector<int32_t>>();
    if (test::lightest()) expected.resize(std::min<size_t>(expected.size(), 3));
    const auto prompt = model->tokenizer()->encode(g["prompt"].get<std::string>(), true);
    cr_expect(prompt == g["prompt_ids"].get<std::vector<int32_t>>());
    params.n_predict = static_cast<uint32_t>(expected.size());
    auto sequence = engine->new_sequence();
    const auto got = generate(*engine, *sequence, prompt, params);
    cr_assert(got.has_value(), "%s", why(got));
    cr_expect(got->ids == expected, "%s: %s", name.c_str(), g["prompt"].get<std::string>().c_str());
  }
  const auto& last = fixture["last_logits"];
  const auto prompt = model->tokenizer()->encode(last["prompt"].get<std::string>(), true);
  auto sequence = engine->new_sequence();
  const StepInput in{&*sequence, prompt, Logits::kLast};
  cr_assert(engine->step({&in, 1}).has_value());
  double sum = 0;
  for (const float l : engine->logits(0)) sum += l;
  cr_expect(std::abs(sum - last["sum"].get<double>()) < 1.0, "sum %g", sum);
  for (size_t i = 0; i < last["top_ids"].size(); ++i) {
    const float logit = engine->logits(0)[last["top_ids"][i].get<size_t>()];
    cr_expect(std::abs(logit - last["top_values"][i].get<double>()) < 0.01, "logit %zu: %g", i,
              logit);
  }
}

}  // namespace

Test(engine, golden_tales) { check_golden("tales-7m-f16", tales()); }

Test(engine, golden_stories) {
  const std::string path = test::extra_model("stories260K-f32.gguf");
  if (path.empty()) cr_skip_test("stories260K-f32.gguf is not on this machine");
  const auto model = Model::load(path);
  cr_assert(model.has_value(), "%s", why(model));
  check_golden("stories260K-f32", *model);
}

Test(engine, same_bits_on_every_isa_and_thread_count) {
  const auto tokens = some_tokens(test::light() ? 6 : 40, subject_vocab());
  const auto reference = all_logits(options_of("scalar", 1), tokens, 64);
  for (size_t i = 0; i < kNumIsas; ++i) {
    if (!kIsas[i].usable()) continue;
    for (const unsigned n_threads : {1u, 2u, 5u}) {
      const auto got = all_logits(options_of(kIsas[i].name, n_threads), tokens, 64);
      cr_expect(same_bits(reference, got), "%s with %u threads", kIsas[i].name, n_threads);
    }
  }
}

Test(engine, same_bits_in_chunks) {
  const auto tokens = some_tokens(test::light() ? 9 : 200, subject_vocab());
  const auto whole = all_logits({}, tokens, 512);
  for (const uint32_t chunk : {1u, 7u, 64u}) {
    cr_expect(same_bits(whole, all_logits({}, tokens, chunk)), "chunks of %u", chunk);
  }
}

Test(engine, same_bits_in_company) {
  const auto engine = engine_for(subject());
  const auto tokens = some_tokens(test::light() ? 12 : 60, engine->model().info().n_vocab);
  std::vector<std::vector<float>> alone;
  for (uint32_t i = 0; i < 3; ++i) {
    auto s = engine->new_sequence();
    alone.push_back(all_logits(*engine, *s, std::span(tokens).subspan(i * 3), 512));
  }
  // Three texts side by side, cut unevenly, a prompt beside single tokens.
  std::vector<Sequence> sequences;
  for (int i = 0; i < 3; ++i) sequences.push_back(std::move(*engine->new_sequence()));
  std::vector<std::vector<float>> together(3);
  std::vector<size_t> at(3, 0);
  for (uint32_t round = 0; at[0] + at[1] + at[2] < 3 * tokens.size() - 9; ++round) {
    std::vector<StepInput> inputs;
    std::vector<size_t> who;
    for (size_t i = 0; i < 3; ++i) {
      const auto mine = std::span(tokens).subspan(i * 3);
      const size_t n = std::min<size_t>((round + i) % 3 == 0 ? 1 : 5 + i, mine.size() - at[i]);
      if (n == 0) continue;
      inputs.push_back({&sequences[i], mine.subspan(at[i], n), Logits::kAll});
      who.insert(who.end(), n, i);
      at[i] += n;
    }
    cr_assert(engine->step(inputs).has_value());
    for (uint32_t r = 0; r < engine->n_outputs(); ++r) {
      const auto row = engine->logits(r);
      together[who[r]].insert(together[who[r]].end(), row.begin(), row.end());
    }
  }
  for (size_t i = 0; i < 3; ++i) cr_expect(same_bits(alone[i], together[i]), "text %zu", i);
}

// A copy of the weights computes what the mapped file does, and says how far it is.
Test(engine, weights_in_huge_pages_are_the_same) {
  const auto tokens = some_tokens(9, subject_vocab());
  EngineOptions options;
  options.huge_pages = true;
  uint64_t last = 0, whole = 0, n_calls = 0;
  options.progress = [&](uint64_t done, uint64_t total) {
    cr_assert(done > last && done <= total);
    last = done, whole = total, ++n_calls;
    return true;
  };
  std::vector<std::string> seen;
  options.observer = [&](const std::string& tensor, std::span<const float>) {
    seen.push_back(tensor);
  };
  const auto copied = all_logits(options, tokens, 512, 48);
  cr_expect(n_calls > 1 && whole - last < 256, "%lu of %lu", last, whole);

  EngineOptions mapped;
  std::vector<std::string> expected;
  mapped.observer = [&](const std::string& tensor, std::span<const float>) {
    expected.push_back(tensor);
  };
  cr_expect(same_bits(copied, all_logits(mapped, tokens, 512, 48)));
  cr_expect(!seen.empty() && seen == expected);

  options.progress = [](uint64_t, uint64_t) { return false; };
  cr_expect(is_error(Engine::create(subject(), options), ECANCELED, {"cancelled"}));
}

namespace {

EngineOptions keeping(const std::string& kv_type, const char* isa = "", unsigned n_threads = 0) {
  EngineOptions o = options_of(isa, n_threads);
  o.kv_type = kv_type;
  return o;
}

}  // namespace

Test(engine, every_type_of_cache_is_exact) {
  const auto tokens = some_tokens(test::light() ? 9 : 70, subject_vocab());
  const auto f16 = all_logits({}, tokens, 512, 48);
  for (const std::string& type : kv_types()) {
    const auto reference = all_logits(keeping(type, "scalar", 1), tokens, 512, 48);
    cr_expect(same_bits(reference, f16) == (type == "f16"), "%s", type.c_str());
    double worst = 0;
    for (size_t i = 0; i < f16.size(); ++i) {
      worst = std::max(worst, std::abs(double{reference[i]} - f16[i]));
    }
    cr_expect(worst < 1.0, "%s: logits differ by %g", type.c_str(), worst);
    for (size_t i = 0; i < kNumIsas; ++i) {
      if (!kIsas[i].usable()) continue;
      const auto got = all_logits(keeping(type, kIsas[i].name, 2), tokens, 7, 48);
      cr_expect(same_bits(reference, got), "%s on %s", type.c_str(), kIsas[i].name);
    }
  }
}

Test(engine, caches_take_the_room_that_their_type_does) {
  const auto model = subject();
  const ModelInfo& m = model->info();
  const uint64_t numbers = uint64_t{2} * m.n_layers * m.n_kv_heads * m.head_dim;
  for (const std::string& type : kv_types()) {
    const EngineInfo info = engine_for(model, keeping(type))->info();
    const uint64_t bytes = type == "q8_0" ? numbers / 32 * 34 : numbers * 2;
    cr_expect(same(info.kv_bytes, bytes * info.kv_tokens), "%s", type.c_str());
    cr_expect(info.kv_type == type);
  }
  cr_expect(
      is_error(Engine::create(model, keeping("q4_0")), EINVAL, {"'q4_0'", "f16, bf16, q8_0"}));
}

// Heads that are no whole blocks: those of a model whose file says that there are twice as many.
Test(engine, heads_must_fit_the_blocks_of_a_cache) {
  const auto whole = subject();
  const auto bytes = whole->file().bytes();
  std::string file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const ModelInfo& m = whole->info();
  const uint32_t less = m.head_dim / 16;  // so that heads have 16 numbers
  for (const char* key : {"llama.attention.head_count", "llama.attention.head_count_kv"}) {
    const std::string name = key;
    size_t at = file.find(name);
    while (file.compare(at + name.size(), 1, "_") == 0) at = file.find(name, at + 1);
    uint32_t n = 0;
    std::memcpy(&n, file.data() + at + name.size() + 4, sizeof(n));  // behind the value's type
    n *= less;
    std::memcpy(file.data() + at + name.size() + 4, &n, sizeof(n));
  }
  for (const char* key : {"llama.rope.dimension_count", "llama.attention.key_length",
                          "llama.attention.value_length"}) {
    const size_t at = file.find(key);
    const uint32_t n = 16;
    if (at != std::string::npos)
      std::memcpy(file.data() + at + std::strlen(key) + 4, &n, sizeof(n));
  }
  const test::TempDir dir;
  test::write_file(dir.file("small-heads.gguf"), file);
  const auto model = Model::load(dir.file("small-heads.gguf"));
  cr_assert(model.has_value() && (*model)->info().head_dim == 16, "%s", why(model));
  cr_expect(is_error(Engine::create(*model, keeping("q8_0")), EINVAL,
                     {"small-heads.gguf", "heads of 16 numbers", "q8_0", "multiples of 32"}));
  cr_expect(Engine::create(*model, keeping("bf16")).has_value());
}

Test(engine, a_window_goes_on_for_ever_and_chunks_change_nothing) {
  const uint32_t n = test::light() ? 80 : 700;
  const auto tokens = some_tokens(n, subject_vocab());
  const auto one = all_logits({}, tokens, 1, 64);
  cr_expect(same_bits(one, all_logits({}, tokens, 7, 64)));
  if (!test::light()) cr_expect(same_bits(one, all_logits({}, tokens, 512, 64)));
  for (const float l : one) cr_assert(std::isfinite(l));
  // As long as nothing is dropped a window changes nothing.
  const auto some = std::span(tokens).first(60);
  cr_expect(same_bits(all_logits({}, some, 60, 64), all_logits({}, some, 60, 0)));
}

// In a model of one layer, keys and values follow from their own tokens alone. So a windowed text
// must give what a text of nothing but the tokens in sight gives: the first block and the newest,
// each at its place in the cache. Only the rounding of keys that are rotated elsewhere differs.
Test(engine, a_window_sees_what_it_should) {
  const auto whole_model = subject();
  const auto bytes = whole_model->file().bytes();
  std::string file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string key = "llama.block_count";
  const size_t at = file.find(key) + key.size() + sizeof(uint32_t);  // behind the value's type
  const uint32_t one = 1;
  std::memcpy(file.data() + at, &one, sizeof(one));
  const test::TempDir dir;
  test::write_file(dir.file("one.gguf"), file);
  const auto model = Model::load(dir.file("one.gguf"));
  cr_assert(model.has_value() && (*model)->info().n_layers == 1, "%s", why(model));
  const auto engine = engine_for(*model);

  constexpr uint32_t kWindow = 64, kTokens = 150;
  const auto tokens = some_tokens(kTokens, (*model)->info().n_vocab);
  auto windowed = engine->new_sequence(kWindow);
  all_logits(*engine, *windowed, std::span(tokens).first(kTokens - 1), 16);
  const auto got = all_logits(*engine, *windowed, std::span(tokens).last(1), 1);
  constexpr uint32_t kDropped = (kTokens - 1 - (kWindow - 1) + 15) / 16 * 16;
  std::vector<int32_t> in_sight(tokens.begin(), tokens.begin() + 16);
  in_sight.insert(in_sight.end(), tokens.begin() + 16 + kDropped, tokens.end());
  auto plain = engine->new_sequence();
  const auto all = all_logits(*engine, *plain, in_sight, 512);
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(double{got[i]} - all[all.size() - got.size() + i]));
  }
  cr_expect(worst < 1e-3, "logits differ by %g", worst);
}

Test(engine, mistakes_are_errors_and_change_nothing) {
  EngineOptions options;
  options.max_batch_tokens = 32;
  options.max_sequences = 2;
  options.kv_tokens = 64;
  const auto model = subject();
  const auto n_vocab = static_cast<int32_t>(model->info().n_vocab);
  const auto engine = engine_for(model, options);
  auto s = *engine->new_sequence();
  auto t = *engine->new_sequence();
  auto u = *engine->new_sequence();
  const auto tokens = some_tokens(64, model->info().n_vocab);
  const auto step = [&](std::vector<StepInput> in) { return engine->step(in); };
  cr_expect(is_error(step({}), EINVAL, {"0 sequences"}));
  cr_expect(is_error(step({{&s, {}}}), EINVAL, {"no tokens"}));
  cr_expect(is_error(step({{&s, std::span(tokens).first(33)}}), EINVAL, {"33 tokens", "32"}));
  const int32_t bad[] = {1, n_vocab};
  cr_expect(is_error(step({{&s, bad}}), EINVAL, {std::to_string(n_vocab)}));
  const int32_t negative[] = {-1};
  cr_expect(is_error(step({{&s, negative}}), EINVAL, {"-1"}));
  const auto one = std::span(tokens).first(1);
  cr_expect(is_error(step({{&s, one}, {&s, one}}), EINVAL, {"one sequence"}));
  cr_expect(is_error(step({{&s, one}, {&t, one}, {&u, one}}), EINVAL, {"3 sequences"}));
  cr_expect(same(s.n_tokens(), 0u) && same(engine->free_kv_tokens(), 64u));
  cr_expect(step({{&s, std::span(tokens).first(32)}}).has_value());
  cr_expect(step({{&s, std::span(tokens).first(20)}}).has_value());
  cr_expect(is_error(step({{&t, one}}), ENOBUFS, {"1 KV blocks", "0 are free"}));
  s.clear();
  cr_expect(same(engine->free_kv_tokens(), 64u));
  cr_expect(step({{&t, one}}).has_value());
  cr_expect(is_error(engine->new_sequence(50), EINVAL, {"window of 50"}));
  cr_expect(is_error(engine->new_sequence(1024), EINVAL,
                     {"window of 1024", std::to_string(model->info().n_ctx_train)}));
}

Test(engine, the_context_is_a_limit) {
  const auto engine = engine_for(subject());
  auto s = *engine->new_sequence();
  const ModelInfo& info = engine->model().info();
  const uint32_t n = info.n_ctx_train;
  const auto tokens = some_tokens(n, info.n_vocab);
  const StepInput in{&s, tokens, Logits::kLast};
  cr_assert(engine->step({&in, 1}).has_value());
  const StepInput more{&s, std::span(tokens).first(1), Logits::kLast};
  cr_expect(is_error(engine->step({&more, 1}), ENOSPC, {std::to_string(n + 1), std::to_string(n)}));
}

Test(engine, bad_options_are_errors) {
  EngineOptions o;
  o.isa = "mmx";
  cr_expect(is_error(Engine::create(tales(), o), EINVAL, {"mmx", "scalar, avx2, avxvnni, avx512"}));
  o = {};
  o.device = "gpu";
  cr_expect(is_error(Engine::create(tales(), o), EINVAL, {"gpu", "auto, cpu, emu or"}));
  o = {};
  o.n_threads = 1000000;
  cr_expect(is_error(Engine::create(tales(), o), EINVAL, {"1000000 threads", "1024"}));
  o = {};
  o.max_batch_tokens = 0;
  cr_expect(is_error(Engine::create(tales(), o), EINVAL, {"max_batch_tokens"}));
  o = {};
  o.kv_tokens = uint64_t{1} << 40;
  cr_expect(is_error(Engine::create(tales(), o), EINVAL, {"kv_tokens"}));
}

Test(engine, generation_ends_as_asked) {
  const auto engine = engine_for(tales());
  const auto prompt = engine->model().tokenizer()->encode("Once upon a time", true);
  GenerateParams params;
  params.sampling.temperature = 0;
  params.n_predict = 12;
  auto s = *engine->new_sequence();
  const auto whole = generate(*engine, s, prompt, params);
  cr_assert(whole.has_value() && whole->finish == Finish::kLength);
  cr_expect(same(whole->ids.size(), 12u) && same(whole->n_prompt, 5u));
  s.clear();
  params.stop = {"was a"};
  std::string streamed;
  const auto stopped = generate(*engine, s, prompt, params, [&](std::string_view t) {
    streamed += t;
    return true;
  });
  cr_assert(stopped.has_value() && stopped->finish == Finish::kStop);
  cr_expect(stopped->text == " there " && streamed == stopped->text, "'%s'", stopped->text.c_str());
  s.clear();
  params.stop = {};
  const auto cancelled =
      generate(*engine, s, prompt, params, [](std::string_view) { return false; });
  cr_assert(cancelled.has_value() && cancelled->finish == Finish::kCancelled);
  s.clear();
  cr_expect(is_error(generate(*engine, s, {}, params), EINVAL, {"empty prompt"}));
  params.sampling.temperature = -1;
  cr_expect(is_error(generate(*engine, s, prompt, params), EINVAL, {"temperature"}));
}

Test(engine, compares_models_token_by_token) {
  const test::TempDir dir;
  const std::string path = dir.file("m");
  cr_assert(synthesize("tiny", "F16", path).has_value());
  cr_assert(quantize(path, dir.file("q"), "Q4_0").has_value());
  const auto model = Model::load(path), worse = Model::load(dir.file("q"));
  cr_assert(model && worse, "%s", why(worse));
  constexpr uint32_t kChunk = 32;
  EngineOptions options;
  options.device = "cpu";
  options.n_threads = 1;
  options.max_batch_tokens = 12;
  const auto a = Engine::create(*model, options), b = Engine::create(*worse, options);
  options.max_batch_tokens = kChunk;
  const auto c = Engine::create(*worse, options);
  cr_assert(a && b && c);
  std::string text;
  for (int i = 0; i < 200; ++i) text += static_cast<char>('a' + i * 7 % 26);
  const auto same = compare(**a, **a, text, kChunk);
  cr_assert(same.has_value(), "%s", why(same));
  cr_expect(same->kl_mean == 0 && same->kl_most == 0 && same->same_top == 1);
  const auto found = compare(**a, **b, text, kChunk);
  cr_assert(found.has_value(), "%s", why(found));
  cr_expect(found->kl_mean > 0 && found->kl_most > found->kl_mean);
  cr_expect(found->same_top >= 0 && found->same_top <= 1);
  // The perplexities are those that perplexity() finds, and batches change nothing.
  const auto alone = perplexity(**b, text, kChunk), reference = perplexity(**a, text, kChunk);
  cr_assert(alone && reference);
  cr_expect(found->perplexity.value == alone->value &&
            alone->n_tokens == found->perplexity.n_tokens);
  cr_expect(found->reference.value == reference->value);
  const auto other = compare(**a, **c, text, kChunk);
  cr_expect(other && other->kl_mean == found->kl_mean && other->kl_most == found->kl_most);
  if (test::lightest()) return;
  const auto stranger = Model::embedded();
  cr_assert(stranger.has_value());
  const auto d = Engine::create(*stranger, options);
  cr_assert(d.has_value(), "%s", why(d));
  cr_expect(is_error(compare(**a, **d, text, kChunk), EINVAL, {"same tokens"}));
}
