// SPDX-License-Identifier: Apache-2.0
// A model in parts: consecutive layers, each part on a machine of its own. A stage has its weights
// where its machine reaches them, its lists loaded, and the KV cache of its layers.
#ifndef SLUICE_MODEL_STAGE_H
#define SLUICE_MODEL_STAGE_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sluice/device.hpp>
#include <sluice/engine.hpp>

#include "model/loaded_model.h"
#include "ops/executor.h"
#include "ops/step.h"

namespace sluice {

// What every stage of an engine is made for.
struct StageOptions {
  uint32_t first_layer = 0;
  uint32_t end_layer = 0;
  uint32_t max_tokens = 0;  // of a step
  uint32_t max_sequences = 0;
  uint32_t n_slots = 0;  // whole blocks
  const Format* kv_format = nullptr;
  bool fast = false;        // steps may ask for fast arithmetic
  bool huge_pages = false;  // of the CPU: a copy of the weights
  MatmulObserver observer;
  LoadProgress progress;
};

class Stage {
 public:
  virtual ~Stage() = default;

  // Carries a step out, in fast arithmetic or exactly. `x` is what the stage before has left, f32
  // [dim, n_tokens]; empty for the first one. What the machine cannot do is its error; EIO,
  // ECONNRESET and ETIMEDOUT are of the kind that recover() may mend.
  virtual Result<void> run(const StepInputs& step, std::span<const float> x, bool fast) = 0;
  // What the last step left: f32 [dim, n_tokens]. For stages without the output.
  virtual std::span<const float> x() const = 0;
  // f32 [n_vocab, n_outputs] of the last step. For the stage with the output.
  virtual std::span<const float> logits() const = 0;
  // Makes the machine as it was in the beginning. Afterwards its KV cache holds nothing.
  virtual Result<void> recover() = 0;
};

Result<std::unique_ptr<Stage>> make_cpu_stage(const LoadedModel& model, const StageOptions& options,
                                              const Kernels& kernels, unsigned n_threads);

struct BoardStageOptions : StageOptions {
  std::chrono::nanoseconds timeout{};  // of a step
};

Result<std::unique_ptr<Stage>> make_board_stage(const LoadedModel& model,
                                                std::shared_ptr<Device> device,
                                                const BoardStageOptions& options);

// What a board would have to hold for these layers, before anything is loaded.
Result<std::vector<MemoryNeed>> board_memory(const LoadedModel& model, const BoardInfo& board,
                                             const StageOptions& options);

}  // namespace sluice

#endif  // SLUICE_MODEL_STAGE_H
