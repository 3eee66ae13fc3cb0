// SPDX-License-Identifier: Apache-2.0
// The engine: a model's layers on one machine or two, the KV blocks that both count alike, and
// steps over sequences.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "core/cpu.h"
#include "kv/block_pool.h"
#include "kv/block_table.h"
#include "model/loaded_model.h"
#include "model/machines.h"
#include "model/sequence.h"
#include "model/stage.h"
#include "ops/step.h"

namespace sluice {
namespace {

constexpr uint32_t kSmallestWindow = 48;  // the first block, and at least 17 others
constexpr unsigned kMostThreads = 1024;
constexpr uint64_t kMostKvTokens = 1u << 30;  // slots are 32-bit

struct KvType {
  const char* name;  // for users
  uint32_t format;
};
constexpr KvType kKvTypes[] = {
    {"f16", SLUICE_SDI_TYPE_F16}, {"bf16", SLUICE_SDI_TYPE_BF16}, {"q8_0", SLUICE_SDI_TYPE_Q8_0}};

Result<const Format*> kv_format(const std::string& name, const ModelInfo& model) {
  for (const KvType& type : kKvTypes) {
    if (name != type.name) continue;
    const Format* format = find_format(type.format);
    if (model.head_dim % format->block_size == 0) return format;
    return fail(EINVAL,
                fmt::format("{}: heads of {} numbers, a KV cache of {} takes multiples of {}",
                            model.path, model.head_dim, name, format->block_size));
  }
  return fail(EINVAL, fmt::format("unknown type of KV cache '{}', expected {}", name,
                                  fmt::join(kv_types(), ", ")));
}

uint64_t whole_blocks(uint64_t n_tokens) {
  return (n_tokens + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
}

}  // namespace

struct Engine::Impl {
  std::shared_ptr<const Model> model;
  EngineOptions options;
  EngineInfo info;
  std::vector<std::unique_ptr<Stage>> stages;  // in the order of their layers
  std::unique_ptr<BlockPool> pool;
  // Grows with each recovery of a machine: what sequences of an older one hold is lost.
  uint64_t epoch = 0;
  uint32_t n_outputs = 0;
  std::span<const float> logits;  // of the last step
  std::vector<float> gathered;    // logits of a step in two parts
  StepInputs inputs;

  Result<void> set_up(const LoadedModel& loaded);
  // Does its block table say what is in the cache, or has a machine lost that since?
  bool current(const Sequence::Impl& s) const { return s.epoch == epoch; }
  // Blocks are counted for sequences that are current: the others are computed anew first.
  Result<void> check(std::span<const StepInput> step) const;
  void describe(std::span<const StepInput> step);
  bool is_fast(const StepInput& in) const {
    return options.arithmetic == Arithmetic::kFast && !in.generated;
  }
  Result<void> compute(std::span<const StepInput> step);
  Result<void> compute_parts(std::span<const StepInput> step);
  Result<void> run_stages(bool fast);
  Result<void> replay(Sequence& sequence);
  Result<void> recover();
};

Result<void> Engine::Impl::set_up(const LoadedModel& loaded) {
  const ModelInfo& m = loaded.info();
  if (options.max_batch_tokens == 0 || options.max_batch_tokens > 65536 ||
      options.max_sequences == 0) {
    return fail(EINVAL, "max_batch_tokens must be 1 to 65536 and max_sequences at least 1");
  }
  if (options.n_threads > kMostThreads) {
    return fail(EINVAL,
                fmt::format("{} threads, expected at most {}", options.n_threads, kMostThreads));
  }
  if (options.n_threads == 0) options.n_threads = usable_cpus();
  const uint64_t wanted =
      options.kv_tokens ? options.kv_tokens : uint64_t{m.n_ctx_train} + options.max_batch_tokens;
  if (wanted > kMostKvTokens) {
    return fail(EINVAL, fmt::format("kv_tokens is {}, expected at most {}", wanted, kMostKvTokens));
  }
  const auto n_slots = static_cast<uint32_t>(whole_blocks(wanted));
  info.kv_tokens = n_slots;
  SLUICE_TRY(const Format* format, kv_format(options.kv_type, m));
  info.kv_type = options.kv_type;
  info.kv_bytes = loaded.architecture().kv_bytes_per_token(*format) * n_slots;
  SLUICE_TRY(stages, make_stages(loaded, options, n_slots, *format, info));
  pool = std::make_unique<BlockPool>(n_slots / kBlockTokens);
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
    const Sequence::Impl& s = *in.sequence->impl_;
    const uint64_t after = uint64_t{s.tokens.size()} + in.tokens.size();
    if (after > (s.table.window() ? UINT32_MAX : m.n_ctx_train)) {
      return fail(ENOSPC,
                  fmt::format("{} tokens do not fit the context of {}", after, m.n_ctx_train));
    }
    n_tokens += in.tokens.size();
    if (current(s)) n_blocks += s.table.blocks_for(static_cast<uint32_t>(in.tokens.size()));
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

Result<void> Engine::Impl::run_stages(bool fast) {
  std::span<const float> x;
  for (const auto& stage : stages) {
    SLUICE_CHECK(stage->run(inputs, x, fast));
    x = stage->x();
  }
  logits = stages.back()->logits();
  return {};
}

uint32_t rows_of(const StepInput& in) {
  return in.logits == Logits::kAll    ? static_cast<uint32_t>(in.tokens.size())
         : in.logits == Logits::kLast ? 1
                                      : 0;
}

// Prompts in fast arithmetic and generated tokens exactly, one after the other; the logits in the
// order of the inputs.
Result<void> Engine::Impl::compute_parts(std::span<const StepInput> step) {
  const bool first = is_fast(step.front());
  if (std::all_of(step.begin(), step.end(), [&](auto& in) { return is_fast(in) == first; })) {
    describe(step);
    return run_stages(first);
  }
  const size_t n_vocab = model->info().n_vocab;
  size_t n_rows = 0;
  for (const StepInput& in : step) n_rows += rows_of(in);
  std::vector<float> all(n_rows * n_vocab);
  for (const bool fast : {true, false}) {
    std::vector<StepInput> part;
    std::copy_if(step.begin(), step.end(), std::back_inserter(part),
                 [&](const StepInput& in) { return is_fast(in) == fast; });
    describe(part);
    SLUICE_CHECK(run_stages(fast));
    const float* from = logits.data();
    float* to = all.data();
    for (const StepInput& in : step) {
      const size_t n = rows_of(in) * n_vocab;
      if (is_fast(in) == fast) {
        std::copy_n(from, n, to);
        from += n;
      }
      to += n;
    }
  }
  gathered = std::move(all);
  logits = gathered;
  return {};
}

// One step of sequences that are up to date. On an error they are as before.
Result<void> Engine::Impl::compute(std::span<const StepInput> step) {
  const auto done = compute_parts(step);
  for (const StepInput& in : step) {
    in.sequence->impl_->table.commit(done ? static_cast<uint32_t>(in.tokens.size()) : 0);
  }
  return done;
}

// Computes anew what the sequence held before its machine lost it.
Result<void> Engine::Impl::replay(Sequence& sequence) {
  Sequence::Impl& s = *sequence.impl_;
  s.table.clear();
  std::span<const int32_t> rest = s.tokens;
  while (!rest.empty()) {
    const auto begin = s.generated.end() - static_cast<ptrdiff_t>(rest.size());
    const bool generated = *begin;
    const auto same = std::find(begin, s.generated.end(), !generated) - begin;
    const auto part =
        rest.first(std::min<size_t>(static_cast<size_t>(same), options.max_batch_tokens));
    rest = rest.subspan(part.size());
    if (s.table.blocks_for(static_cast<uint32_t>(part.size())) > pool->n_free()) {
      return fail(ENOBUFS, "no KV blocks left to compute a sequence anew");
    }
    const StepInput in{&sequence, part, Logits::kNone, generated};
    SLUICE_CHECK(compute({&in, 1}));
  }
  s.epoch = epoch;
  return {};
}

Result<void> Engine::Impl::recover() {
  for (const auto& stage : stages) SLUICE_CHECK(stage->recover());
  ++epoch;
  ++info.n_recoveries;
  return {};
}

// Is this a failure of the machine that a reset may mend?
bool may_recover(const Error& error) {
  return error.code == EIO || error.code == ECONNRESET || error.code == ETIMEDOUT;
}

std::vector<std::string> kv_types() {
  std::vector<std::string> names;
  for (const KvType& type : kKvTypes) names.emplace_back(type.name);
  return names;
}

// --- public face -------------------------------------------------------------------------------

Sequence::Sequence(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sequence::Sequence(Sequence&&) noexcept = default;
Sequence& Sequence::operator=(Sequence&&) noexcept = default;
Sequence::~Sequence() = default;
uint32_t Sequence::n_tokens() const { return static_cast<uint32_t>(impl_->tokens.size()); }
uint32_t Sequence::window() const { return impl_->table.window(); }
void Sequence::clear() {
  impl_->table.clear();
  impl_->tokens.clear();
  impl_->generated.clear();
}

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
  return Sequence(std::make_unique<Sequence::Impl>(impl_->pool.get(), window, impl_->epoch));
}

Result<void> Engine::step(std::span<const StepInput> inputs) {
  Impl& e = *impl_;
  SLUICE_CHECK(e.check(inputs));
  const auto attempt = [&]() -> Result<void> {
    bool replayed = false;
    for (const StepInput& in : inputs) {
      if (e.current(*in.sequence->impl_)) continue;
      SLUICE_CHECK(e.replay(*in.sequence));
      replayed = true;
    }
    if (replayed) SLUICE_CHECK(e.check(inputs));
    return e.compute(inputs);
  };
  e.n_outputs = 0;
  Result<void> done = attempt();
  for (uint32_t i = 0; !done && may_recover(done.error()) && i < e.options.max_recoveries; ++i) {
    const auto recovered = e.recover();
    if (!recovered && !may_recover(recovered.error())) return recovered;
    done = recovered ? attempt() : recovered;
  }
  SLUICE_CHECK(done);
  for (const StepInput& in : inputs) {
    std::vector<int32_t>& tokens = in.sequence->impl_->tokens;
    tokens.insert(tokens.end(), in.tokens.begin(), in.tokens.end());
    in.sequence->impl_->generated.resize(tokens.size(), in.generated);
    e.n_outputs += rows_of(in);
  }
  return {};
}

uint32_t Engine::n_outputs() const { return impl_->n_outputs; }

std::span<const float> Engine::logits(uint32_t row) const {
  const uint32_t n_vocab = impl_->model->info().n_vocab;
  if (row >= impl_->n_outputs) return {};
  return impl_->logits.subspan(size_t{row} * n_vocab, n_vocab);
}

uint64_t Engine::free_kv_tokens() const { return uint64_t{impl_->pool->n_free()} * kBlockTokens; }

}  // namespace sluice
