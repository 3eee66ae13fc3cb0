// SPDX-License-Identifier: Apache-2.0
// A model on the emulated board: the CPU's bits for every split of the layers and every ISA, and
// what becomes of a generation when the board fails.
#include <cerrno>
#include <chrono>
#include <cstring>

#include <sluice/engine.hpp>
#include <sluice/quantize.hpp>

#include "ops/kernels/kernels.h"
#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::why;

TestSuite(board_engine, .timeout = 600);

namespace {

constexpr uint32_t kSequences = 8;
constexpr uint32_t kTokens = 64;

std::shared_ptr<const Model> model_of(const char* format) {
  const test::TempDir dir;
  if (test::lightest()) {
    cr_assert(synthesize("tiny", format, dir.file("m.gguf")).has_value());
  } else if (std::string_view(format) == "F16") {
    auto model = Model::embedded();
    cr_assert(model.has_value(), "%s", why(model));
    return *model;
  } else {
    const auto done = quantize("models/tales-7m-f16.gguf", dir.file("m.gguf"), format);
    cr_assert(done.has_value(), "%s", why(done));
  }
  auto model = Model::load(dir.file("m.gguf"));
  cr_assert(model.has_value(), "%s", why(model));
  return *model;
}

int32_t token_of(uint32_t sequence, uint32_t i, uint32_t n_vocab) {
  return static_cast<int32_t>((sequence * 977 + i * 7919 + 11) % n_vocab);
}

// Logits of 64 tokens of 8 sequences: prompts of different lengths together, then single tokens.
std::vector<float> logits_of(std::shared_ptr<const Model> model, const EngineOptions& options) {
  const uint32_t n_vocab = model->info().n_vocab;
  auto engine = Engine::create(model, options);
  cr_assert(engine.has_value(), "%s", why(engine));
  std::vector<Sequence> sequences;
  std::vector<std::vector<int32_t>> tokens(kSequences);
  for (uint32_t s = 0; s < kSequences; ++s) {
    auto sequence = (*engine)->new_sequence();
    cr_assert(sequence.has_value());
    sequences.push_back(std::move(*sequence));
    for (uint32_t i = 0; i < kTokens; ++i) tokens[s].push_back(token_of(s, i, n_vocab));
  }
  std::vector<float> out;
  std::vector<uint32_t> done(kSequences, 0);
  for (bool first = true;; first = false) {
    std::vector<StepInput> step;
    for (uint32_t s = 0; s < kSequences; ++s) {
      const uint32_t n = first ? 3 + 5 * s : std::min(1u, kTokens - done[s]);
      if (n == 0) continue;
      step.push_back({&sequences[s], std::span(tokens[s]).subspan(done[s], n), Logits::kAll});
      done[s] += n;
    }
    if (step.empty()) break;
    const auto ok = (*engine)->step(step);
    cr_assert(ok.has_value(), "%s", why(ok));
    for (uint32_t r = 0; r < (*engine)->n_outputs(); ++r) {
      const auto row = (*engine)->logits(r);
      out.insert(out.end(), row.begin(), row.end());
    }
  }
  cr_assert(out.size() == size_t{kSequences} * kTokens * n_vocab);
  return out;
}

EngineOptions emulated(int32_t layers = -1) {
  EngineOptions o;
  o.device = "emu";
  o.device_layers = layers;
  o.n_threads = 2;
  o.emulator.memory_size = uint64_t{1} << 28;
  return o;
}

EngineOptions on_cpu() {
  EngineOptions o;
  o.device = "cpu";
  o.n_threads = 2;
  return o;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<int32_t> story(std::shared_ptr<const Model> model, const EngineOptions& options,
                           uint32_t* n_recoveries = nullptr) {
  const auto engine = Engine::create(model, options);
  cr_assert(engine.has_value(), "%s", why(engine));
  auto sequence = (*engine)->new_sequence();
  GenerateParams params;
  params.sampling.temperature = 0;
  params.ignore_eos = true;
  params.n_predict = 40;
  const auto prompt = model->tokenizer()->encode("Once upon a time", true);
  const auto got = generate(**engine, *sequence, prompt, params);
  cr_assert(got.has_value(), "%s", why(got));
  if (n_recoveries) *n_recoveries = (*engine)->info().n_recoveries;
  return got->ids;
}

}  // namespace

static void every_split(const char* format) {
  const auto model = model_of(format);
  const auto expected = logits_of(model, on_cpu());
  const auto n_layers = static_cast<int32_t>(model->info().n_layers);
  for (int32_t layers = 0; layers <= n_layers; ++layers) {
    if (test::light() && layers % 4 != 0) continue;
    cr_expect(same_bits(logits_of(model, emulated(layers)), expected), "%s, %d layers", format,
              layers);
  }
}
Test(board_engine, every_split_gives_the_bits_of_the_cpu_f16) { every_split("F16"); }
Test(board_engine, every_split_gives_the_bits_of_the_cpu_q8_0) { every_split("Q8_0"); }

static void every_isa(const char* format) {
  const auto model = model_of(format);
  const auto expected = logits_of(model, on_cpu());
  for (size_t i = 0; i < kNumIsas; ++i) {
    if (!kIsas[i].usable() || (test::light() && std::string_view(kIsas[i].name) == "scalar")) {
      continue;
    }
    EngineOptions options = emulated();
    options.isa = kIsas[i].name;
    cr_expect(same_bits(logits_of(model, options), expected), "%s on %s", format, kIsas[i].name);
  }
}
Test(board_engine, a_board_of_any_isa_gives_the_bits_of_the_cpu_f16) { every_isa("F16"); }
Test(board_engine, a_board_of_any_isa_gives_the_bits_of_the_cpu_q8_0) { every_isa("Q8_0"); }

Test(board_engine, every_type_of_cache_gives_the_bits_of_the_cpu) {
  const auto model = model_of("F16");
  const auto n_layers = static_cast<int32_t>(model->info().n_layers);
  for (const char* type : {"bf16", "q8_0"}) {
    EngineOptions cpu = on_cpu(), whole = emulated(), split = emulated(n_layers / 2);
    for (EngineOptions* o : {&cpu, &whole, &split}) o->kv_type = type;
    const auto expected = logits_of(model, cpu);
    cr_expect(same_bits(logits_of(model, whole), expected), "%s", type);
    if (!test::light()) cr_expect(same_bits(logits_of(model, split), expected), "%s", type);
  }
}

Test(board_engine, says_what_the_board_holds) {
  const auto model = model_of("F16");
  const auto n_layers = static_cast<int32_t>(model->info().n_layers);
  const auto all = Engine::create(model, emulated());
  cr_assert(all.has_value(), "%s", why(all));
  cr_expect((*all)->info().device_layers == model->info().n_layers);
  cr_expect((*all)->info().device == "emu");
  cr_expect((*all)->info().device_memory.size() >= 4);
  cr_expect((*all)->info().device_memory[0].bytes >= model->info().n_bytes);
  const auto none = Engine::create(model, emulated(0));
  cr_assert(none.has_value());
  cr_expect((*none)->info().device == "cpu");
  const auto some = Engine::create(model, emulated(n_layers - 1));
  cr_assert(some.has_value());
  cr_expect(test::same((*some)->info().device_layers, n_layers - 1));
  cr_expect((*some)->info().device_memory[2].bytes < (*all)->info().device_memory[2].bytes);
}

Test(board_engine, takes_the_layers_that_fit_and_says_so_if_none_does) {
  const auto model = model_of("F16");
  EngineOptions options = emulated();
  options.max_batch_tokens = 16;
  options.kv_tokens = 64;
  uint64_t need = 0;
  {
    const auto all = Engine::create(model, options);
    cr_assert(all.has_value(), "%s", why(all));
    for (const MemoryNeed& n : (*all)->info().device_memory) need += n.bytes;
  }
  options.emulator.memory_size = (need - 1) / 4096 * 4096;
  const auto fewer = Engine::create(model, options);
  cr_assert(fewer.has_value(), "%s", why(fewer));
  cr_expect(test::same((*fewer)->info().device_layers, model->info().n_layers - 1));
  options.emulator.memory_size = 65536;
  const auto none = Engine::create(model, options);
  cr_expect(is_error(none, ENOMEM, {"fits"}));
  cr_expect(is_error(none, ENOMEM, {"weights"}));
}

Test(board_engine, bad_options_are_errors) {
  const auto model = model_of("F16");
  EngineOptions options;
  options.device = "gpu";
  cr_expect(is_error(Engine::create(model, options), EINVAL, {"auto, cpu, emu or /dev/sluiceN"}));
  options.device = "/dev/sluice-that-is-not-there";
  cr_expect(is_error(Engine::create(model, options), ENOENT, {options.device}));
  options.device = "/dev/null";
  cr_expect(is_error(Engine::create(model, options), ENOTTY, {options.device}));
}

// For a step; it takes longer where memory is checked, and much longer on a busy machine.
static std::chrono::milliseconds step_limit() {
  return std::chrono::milliseconds(test::light() ? 4000 : 500);
}

static EngineOptions faulty(const char* text) {
  EngineOptions options = emulated();
  const auto fault = parse_fault(text);
  cr_assert(fault.has_value(), "%s", why(fault));
  options.emulator.faults.push_back(*fault);
  options.device_timeout = step_limit();
  return options;
}

// Faults in the middle of a story: late in the list of entries, after loading.
Test(board_engine, a_failing_board_is_reset_and_the_story_goes_on) {
  const auto model = model_of("F16");
  const auto expected = story(model, on_cpu());
  for (const char* fault :
       {"hang@130", "all-ones@130", "corrupt@130", "lost-irq@130", "late@130,50ms"}) {
    uint32_t n_recoveries = 0;
    cr_expect(story(model, faulty(fault), &n_recoveries) == expected, "%s", fault);
    cr_log_info("%s: %u recoveries", fault, n_recoveries);
  }
}

Test(board_engine, without_recovery_a_fault_is_an_error_in_bounded_time) {
  const auto model = model_of("F16");
  struct Case {
    const char* fault;
    int code;
  };
  for (const Case& c :
       {Case{"hang@130", ETIMEDOUT}, Case{"removal@130", ENODEV}, Case{"corrupt@130", EIO}}) {
    EngineOptions options = faulty(c.fault);
    options.max_recoveries = 0;
    const auto engine = Engine::create(model, options);
    cr_assert(engine.has_value(), "%s: %s", c.fault, why(engine));
    auto sequence = (*engine)->new_sequence();
    const auto prompt = model->tokenizer()->encode("Once upon a time", true);
    GenerateParams params;
    params.n_predict = 200;
    params.ignore_eos = true;
    const auto start = std::chrono::steady_clock::now();
    const auto got = generate(**engine, *sequence, prompt, params);
    const auto took = std::chrono::steady_clock::now() - start;
    cr_expect(is_error(got, c.code, {}), "%s", c.fault);
    cr_expect(took < std::chrono::seconds(40));
  }
}

// Entries that loading a model takes: the first fault that creating an engine survives.
static uint64_t entries_to_load(const std::shared_ptr<const Model>& model, EngineOptions options) {
  options.max_recoveries = 0;
  uint64_t fails = 0, works = 4096;
  while (works - fails > 1) {
    const uint64_t middle = (fails + works) / 2;
    options.emulator.faults = {Fault{FaultKind::kCorruption, middle}};
    (Engine::create(model, options) ? works : fails) = middle;
  }
  return works;
}

Test(board_engine, a_recovery_that_fails_changes_no_sequence) {
  const auto model = model_of("F16");
  EngineOptions options = emulated();
  options.device_timeout = step_limit();
  options.max_batch_tokens = 16;
  options.max_recoveries = 1;
  constexpr uint32_t kPrompt = 3 * 16;
  const uint64_t loaded = entries_to_load(model, options);
  // The step after the prompt fails; so does computing the prompt's second part anew.
  options.emulator.faults = {Fault{FaultKind::kCorruption, loaded + 3},
                             Fault{FaultKind::kCorruption, 2 * loaded + 5}};
  std::vector<int32_t> tokens;
  for (uint32_t i = 0; i < kPrompt + 1; ++i) {
    tokens.push_back(token_of(1, i, model->info().n_vocab));
  }
  const std::span<const int32_t> all = tokens;
  const auto prompt = [&](Engine& engine, Sequence& sequence) {
    for (uint32_t at = 0; at < kPrompt; at += 16) {
      const StepInput in{&sequence, all.subspan(at, 16), Logits::kNone};
      const auto ok = engine.step({&in, 1});
      cr_assert(ok.has_value(), "%s", why(ok));
    }
  };
  const auto engine = Engine::create(model, options);
  const auto cpu = Engine::create(model, on_cpu());
  cr_assert(engine && cpu, "%s", why(engine));
  auto sequence = (*engine)->new_sequence();
  auto expected = (*cpu)->new_sequence();
  prompt(**engine, *sequence);
  prompt(**cpu, *expected);
  const StepInput last{&*sequence, all.last(1), Logits::kLast};
  cr_expect(is_error((*engine)->step({&last, 1}), EIO, {}));
  cr_expect(test::same(sequence->n_tokens(), kPrompt));
  const auto again = (*engine)->step({&last, 1});
  cr_assert(again.has_value(), "%s", why(again));
  cr_expect(test::same(sequence->n_tokens(), kPrompt + 1));
  cr_expect(test::same((*engine)->info().n_recoveries, 2));
  const StepInput reference{&*expected, all.last(1), Logits::kLast};
  cr_assert((*cpu)->step({&reference, 1}).has_value());
  const auto row = [](const Engine& e) {
    return std::vector<float>(e.logits(0).begin(), e.logits(0).end());
  };
  cr_expect(same_bits(row(**engine), row(**cpu)));
}
