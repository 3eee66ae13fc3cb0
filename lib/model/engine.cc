// SPDX-License-Identifier: Apache-2.0
// The engine: memory for a model's segments, a loaded command list, and steps over sequences.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "core/aligned.h"
#include "core/cpu.h"
#include "kv/block_pool.h"
#include "kv/block_table.h"
#include "model/loaded_model.h"
#include "model/sequence.h"
#include "ops/executor.h"
#include "ops/step.h"
#include "quant/format.h"

namespace sluice {
namespace {

constexpr uint32_t kSmallestWindow = 48;  // the first block, and at least 17 others
constexpr unsigned kMostThreads = 1024;
constexpr uint64_t kMostKvTokens = 1u << 30;  // slots are 32-bit

uint64_t whole_blocks(uint64_t n_tokens) {
  return (n_tokens + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
}

// What to call the tensors that are multiplied, by the end of their names.
struct TensorClass {
  const char* part;
  const char* name;
};
constexpr TensorClass kClasses[] = {{".attn_", "attention"},
                                    {".ffn_", "ffn"},
                                    {"output.weight", "output"},
                                    {"token_embd", "output"}};

std::vector<KernelChoice> kernel_choices(const GgufFile& file, const Kernels& kernels) {
  std::vector<KernelChoice> out;
  const bool tied = !file.find_tensor("output.weight");
  for (const TensorClass& c : kClasses) {
    if (c.part == std::string_view("token_embd") && !tied) continue;
    for (const GgufTensor& t : file.tensors()) {
      if (t.rank < 2 || t.name.find(c.part) == std::string::npos) continue;
      if (c.part == std::string_view("output.weight") && t.name != c.part) continue;
      const MatmulKernel* kernel = find_matmul(kernels, t.type);
      const KernelChoice choice{c.name, t.type_name, kernels.isa, kernel ? kernel->name : "none"};
      const auto same = [&](const KernelChoice& o) {
        return o.tensors == choice.tensors && o.format == choice.format;
      };
      if (std::none_of(out.begin(), out.end(), same)) out.push_back(choice);
    }
  }
  return out;
}

}  // namespace

struct Engine::Impl {
  std::shared_ptr<const Model> model;
  EngineOptions options;
  EngineInfo info;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<BlockPool> pool;
  PageBuffer scratch, kv;
  uint32_t list = 0;
  uint64_t logits_offset = 0;
  uint32_t n_outputs = 0;
  StepInputs inputs;
  std::vector<uint32_t> words;

  Result<void> set_up(const LoadedModel& loaded);
  Result<void> check(std::span<const StepInput> step) const;
  void describe(std::span<const StepInput> step);
};

Result<void> Engine::Impl::set_up(const LoadedModel& loaded) {
  const ModelInfo& m = loaded.info();
  if (options.device != "auto" && options.device != "cpu") {
    return fail(EINVAL, fmt::format("unknown device \"{}\": expected auto or cpu", options.device));
  }
  if (options.max_batch_tokens == 0 || options.max_batch_tokens > 65536 ||
      options.max_sequences == 0) {
    return fail(EINVAL, "max_batch_tokens must be 1 to 65536 and max_sequences at least 1");
  }
  if (options.n_threads > kMostThreads) {
    return fail(EINVAL,
                fmt::format("{} threads, expected at most {}", options.n_threads, kMostThreads));
  }
  const uint64_t wanted =
      options.kv_tokens ? options.kv_tokens : uint64_t{m.n_ctx_train} + options.max_batch_tokens;
  if (wanted > kMostKvTokens) {
    return fail(EINVAL, fmt::format("kv_tokens is {}, expected at most {}", wanted, kMostKvTokens));
  }
  SLUICE_TRY(const Kernels* kernels, choose_kernels(options.isa));
  executor =
      std::make_unique<Executor>(*kernels, options.n_threads ? options.n_threads : usable_cpus());

  CompileOptions compile;
  compile.max_tokens = options.max_batch_tokens;
  compile.max_outputs = options.max_batch_tokens;
  compile.n_slots = static_cast<uint32_t>(whole_blocks(wanted));
  SLUICE_TRY(const Program program, loaded.architecture().compile(compile));
  SLUICE_TRY(scratch, PageBuffer::allocate(program.scratch_bytes));
  SLUICE_TRY(kv, PageBuffer::allocate(program.kv_bytes));
  logits_offset = program.logits_offset;

  // Read-only segments: the validator lets no command write to them.
  const auto bytes = loaded.file().bytes();
  const auto& constants = loaded.architecture().constants();
  SegmentTable segments(kNumSegments);
  segments[kSegmentWeights] = {const_cast<std::byte*>(bytes.data()), bytes.size(), false};
  segments[kSegmentConstants] = {const_cast<std::byte*>(constants.data()), constants.size(), false};
  segments[kSegmentScratch] = {scratch.data(), scratch.size(), true};
  segments[kSegmentKv] = {kv.data(), kv.size(), true};
  auto handle = executor->load(program.list, segments);
  if (!handle) {
    return fail(handle.error().code, fmt::format("{}: {}", m.path, handle.error().message));
  }
  list = *handle;
  pool = std::make_unique<BlockPool>(compile.n_slots / kBlockTokens);

  info.device = "cpu";
  info.isa = kernels->isa;
  info.n_threads = executor->n_threads();
  info.kv_tokens = compile.n_slots;
  info.kv_bytes = program.kv_bytes;
  info.kernels = kernel_choices(loaded.file(), *kernels);
  return {};
}

Result<void> Engine::Impl::check(std::span<const StepInput> step) const {
  const ModelInfo& m = model->info();
  if (step.empty() || step.size() > options.max_sequences) {
    return fail(EINVAL, fmt::format("a step of {} sequences, expected 1 to {}", step.size(),
                                    options.max_sequences));
  }
  uint64_t n_tokens = 0, n_blocks = 0;
  for (size_t i = 0; i < step.size(); ++i) {
    const StepInput& in = step[i];
    if (!in.sequence || in.tokens.empty()) {
      return fail(EINVAL, fmt::format("input {} of the step: no sequence or no tokens", i));
    }
    for (size_t j = 0; j < i; ++j) {
      if (step[j].sequence == in.sequence) {
        return fail(EINVAL, fmt::format("inputs {} and {} of the step name one sequence", j, i));
      }
    }
    for (const int32_t t : in.tokens) {
      if (t < 0 || static_cast<uint32_t>(t) >= m.n_vocab) {
        return fail(EINVAL, fmt::format("token {} is not in the vocabulary of {}", t, m.n_vocab));
      }
    }
    const BlockTable& table = in.sequence->impl_->table;
    const uint64_t after = uint64_t{table.n_tokens()} + in.tokens.size();
    if (after > (table.window() ? UINT32_MAX : m.n_ctx_train)) {
      return fail(ENOSPC,
                  fmt::format("{} tokens do not fit the context of {}", after, m.n_ctx_train));
    }
    n_tokens += in.tokens.size();
    n_blocks += table.blocks_for(static_cast<uint32_t>(in.tokens.size()));
  }
  if (n_tokens > options.max_batch_tokens) {
    return fail(EINVAL, fmt::format("a step of {} tokens, expected at most {}", n_tokens,
                                    options.max_batch_tokens));
  }
  if (n_blocks > pool->n_free()) {
    return fail(ENOBUFS,
                fmt::format("the step needs {} KV blocks, {} are free", n_blocks, pool->n_free()));
  }
  return {};
}

void Engine::Impl::describe(std::span<const StepInput> step) {
  inputs.clear();
  for (const StepInput& in : step) {
    BlockTable& table = in.sequence->impl_->table;
    const auto n = static_cast<uint32_t>(in.tokens.size());
    table.grow(n);
    for (uint32_t i = 0; i < n; ++i) {
      const TokenPlace place = table.place(i);
      if (in.logits == Logits::kAll || (in.logits == Logits::kLast && i + 1 == n)) {
        inputs.output.push_back(static_cast<uint32_t>(inputs.token.size()));
      }
      inputs.token.push_back(static_cast<uint32_t>(in.tokens[i]));
      inputs.position.push_back(place.position);
      inputs.context.push_back(place.context);
      inputs.skip.push_back(place.skip);
      inputs.sequence.push_back(static_cast<uint32_t>(inputs.block_table.size()));
      inputs.slot.push_back(place.slot);
    }
    inputs.block_table.push_back(table.blocks());
  }
}

// --- public face -------------------------------------------------------------------------------

Sequence::Sequence(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sequence::Sequence(Sequence&&) noexcept = default;
Sequence& Sequence::operator=(Sequence&&) noexcept = default;
Sequence::~Sequence() = default;
uint32_t Sequence::n_tokens() const { return impl_->table.n_tokens(); }
uint32_t Sequence::window() const { return impl_->table.window(); }
void Sequence::clear() { impl_->table.clear(); }

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model,
                                               const EngineOptions& options) {
  const auto* loaded = dynamic_cast<const LoadedModel*>(model.get());
  if (!loaded) return fail(EINVAL, "no model");
  auto impl = std::make_unique<Impl>();
  impl->model = std::move(model);
  impl->options = options;
  SLUICE_CHECK(impl->set_up(*loaded));
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const EngineInfo& Engine::info() const { return impl_->info; }
const EngineOptions& Engine::options() const { return impl_->options; }
const Model& Engine::model() const { return *impl_->model; }

Result<Sequence> Engine::new_sequence(uint32_t window) {
  const uint32_t most = impl_->model->info().n_ctx_train;
  if (window != 0 && (window % kBlockTokens != 0 || window < kSmallestWindow || window > most)) {
    return fail(EINVAL,
                fmt::format("a window of {} tokens, expected a multiple of {} from {} to {}",
                            window, kBlockTokens, kSmallestWindow, most));
  }
  return Sequence(std::make_unique<Sequence::Impl>(impl_->pool.get(), window));
}

Result<void> Engine::step(std::span<const StepInput> inputs) {
  SLUICE_CHECK(impl_->check(inputs));
  impl_->describe(inputs);
  impl_->inputs.write(impl_->words);
  const auto done = impl_->executor->run(impl_->list, impl_->words);
  for (const StepInput& in : inputs) {
    in.sequence->impl_->table.commit(done ? static_cast<uint32_t>(in.tokens.size()) : 0);
  }
  SLUICE_CHECK(done);
  impl_->n_outputs = static_cast<uint32_t>(impl_->inputs.output.size());
  return {};
}

uint32_t Engine::n_outputs() const { return impl_->n_outputs; }

std::span<const float> Engine::logits(uint32_t row) const {
  const uint32_t n_vocab = impl_->model->info().n_vocab;
  if (row >= impl_->n_outputs) return {};
  const std::byte* at =
      impl_->scratch.data() + impl_->logits_offset + size_t{row} * n_vocab * sizeof(float);
  return {reinterpret_cast<const float*>(at), n_vocab};
}

uint64_t Engine::free_kv_tokens() const { return uint64_t{impl_->pool->n_free()} * kBlockTokens; }

}  // namespace sluice
