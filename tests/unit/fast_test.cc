// SPDX-License-Identifier: Apache-2.0
// Fast arithmetic: its own bits, but the same ones everywhere; generated tokens are exact.
#include <cstring>
#include <random>

#include <sluice/engine.hpp>
#include <sluice/quantize.hpp>

#include "ops/kernels/kernels.h"
#include "sluice_sdi.h"
#include "stub_transport.h"
#include "support.h"

using namespace sluice;
using sluice::test::why;

TestSuite(fast, .timeout = 300);

namespace {

constexpr const char* kTales = "models/tales-7m-f16.gguf";

std::shared_ptr<const Model> subject(const std::string& type) {
  const test::TempDir dir;
  const std::string path = type == "F16" ? kTales : dir.file("model.gguf");
  if (path != kTales) {
    const auto done = quantize(kTales, path, type);
    cr_assert(done.has_value(), "%s", why(done));
  }
  auto model = Model::load(path);
  cr_assert(model.has_value(), "%s", why(model));
  return *model;
}

std::unique_ptr<Engine> engine_for(const std::shared_ptr<const Model>& model, Arithmetic arithmetic,
                                   const char* isa = "", unsigned n_threads = 2,
                                   const char* device = "cpu") {
  EngineOptions o;
  o.device = device;
  o.isa = isa;
  o.n_threads = n_threads;
  o.arithmetic = arithmetic;
  o.kv_tokens = 256;
  auto engine = Engine::create(model, o);
  cr_assert(engine.has_value(), "%s", why(engine));
  return std::move(*engine);
}

std::vector<int32_t> some_tokens(uint32_t n) {
  std::vector<int32_t> out;
  for (uint32_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>((i * 7919 + 11) % 2048));
  return out;
}

void append_logits(const Engine& engine, std::vector<float>& out) {
  for (uint32_t r = 0; r < engine.n_outputs(); ++r) {
    const auto row = engine.logits(r);
    out.insert(out.end(), row.begin(), row.end());
  }
}

// Logits of every token; the last `n_generated` as generated ones.
std::vector<float> logits_of(Engine& engine, std::span<const int32_t> tokens, uint32_t chunk,
                             size_t n_generated = 0) {
  auto sequence = engine.new_sequence();
  std::vector<float> out;
  const size_t n_prompt = tokens.size() - n_generated;
  for (size_t at = 0; at < tokens.size();) {
    const bool generated = at >= n_prompt;
    const size_t n = std::min<size_t>(chunk, (generated ? tokens.size() : n_prompt) - at);
    const StepInput in{&*sequence, tokens.subspan(at, n), Logits::kAll, generated};
    const auto done = engine.step({&in, 1});
    cr_assert(done.has_value(), "%s", why(done));
    append_logits(engine, out);
    at += n;
  }
  return out;
}

// A board that has nothing but capabilities.
class IdleTransport final : public test::StubTransport {
 public:
  explicit IdleTransport(uint64_t capabilities) : capabilities_(capabilities) {}
  Result<BoardInfo> info() override {
    BoardInfo board;
    board.name = "idle";
    board.sdi_version = SLUICE_SDI_VERSION;
    board.capabilities = capabilities_;
    return board;
  }

 private:
  uint64_t capabilities_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

Test(fast, gives_the_same_bits_everywhere) {
  for (const char* type : {"F16", "Q8_0", "Q4_K_M"}) {
    if (test::light() && type == std::string("Q4_K_M")) continue;
    if (test::lightest() && type != std::string("Q8_0")) continue;
    const auto model = subject(type);
    const auto tokens = some_tokens(test::lightest() ? 3 : test::light() ? 10 : 70);
    const auto expected =
        logits_of(*engine_for(model, Arithmetic::kFast, "scalar", 1), tokens, 512);
    const auto exact = logits_of(*engine_for(model, Arithmetic::kExact), tokens, 512);
    cr_expect(!same_bits(expected, exact), "%s", type);
    double worst = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      worst = std::max(worst, std::abs(double{expected[i]} - double{exact[i]}));
    }
    cr_expect(worst < 1.0, "%s: logits differ by %g", type, worst);
    for (size_t i = 0; i < kNumIsas; ++i) {
      if (!kIsas[i].usable()) continue;
      const auto engine = engine_for(model, Arithmetic::kFast, kIsas[i].name);
      cr_expect(same_bits(expected, logits_of(*engine, tokens, 7)), "%s on %s", type,
                kIsas[i].name);
    }
    if (test::lightest()) continue;
    const auto board = engine_for(model, Arithmetic::kFast, "", 2, "emu");
    cr_expect(same_bits(expected, logits_of(*board, tokens, 16)), "%s on a board", type);
  }
}

// A board that can do one kind only is refused for the other, and no earlier: this one has no
// memory.
Test(fast, boards_say_which_formats_they_take) {
  const struct {
    uint64_t capabilities;
    const char* type;
    int code;
    std::string_view why;
  } cases[] = {{SLUICE_SDI_CAP_FAST, "F16", ENOTSUP, "idle: a board without fast arithmetic"},
               {SLUICE_SDI_CAP_FAST_FLOATS, "Q8_0", ENOTSUP, "for weights of Q8_0"},
               {0, "F16", ENOTSUP, "for weights of F16"},
               {SLUICE_SDI_CAP_FAST_FLOATS, "F16", ENOMEM, "not one layer"},
               {SLUICE_SDI_CAP_FAST, "Q8_0", ENOMEM, "not one layer"}};
  for (const auto& c : cases) {
    if (test::lightest() && c.type == std::string("Q8_0")) continue;
    EngineOptions o;
    o.arithmetic = Arithmetic::kFast;
    o.device = "idle";
    o.board =
        std::make_shared<Device>(make_device(std::make_shared<IdleTransport>(c.capabilities)));
    cr_expect(test::is_error(Engine::create(subject(c.type), o), c.code, {c.why}));
  }
}

Test(fast, generated_tokens_are_exact) {
  const auto model = subject("Q8_0");
  const auto tokens = some_tokens(test::lightest() ? 2 : 12);
  const auto exact = logits_of(*engine_for(model, Arithmetic::kExact), tokens, 5);
  const auto got = logits_of(*engine_for(model, Arithmetic::kFast), tokens, 5, tokens.size());
  cr_expect(same_bits(exact, got));
}

// A step with prompts and generated tokens is what the steps of each alone are, rows in the order
// of the inputs.
Test(fast, steps_may_mix_both) {
  const auto model = subject("Q8_0");
  const auto engine = engine_for(model, Arithmetic::kFast);
  const auto tokens = some_tokens(test::lightest() ? 4 : 24);
  const size_t half = tokens.size() / 2;
  const auto expected = logits_of(*engine, tokens, 512, half);
  auto a = engine->new_sequence(), b = engine->new_sequence(), c = engine->new_sequence();
  const std::span all(tokens);
  const StepInput begin{&*a, all.first(half), Logits::kAll};
  cr_assert(engine->step({&begin, 1}).has_value());
  std::vector<float> first, together;
  append_logits(*engine, first);
  const StepInput mixed[] = {{&*b, all.first(half), Logits::kAll},
                             {&*a, all.subspan(half), Logits::kAll, true},
                             {&*c, all.first(half), Logits::kLast}};
  const auto done = engine->step(mixed);
  cr_assert(done.has_value(), "%s", why(done));
  append_logits(*engine, together);
  std::vector<float> wanted = first;
  wanted.insert(wanted.end(), expected.begin() + static_cast<ptrdiff_t>(first.size()),
                expected.end());
  const size_t n_vocab = first.size() / half;
  wanted.insert(wanted.end(), first.end() - static_cast<ptrdiff_t>(n_vocab), first.end());
  cr_expect(same_bits(wanted, together));
}
