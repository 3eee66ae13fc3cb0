// SPDX-License-Identifier: Apache-2.0
// Every architecture: the same bits on every ISA, in every cut of a text, in company and on a board
// for every split of the layers; what windows and scaled positions mean; and bad files. That the
// numbers are right is for tests/e2e/test_peer.py to say.
#include <cerrno>
#include <cmath>
#include <cstring>

#include <sluice/engine.hpp>
#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "ops/kernels/kernels.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(decoder, .timeout = 400);

namespace {

// Beyond the windows of synthetic models, which see 25 tokens.
uint32_t n_tokens() { return test::lightest() ? 3 : test::light() ? 30 : 60; }

std::string synthetic(const std::string& architecture, const std::string& type,
                      const std::string& rope = "none") {
  SynthOptions options;
  options.preset = "tiny";
  options.architecture = architecture;
  options.type = type;
  options.rope = rope;
  const test::TempDir dir;
  const auto done = synthesize(options, dir.file("m.gguf"));
  cr_assert(done.has_value(), "%s", why(done));
  return test::read_file(dir.file("m.gguf"));
}

Result<std::shared_ptr<const Model>> load(const std::string& file) {
  const test::TempDir dir;
  test::write_file(dir.file("m.gguf"), file);
  return Model::load(dir.file("m.gguf"));
}

std::shared_ptr<const Model> good(const std::string& file) {
  auto model = load(file);
  cr_assert(model.has_value(), "%s", why(model));
  return *model;
}

// Where the value of a key is.
size_t value_of(const std::string& file, const std::string& key) {
  const size_t at = file.find(key);
  cr_assert(at != std::string::npos, "no key %s", key.c_str());
  return at + key.size() + sizeof(uint32_t);  // behind the value's type
}

template <typename T>
std::string with(std::string file, const std::string& key, T value) {
  std::memcpy(file.data() + value_of(file, key), &value, sizeof(value));
  return file;
}

// The file with every `from` spelled `to`, of the same length.
std::string spelled(std::string file, const std::string& from, const std::string& to) {
  cr_assert(from.size() == to.size() && file.find(from) != std::string::npos, "%s", from.c_str());
  for (size_t at = 0; (at = file.find(from, at)) != std::string::npos;) {
    file.replace(at, from.size(), to);
  }
  return file;
}

// The file with another key.
std::string with_key(const std::string& file, const std::string& key, const GgufValue& value) {
  const auto from = GgufFile::from_memory(std::as_bytes(std::span(file)), "m.gguf");
  cr_assert(from.has_value(), "%s", why(from));
  const test::TempDir dir;
  auto to = GgufWriter::create(dir.file("m.gguf"));
  cr_assert(to.has_value(), "%s", why(to));
  for (const GgufKeyValue& kv : from->metadata()) to->set(kv.key, kv.value);
  to->set(key, value);
  for (const GgufTensor& t : from->tensors()) {
    cr_assert(to->add_tensor(t.name, t.type, std::span(t.shape).first(t.rank)).has_value());
  }
  for (const GgufTensor& t : from->tensors()) cr_assert(to->write(from->data(t)).has_value());
  cr_assert(to->finish().has_value());
  return test::read_file(dir.file("m.gguf"));
}

GgufValue number(uint64_t value) { return {GgufType::kU32, value}; }

GgufValue flags(std::vector<uint64_t> values) {
  auto array = std::make_shared<GgufArray>();
  array->element_type = GgufType::kBool;
  array->elements = std::move(values);
  return {GgufType::kArray, std::shared_ptr<const GgufArray>(std::move(array))};
}

std::vector<int32_t> some_tokens(uint32_t n) {
  std::vector<int32_t> out;
  for (uint32_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>((i * 7919 + 11) % 331));
  return out;
}

EngineOptions options_of(const char* isa = "", unsigned n_threads = 2) {
  EngineOptions o;
  o.device = "cpu";
  o.isa = isa;
  o.n_threads = n_threads;
  return o;
}

using Floats = std::vector<float>;

void append(const Engine& engine, uint32_t first, uint32_t n, Floats& to) {
  for (uint32_t r = first; r < first + n; ++r) {
    const auto row = engine.logits(r);
    to.insert(to.end(), row.begin(), row.end());
  }
}

// Floats of every token, fed in chunks; with company the tokens of another text run beside them.
Floats logits_of(std::shared_ptr<const Model> model, const EngineOptions& options, uint32_t chunk,
                 bool company = false, uint32_t n = n_tokens()) {
  const auto engine = Engine::create(std::move(model), options);
  cr_assert(engine.has_value(), "%s", why(engine));
  auto sequence = (*engine)->new_sequence(), other = (*engine)->new_sequence();
  const auto tokens = some_tokens(n), others = some_tokens(n + 2);
  Floats out;
  for (uint32_t at = 0; at < n; at += chunk) {
    const uint32_t now = std::min(chunk, n - at);
    std::vector<StepInput> step;
    if (company) step.push_back({&*other, std::span(others).subspan(at + 1, 1), Logits::kAll});
    step.push_back({&*sequence, std::span(tokens).subspan(at, now), Logits::kAll});
    const auto done = (*engine)->step(step);
    cr_assert(done.has_value(), "%s", why(done));
    append(**engine, company ? 1 : 0, now, out);
  }
  for (const float l : out) cr_assert(std::isfinite(l));
  return out;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// All of them; under valgrind those with the most to them.
std::vector<std::string> architectures() {
  if (test::lightest()) return {"qwen2", "gemma3"};
  return synth_architectures();
}

}  // namespace

Test(decoder, every_architecture_gives_the_same_bits) {
  for (const std::string& architecture : architectures()) {
    for (const char* type : {"F16", "Q8_0"}) {
      const auto model = good(synthetic(architecture, type));
      cr_expect(model->info().architecture == architecture);
      const Floats reference = logits_of(model, options_of("scalar", 1), 512);
      for (size_t i = 0; i < kNumIsas; ++i) {
        if (!kIsas[i].usable()) continue;
        cr_expect(same_bits(logits_of(model, options_of(kIsas[i].name), 7), reference),
                  "%s %s on %s", architecture.c_str(), type, kIsas[i].name);
      }
      cr_expect(same_bits(logits_of(model, options_of(), 1), reference), "%s one by one",
                architecture.c_str());
      cr_expect(same_bits(logits_of(model, options_of(), 9, true), reference), "%s in company",
                architecture.c_str());
    }
  }
}

Test(decoder, every_split_of_every_architecture_gives_the_same_bits) {
  for (const std::string& architecture : architectures()) {
    const auto model = good(synthetic(architecture, test::light() ? "F16" : "Q8_0"));
    const Floats expected = logits_of(model, options_of(), 16);
    EngineOptions options = options_of();
    options.device = "emu";
    options.max_batch_tokens = 16;
    options.emulator.memory_size = uint64_t{1} << 25;
    const auto n_layers = static_cast<int32_t>(model->info().n_layers);
    for (int32_t layers = 1; layers <= n_layers; layers += test::light() ? n_layers - 1 : 1) {
      options.device_layers = layers;
      cr_expect(same_bits(logits_of(model, options, 16), expected), "%s, %d layers",
                architecture.c_str(), layers);
    }
  }
}

Test(decoder, a_window_that_holds_the_text_changes_nothing) {
  for (const char* architecture : {"gemma2", "gemma3"}) {
    const std::string file = synthetic(architecture, "F16");
    const std::string key = std::string(architecture) + ".attention.sliding_window";
    const uint32_t n = test::lightest() ? 3 : 40;
    const Floats whole = logits_of(good(with(file, key, 0u)), options_of(), 512, false, n);
    cr_expect(same_bits(logits_of(good(with(file, key, n)), options_of(), 512, false, n), whole));
    const Floats less = logits_of(good(with(file, key, n - 1)), options_of(), 512, false, n);
    const size_t row = whole.size() / n;  // the last token alone sees one fewer
    cr_expect(std::memcmp(less.data(), whole.data(), (n - 1) * row * sizeof(float)) == 0);
    cr_expect(!same_bits(less, whole));
  }
}

// A llama has a window only if it says so, and then in every layer.
Test(decoder, a_llama_may_have_a_window) {
  const std::string file = synthetic("llama", "F16"), key = "llama.attention.sliding_window";
  const uint32_t n = test::lightest() ? 3 : 40;
  const auto of = [&](const std::string& f) {
    return logits_of(good(f), options_of(), 7, false, n);
  };
  const Floats whole = of(file);
  cr_expect(same_bits(of(with_key(file, key, number(0))), whole));
  cr_expect(same_bits(of(with_key(file, key, number(n))), whole));
  cr_expect(!same_bits(of(with_key(file, key, number(n - 1))), whole));
  cr_expect(is_error(load(with_key(file, key, {GgufType::kString, std::string("all")})), EBADMSG,
                     {"llama.attention.sliding_window"}));
}

Test(decoder, a_file_may_say_which_layers_are_local) {
  const std::string file = with(synthetic("gemma2", "F16"), "gemma2.attention.sliding_window", 2u);
  const std::string key = "gemma2.attention.sliding_window_pattern";
  const auto of = [](const std::string& f) {
    return logits_of(good(f), options_of(), 7, false, 9);
  };
  const Floats usual = of(file);
  cr_expect(same_bits(of(with_key(file, key, number(2))), usual));
  cr_expect(same_bits(of(with_key(file, key, flags({1, 0}))), usual));
  cr_expect(!same_bits(of(with_key(file, key, flags({0, 1}))), usual));
  const Floats none = of(with(file, "gemma2.attention.sliding_window", 0u));
  cr_expect(same_bits(of(with_key(file, key, number(1))), none));
  cr_expect(same_bits(of(with_key(file, key, flags({0, 0}))), none));
  cr_expect(!same_bits(of(with_key(file, key, flags({1, 1}))), usual));
  cr_expect(is_error(load(with_key(file, key, flags({1, 0, 1}))), EBADMSG, {key, "2 flags"}));
}

// Angles are those for long contexts where there is room for one.
Test(decoder, longrope_looks_at_the_room_in_the_cache) {
  const std::string file = synthetic("phi3", "F16", "longrope");
  const std::string key = "phi3.rope.scaling.original_context_length";
  const auto with_room = [&](uint32_t original, uint64_t kv_tokens) {
    EngineOptions options = options_of();
    options.kv_tokens = kv_tokens;
    return logits_of(good(with(file, key, original)), options, 16, false, 16);
  };
  const Floats near = with_room(1u << 20, 96), beyond = with_room(1, 96);
  cr_expect(!same_bits(near, beyond));
  cr_expect(same_bits(with_room(64, 64), near));
  cr_expect(same_bits(with_room(64, 80), beyond));
}

Test(decoder, bad_files_are_errors) {
  const std::string llama = synthetic("llama", "F16"), qwen2 = synthetic("qwen2", "F16"),
                    qwen3 = synthetic("qwen3", "F16"), phi3 = synthetic("phi3", "F16", "longrope"),
                    gemma2 = synthetic("gemma2", "F16"), yarn = synthetic("llama", "F16", "yarn");
  struct Case {
    std::string file;
    int code;
    std::initializer_list<std::string_view> parts;
  };
  const Case cases[] = {
      {spelled(llama, "llama.block_count", "llama.block_coXnt"), ENOENT, {"llama.block_count"}},
      {with(llama, "llama.block_count", 0u), EBADMSG, {"llama.block_count is 0", "1 to 4096"}},
      {with(llama, "llama.attention.head_count", 5u), EBADMSG, {"tensor", "expected ["}},
      {with(llama, "llama.attention.layer_norm_rms_epsilon", 2.0f), EBADMSG, {"epsilon is 2"}},
      {with(llama, "llama.rope.dimension_count", 7u), EBADMSG, {"dimension_count is 7", "even"}},
      {with(llama, "llama.rope.freq_base", 0.5f), EBADMSG, {"freq_base is 0.5"}},
      {spelled(qwen2, "blk.1.attn_k.weight", "blk.1.attn_X.weight"),
       EBADMSG,
       {"no tensor blk.1.attn_k.weight"}},
      {with(qwen2, "qwen2.attention.value_length", 16u), EBADMSG, {"32 keys and 16 values"}},
      {spelled(qwen3, "blk.0.attn_q_norm.weight", "blk.0.attn_X_norm.weight"),
       EBADMSG,
       {"no tensor blk.0.attn_q_norm.weight"}},
      {with(phi3, "phi3.feed_forward_length", 80u),
       EBADMSG,
       {"blk.0.ffn_up.weight is [96, 320, 1, 1], expected [96, 160]"}},
      {spelled(phi3, "rope_factors_long", "rope_factors_lonX"), EBADMSG, {"rope_factors_long"}},
      {with(phi3, "phi3.rope.dimension_count", 8u),
       EBADMSG,
       {"rope_factors_short.weight", "4 floats"}},
      {spelled(gemma2, "blk.1.post_ffw_norm", "blk.1.post_fXw_norm"),
       EBADMSG,
       {"no tensor blk.1.post_ffw_norm.weight"}},
      {with(gemma2, "gemma2.attn_logit_softcapping", -1.0f), EBADMSG, {"softcapping is -1"}},
      {with(gemma2, "gemma2.attention.sliding_window", UINT32_MAX), EBADMSG, {"sliding_window"}},
      {spelled(yarn, "yarn", "barn"), ENOTSUP, {"\"barn\"", "none, linear, yarn, longrope"}},
      {with(yarn, "llama.rope.scaling.factor", 1e9f), EBADMSG, {"scaling.factor"}},
      {spelled(yarn, "general.architecture", "general.architectuXe"),
       ENOENT,
       {"general.architecture"}},
  };
  for (const Case& c : cases) {
    cr_expect(is_error(load(c.file), c.code, c.parts), "case %zu", static_cast<size_t>(&c - cases));
  }
}

Test(decoder, unknown_synthetic_models_are_errors) {
  const test::TempDir dir;
  const auto make = [&](const SynthOptions& o) { return synthesize(o, dir.file("m")); };
  SynthOptions options;
  options.preset = "tiny";
  options.architecture = "bert";
  cr_expect(is_error(make(options), EINVAL, {"architecture 'bert'", "llama, qwen2"}));
  options.architecture = "llama";
  options.rope = "long";
  cr_expect(is_error(make(options), EINVAL, {"'long'", "none, linear, yarn, longrope"}));
}
