// SPDX-License-Identifier: Apache-2.0
// The stage that this process computes itself: weights stay where the file is mapped, or are copied
// to huge pages.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "core/aligned.h"
#include "model/stage.h"
#include "model/weight_plan.h"

namespace sluice {
namespace {

// Tells an observer of the f32 rows that matrices are multiplied with.
class MatmulWatch {
 public:
  MatmulWatch(std::map<const std::byte*, const GgufTensor*> matrices, MatmulObserver observer)
      : observer_(std::move(observer)), matrices_(std::move(matrices)) {}
  void operator()(const Operands& o, const RunContext& c) {
    if (o.command->op == SLUICE_SDI_OP_QUANTIZE) quantized_[o.dst->data] = o.src[0];
    if (o.command->op != SLUICE_SDI_OP_MATMUL) return;
    const Tensor* x = o.src[1];
    if (const auto it = quantized_.find(x->data); x->desc.type != SLUICE_SDI_TYPE_F32) {
      x = it->second;
    }
    // The weights may be some rows of a matrix.
    const GgufTensor& matrix = *std::prev(matrices_.upper_bound(o.src[0]->data))->second;
    for (uint32_t row = 0; row < c.n_rows(*x); ++row) {
      const std::byte* at = x->data + row * x->row_stride();
      observer_(matrix.name, {reinterpret_cast<const float*>(at), x->desc.shape[0]});
    }
  }

 private:
  MatmulObserver observer_;
  std::map<const std::byte*, const GgufTensor*> matrices_;
  std::map<const std::byte*, const Tensor*> quantized_;  // what was made of which f32 tensor
};

class CpuStage final : public Stage {
 public:
  CpuStage(const Kernels& kernels, unsigned n_threads) : executor_(kernels, n_threads) {}
  Result<void> set_up(const LoadedModel& model, const StageOptions& options);

  Result<void> run(const StepInputs& step, std::span<const float> x, bool fast) override;
  std::span<const float> x() const override { return {floats(x_offset_), n_tokens_ * dim_}; }
  std::span<const float> logits() const override {
    return {reinterpret_cast<const float*>(logits_.data()), n_outputs_ * n_vocab_};
  }
  Result<void> recover() override { return {}; }

 private:
  float* floats(uint64_t offset) const {
    return reinterpret_cast<float*>(scratch_.data() + offset);
  }
  // Copies what is planned to huge pages. ECANCELED.
  Result<void> copy_weights(const GgufFile& file, const WeightPlan& plan,
                            const LoadProgress& progress);

  Executor executor_;
  PageBuffer weights_, scratch_, kv_, logits_;
  uint32_t lists_[2] = {};  // exact, fast
  uint64_t x_offset_ = 0;
  size_t dim_ = 0, n_vocab_ = 0;
  size_t n_tokens_ = 0, n_outputs_ = 0;  // of the last step
  std::vector<uint32_t> words_;
};

Result<void> CpuStage::copy_weights(const GgufFile& file, const WeightPlan& plan,
                                    const LoadProgress& progress) {
  constexpr uint64_t kPiece = uint64_t{8} << 20;  // between two words of progress
  SLUICE_TRY(weights_, PageBuffer::allocate(plan.size()));
  for (const GgufTensor* t : plan.order()) {
    for (uint64_t at = 0; at < t->n_bytes; at += kPiece) {
      const uint64_t n = std::min(kPiece, t->n_bytes - at);
      SLUICE_CHECK(file.read(*t, at, {weights_.data() + plan.offset(*t) + at, n}));
      if (progress && !progress(plan.offset(*t) + at + n, plan.size())) {
        return fail(ECANCELED, "loading was cancelled");
      }
    }
  }
  return {};
}

Result<void> CpuStage::set_up(const LoadedModel& model, const StageOptions& options) {
  const GgufFile& file = model.file();
  CompileOptions compile;
  compile.max_tokens = options.max_tokens;
  compile.max_outputs = options.max_tokens;
  compile.n_slots = options.n_slots;
  compile.kv_format = options.kv_format;
  compile.first_layer = options.first_layer;
  compile.end_layer = options.end_layer;
  WeightPlan copy;
  compile.place = [&](const GgufTensor& t) {
    return options.huge_pages ? copy.place(t) : file.data_offset() + t.offset;
  };
  SLUICE_TRY(const Program program, model.architecture().compile(compile));
  SLUICE_TRY(scratch_, PageBuffer::allocate(program.scratch_bytes));
  SLUICE_TRY(kv_, PageBuffer::allocate(program.kv_bytes));
  if (program.logits_bytes > 0) {
    SLUICE_TRY(logits_, PageBuffer::allocate(program.logits_bytes));
  }
  x_offset_ = program.x_offset;
  dim_ = model.info().dim;
  n_vocab_ = model.info().n_vocab;

  std::span<const std::byte> weights = file.bytes();
  if (options.huge_pages) {
    SLUICE_CHECK(copy_weights(file, copy, options.progress));
    weights = {weights_.data(), weights_.size()};
  }

  // Read-only segments: the validator lets no command write to them.
  const auto& constants = model.architecture().constants();
  SegmentTable segments(kNumSegments);
  segments[kSegmentWeights] = {const_cast<std::byte*>(weights.data()), weights.size(), false};
  segments[kSegmentConstants] = {const_cast<std::byte*>(constants.data()), constants.size(), false};
  segments[kSegmentScratch] = {scratch_.data(), scratch_.size(), true};
  segments[kSegmentKv] = {kv_.data(), kv_.size(), true};
  segments[kSegmentLogits] = {logits_.data(), logits_.size(), true};
  for (const bool fast : {false, true}) {
    if (fast && !options.fast) break;
    compile.fast = fast;
    SLUICE_TRY(const Program chosen, model.architecture().compile(compile));
    auto handle = executor_.load(chosen.list, segments);
    if (!handle) {
      return fail(handle.error().code,
                  fmt::format("{}: {}", model.info().path, handle.error().message));
    }
    lists_[fast] = *handle;
  }
  if (options.observer) {
    std::map<const std::byte*, const GgufTensor*> matrices;
    for (const GgufTensor& t : file.tensors()) {
      const uint64_t at = compile.place(t);
      if (at < weights.size()) matrices[weights.data() + at] = &t;  // or no list names it
    }
    executor_.observe(MatmulWatch(std::move(matrices), options.observer));
  }
  return {};
}

Result<void> CpuStage::run(const StepInputs& step, std::span<const float> x, bool fast) {
  std::copy(x.begin(), x.end(), floats(x_offset_));
  step.write(words_);
  SLUICE_CHECK(executor_.run(lists_[fast], words_));
  n_tokens_ = step.token.size();
  n_outputs_ = step.output.size();
  return {};
}

}  // namespace

Result<std::unique_ptr<Stage>> make_cpu_stage(const LoadedModel& model, const StageOptions& options,
                                              const Kernels& kernels, unsigned n_threads) {
  auto stage = std::make_unique<CpuStage>(kernels, n_threads);
  SLUICE_CHECK(stage->set_up(model, options));
  return Result<std::unique_ptr<Stage>>(std::move(stage));
}

}  // namespace sluice
