// SPDX-License-Identifier: Apache-2.0
// sluice-peer: Sluice's side of the comparison with stock llama.cpp, the counterpart of llama-peer
// with the same commands and the same output. Not part of the product.
#include <cstdio>
#include <memory>
#include <optional>
#include <sluice/sluice.hpp>
#include <string>
#include <vector>

#include "tests/bench/side.h"

namespace {

template <typename T>
T must(sluice::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "sluice-peer: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Sluice {
 public:
  explicit Sluice(std::string device) : device_(std::move(device)) {}
  void load(const char* path) { model_ = must(sluice::Model::load(path)); }

  void context(uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads) {
    sluice::EngineOptions options;
    options.device = device_;
    options.n_threads = n_threads;
    options.max_batch_tokens = n_batch;
    options.max_sequences = 1;
    options.kv_tokens = n_ctx;
    engine_ = must(sluice::Engine::create(model_, options));
    sequence_.emplace(must(engine_->new_sequence()));
  }

  void clear() { sequence_->clear(); }
  void decode(std::vector<int32_t>& tokens) {
    const sluice::StepInput input{&*sequence_, tokens, sluice::Logits::kLast};
    must(engine_->step({&input, 1}));
  }
  const float* logits() { return engine_->logits(0).data(); }
  int32_t n_vocab() const { return static_cast<int32_t>(model_->info().n_vocab); }
  std::vector<int32_t> tokenize(const std::string& text) {
    return model_->tokenizer()->encode(text, false);
  }

 private:
  std::string device_;
  std::shared_ptr<const sluice::Model> model_;
  std::unique_ptr<sluice::Engine> engine_;
  std::optional<sluice::Sequence> sequence_;
};

}  // namespace

int main(int argc, char** argv) {
  // The machine: the CPU unless said.
  const bool chosen = argc > 2 && std::string(argv[1]) == "--device";
  Sluice side(chosen ? argv[2] : "cpu");
  const int skip = chosen ? 3 : 1;
  if (peer::run(side, argc - skip, argv + skip)) return 0;
  std::fprintf(stderr,
               "usage: sluice-peer [--device DEVICE] COMMAND...\n"
               "       sluice-peer bench MODEL N_PROMPT N_DECODE THREADS\n"
               "       sluice-peer greedy MODEL N_PREDICT ID...\n"
               "       sluice-peer follow MODEL N_PREDICT ID... (the last N_PREDICT: forced)\n"
               "       sluice-peer perplexity MODEL CHUNK N_CHUNKS\n"
               "       sluice-peer tokenize MODEL\n");
  return 2;
}
