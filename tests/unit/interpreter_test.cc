// SPDX-License-Identifier: Apache-2.0
// The library on every instruction set against an interpreter that was written from the text of the
// Device Interface alone: the same bits for random lists and for whole models, and the same verdict
// on spoiled lists and steps.
#include "tests/interpreter/interpreter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include <sluice/engine.hpp>
#include <sluice/quantize.hpp>

#include "core/aligned.h"
#include "model/loaded_model.h"
#include "ops/executor.h"
#include "quant/format.h"
#include "support.h"
#include "tests/interpreter/cases.h"

using namespace sluice;
using interpreter::Case;
using sluice::test::why;

TestSuite(interpreter, .timeout = 400);

namespace {

constexpr uint64_t kEverything = ~uint64_t{0};  // capabilities

std::vector<const Isa*> usable_isas() {
  std::vector<const Isa*> out;
  for (size_t i = 0; i < kNumIsas; ++i) {
    if (kIsas[i].usable()) out.push_back(&kIsas[i]);
  }
  return out;
}

// A random list, and what the interpreter leaves of its memory.
struct Expected {
  Case c;
  std::string name;
  std::vector<uint8_t> memory;

  Expected(Case from, std::string label) : c(std::move(from)), name(std::move(label)) {
    memory = c.memory;
    const interpreter::Segment segment{memory.data(), memory.size(), true, true};
    uint32_t index = 0;
    const uint32_t status =
        interpreter::run(c.list(), {&segment, 1}, std::as_bytes(std::span(c.step)), &index);
    cr_assert(status == SLUICE_SDI_OK, "%s: status %u at %u", name.c_str(), status, index);
  }
};

// Valgrind's fused multiply-add of AVX2 may give an exact zero the other sign than the CPU does.
void forgive_signs_of_zero(std::vector<uint8_t>& got, const std::vector<uint8_t>& expected) {
  for (size_t i = 0; i + 4 <= got.size(); i += 4) {
    uint32_t a, b;
    std::memcpy(&a, got.data() + i, 4);
    std::memcpy(&b, expected.data() + i, 4);
    if ((a ^ b) == 0x80000000u && (a << 1) == 0) std::memcpy(got.data() + i, &b, 4);
  }
}

bool agrees(Executor& executor, const char* isa, const Expected& e) {
  std::vector<uint8_t> memory = e.c.memory;
  const SegmentTable segments = {
      {reinterpret_cast<std::byte*>(memory.data()), memory.size(), true}};
  const auto handle = executor.load({e.c.tensors, e.c.commands}, segments);
  if (!handle) {
    cr_log_error("%s on %s: %s", e.name.c_str(), isa, why(handle));
    return false;
  }
  const auto done = executor.run(*handle, e.c.step);
  executor.unload(*handle);
  if (test::lightest()) forgive_signs_of_zero(memory, e.memory);
  const std::string found = done ? interpreter::difference(memory, e.memory) : why(done);
  if (!found.empty()) cr_log_error("%s on %s: %s", e.name.c_str(), isa, found.c_str());
  return found.empty();
}

void expect_agreement(const std::vector<Expected>& all) {
  for (const Isa* isa : usable_isas()) {
    Executor executor(*isa->kernels, 2);
    unsigned n_bad = 0;
    for (const Expected& e : all) n_bad += agrees(executor, isa->name, e) ? 0 : 1;
    cr_expect(n_bad == 0, "%u of %zu lists differ on %s", n_bad, all.size(), isa->name);
  }
}

uint32_t rounds(uint32_t normal) {
  return test::lightest() ? 1 : test::light() ? normal / 8 + 1 : normal;
}

}  // namespace

Test(interpreter, every_operation_gives_the_same_bits) {
  std::vector<Expected> all;
  for (uint16_t op = 1; op < SLUICE_SDI_N_OPS; ++op) {
    const auto types = interpreter::types_for(op);
    for (const uint16_t type : types) {
      for (uint32_t seed = 0; seed < rounds(types.size() > 3 ? 24 : 80); ++seed) {
        all.emplace_back(interpreter::one_command(op, type, 0, seed, kEverything),
                         fmt::format("operation {}, type {}, seed {}", op, type, seed));
      }
    }
  }
  expect_agreement(all);
}

Test(interpreter, random_lists_give_the_same_bits) {
  std::vector<Expected> all;
  for (uint32_t seed = 0; seed < rounds(300); ++seed) {
    all.emplace_back(interpreter::many_commands(2 + seed % 11, 0, seed, kEverything),
                     fmt::format("list {}", seed));
  }
  expect_agreement(all);
}

namespace {

void spoil(std::mt19937& rng, void* data, size_t bytes, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    const uint8_t values[] = {0, 1, 2, 0xff, static_cast<uint8_t>(rng()), 0x7f, 0x40};
    static_cast<uint8_t*>(data)[rng() % bytes] = values[rng() % std::size(values)];
  }
}

// Whether both take or both refuse a list, and at the same place.
struct Verdicts {
  Executor& executor;
  unsigned n_lists = 0, n_taken = 0, n_steps = 0, n_ran = 0;

  // The handle of a list that both take, 0 of one that both refuse; nothing: they differ.
  std::optional<uint32_t> load(const Case& c, std::vector<uint8_t>& memory) {
    const interpreter::Segment segment{memory.data(), memory.size(), true, true};
    const SegmentTable segments = {
        {reinterpret_cast<std::byte*>(memory.data()), memory.size(), true}};
    uint32_t index = 0;
    ListRefusal refusal;
    const bool taken = interpreter::check(c.list(), {&segment, 1}, &index) == SLUICE_SDI_OK;
    const auto handle = executor.load({c.tensors, c.commands}, segments, &refusal);
    ++n_lists;
    n_taken += taken;
    if (taken == handle.has_value() && (taken || index == refusal.index)) {
      return taken ? *handle : 0;
    }
    cr_log_error("the text %s at %u, the library at %u: %s", taken ? "takes it" : "refuses", index,
                 refusal.index, why(handle));
    return std::nullopt;
  }

  bool run(const Case& c, uint32_t handle, std::span<const uint32_t> step,
           std::vector<uint8_t>& memory) {
    std::vector<uint8_t> expected = memory;
    const interpreter::Segment segment{expected.data(), expected.size(), true, true};
    uint32_t index = 0;
    const bool ran =
        interpreter::run(c.list(), {&segment, 1}, std::as_bytes(step), &index) == SLUICE_SDI_OK;
    const auto done = executor.run(handle, step);
    ++n_steps;
    n_ran += ran;
    if (ran == done.has_value()) return true;
    cr_log_error("the text %s the step, the library: %s", ran ? "takes" : "refuses", why(done));
    return false;
  }
};

}  // namespace

Test(interpreter, spoiled_lists_and_steps_meet_the_same_verdict) {
  std::mt19937 rng(5);
  Executor executor(**choose_kernels(""), 1);
  Verdicts verdicts{executor};
  for (uint32_t seed = 0; seed < rounds(3000); ++seed) {
    Case c = interpreter::many_commands(1 + seed % 3, 0, seed, kEverything);
    spoil(rng, c.tensors.data(), c.tensors.size() * sizeof(c.tensors[0]), rng() % 3);
    spoil(rng, c.commands.data(), c.commands.size() * sizeof(c.commands[0]), rng() % 2);
    std::vector<uint8_t> memory = c.memory;
    const auto handle = verdicts.load(c, memory);
    cr_expect(handle.has_value(), "list %u", seed);
    if (!handle || *handle == 0) continue;
    for (int i = 0; i < 2; ++i) {
      std::vector<uint32_t> step = c.step;
      spoil(rng, step.data(), step.size() * 4, rng() % 3);
      cr_expect(verdicts.run(c, *handle, step, memory), "a step of list %u", seed);
    }
    executor.unload(*handle);
  }
  cr_log_info("%u of %u lists taken, %u of %u steps", verdicts.n_taken, verdicts.n_lists,
              verdicts.n_ran, verdicts.n_steps);
  if (test::light()) return;
  cr_expect(verdicts.n_taken > verdicts.n_lists / 4 && verdicts.n_taken < verdicts.n_lists * 3 / 4);
  cr_expect(verdicts.n_ran > verdicts.n_steps / 4 && verdicts.n_ran < verdicts.n_steps * 3 / 4);
}

namespace {

constexpr uint32_t kSequences = 8, kBlocks = 3, kMostTokens = 64;

// The memory of a model's list: its segments, those that are written among them.
struct Model8 {
  std::vector<std::byte> scratch, kv, logits;
  std::vector<std::span<std::byte>> segments;

  Model8(const LoadedModel& model, const Program& program)
      : scratch(program.scratch_bytes), kv(program.kv_bytes), logits(program.logits_bytes) {
    const auto unconst = [](std::span<const std::byte> s) {
      return std::span(const_cast<std::byte*>(s.data()), s.size());
    };
    segments = {unconst(model.file().bytes()), unconst(model.architecture().constants()), scratch,
                kv, logits};
  }
  SegmentTable table() {
    SegmentTable out;
    for (const auto s : segments) out.push_back({s.data(), s.size(), out.size() > 1});
    return out;
  }
  std::vector<interpreter::Segment> plain() {
    std::vector<interpreter::Segment> out;
    for (const auto s : segments) {
      out.push_back({reinterpret_cast<uint8_t*>(s.data()), s.size(), true, out.size() > 1});
    }
    return out;
  }
};

Program compile(const LoadedModel& model, const char* kv_format) {
  CompileOptions options;
  options.max_tokens = options.max_outputs = kMostTokens;
  options.n_slots = kSequences * kBlocks * SLUICE_SDI_BLOCK_TOKENS;
  options.kv_format = find_format(std::string_view(kv_format));
  options.end_layer = model.info().n_layers;
  options.place = [&](const GgufTensor& t) { return model.file().data_offset() + t.offset; };
  auto program = model.architecture().compile(options);
  cr_assert(program.has_value(), "%s", why(program));
  return *program;
}

// Steps of 8 sequences: `prompt` tokens each, then one at a time; the last two sequences have lost
// a window of 16 tokens behind their first block.
std::vector<std::vector<uint32_t>> model_steps(uint32_t n_vocab, uint32_t prompt, uint32_t n_more) {
  std::mt19937 rng(11);
  std::vector<std::vector<uint32_t>> out;
  uint32_t at = 0;
  for (uint32_t i = 0; i <= n_more; ++i) {
    StepInputs s;
    const uint32_t n = i == 0 ? prompt : 1;
    for (uint32_t q = 0; q < kSequences; ++q) {
      const bool windowed = q >= kSequences - 2;
      const uint32_t first = windowed ? 14 : 0;  // of the cache; what is before it was zeroed
      for (uint32_t j = 0; j < n; ++j) {
        const uint32_t context = first + at + j, skip = windowed ? 1 : 0;
        const uint32_t block = context < 16 ? 0 : context / 16 + skip;
        s.token.push_back(static_cast<uint32_t>(rng() % n_vocab));
        s.position.push_back(context + (context < 16 ? 0 : skip * 16));
        s.context.push_back(context);
        s.skip.push_back(skip);
        s.sequence.push_back(q);
        s.slot.push_back(static_cast<int32_t>((q * kBlocks + block) * 16 + context % 16));
      }
      s.output.push_back(static_cast<uint32_t>(s.token.size() - 1));
      s.block_table.push_back({q * kBlocks, q * kBlocks + 1, q * kBlocks + 2});
    }
    at += n;
    out.emplace_back();
    s.write(out.back());
  }
  return out;
}

// The logits of every step, one step behind the other.
using Logits = std::vector<uint8_t>;

void append(Logits& to, const Model8& m, uint32_t n_vocab) {
  const auto* from = reinterpret_cast<const uint8_t*>(m.logits.data());
  to.insert(to.end(), from, from + size_t{kSequences} * n_vocab * 4);
}

Logits interpret(const LoadedModel& model, const Program& program,
                 const std::vector<std::vector<uint32_t>>& steps) {
  Model8 m(model, program);
  const auto segments = m.plain();
  Logits out;
  for (const auto& step : steps) {
    uint32_t index = 0;
    const uint32_t status = interpreter::run({program.list.tensors, program.list.commands},
                                             segments, std::as_bytes(std::span(step)), &index);
    cr_assert(status == SLUICE_SDI_OK, "status %u at %u", status, index);
    append(out, m, model.info().n_vocab);
  }
  return out;
}

Logits execute(const LoadedModel& model, const Program& program, const Kernels& kernels,
               const std::vector<std::vector<uint32_t>>& steps) {
  Model8 m(model, program);
  Executor executor(kernels, 2);
  const auto handle = executor.load(program.list, m.table());
  cr_assert(handle.has_value(), "%s", why(handle));
  Logits out;
  for (const auto& step : steps) {
    const auto done = executor.run(*handle, step);
    cr_assert(done.has_value(), "%s", why(done));
    append(out, m, model.info().n_vocab);
  }
  return out;
}

// A model of `path` (empty: the embedded one), by the interpreter and on every instruction set.
void expect_same_logits(const std::string& path, uint32_t n_more = test::light() ? 1 : 3,
                        const char* kv_format = "F16") {
  const auto loaded = path.empty() ? Model::embedded() : Model::load(path);
  cr_assert(loaded.has_value(), "%s", why(loaded));
  const auto& model = static_cast<const LoadedModel&>(**loaded);
  const Program program = compile(model, kv_format);
  const uint32_t prompt = test::light() ? 1 : 5;
  const auto steps = model_steps(model.info().n_vocab, prompt, n_more);
  const Logits expected = interpret(model, program, steps);
  double sum = 0;
  for (size_t i = 0; i < expected.size(); i += 4) {
    float value;
    std::memcpy(&value, expected.data() + i, 4);
    sum += std::fabs(static_cast<double>(value));
  }
  cr_expect(std::isfinite(sum) && sum > 0, "logits that say nothing: %g", sum);
  for (const Isa* isa : usable_isas()) {
    const Logits got = execute(model, program, *isa->kernels, steps);
    cr_expect(got == expected, "%s on %s: %s", path.c_str(), isa->name,
              interpreter::difference(got, expected).c_str());
  }
}

void expect_same_quantized(const char* type) {
  if (test::lightest()) return;  // minutes under valgrind; the operations are covered above
  const test::TempDir dir;
  const auto embedded = Model::embedded();
  cr_assert(embedded.has_value(), "%s", why(embedded));
  const auto bytes = (*embedded)->file().bytes();
  const std::string in = dir.file("in.gguf"), out = dir.file("out.gguf");
  test::write_file(in, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  const auto done = quantize(in, out, type);
  cr_assert(done.has_value(), "%s", why(done));
  expect_same_logits(out);
}

}  // namespace

Test(interpreter, the_embedded_model_gives_the_same_logits) {
  if (test::lightest()) return;
  expect_same_logits("");
}

Test(interpreter, every_type_of_cache_gives_the_same_logits) {
  if (test::lightest()) return;
  for (const char* format : {"BF16", "Q8_0"}) {
    expect_same_logits("", test::light() ? 1 : 3, format);
  }
}

Test(interpreter, a_q8_0_model_gives_the_same_logits) { expect_same_quantized("q8_0"); }

Test(interpreter, a_q4_k_m_model_gives_the_same_logits) { expect_same_quantized("q4_k_m"); }

// Steps enough for the windowed sequences to grow beyond the windows of local layers (25 tokens).
Test(interpreter, every_architecture_gives_the_same_logits) {
  if (test::lightest()) return;
  const test::TempDir dir;
  for (const std::string& architecture : synth_architectures()) {
    SynthOptions options;
    options.preset = "tiny";
    options.architecture = architecture;
    options.rope = architecture == "phi3" ? "longrope" : architecture == "qwen3" ? "yarn" : "none";
    const auto done = synthesize(options, dir.file(architecture));
    cr_assert(done.has_value(), "%s", why(done));
    expect_same_logits(dir.file(architecture), test::light() ? 2 : 12);
  }
}
