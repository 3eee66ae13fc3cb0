// SPDX-License-Identifier: Apache-2.0
// sluice-peer: Sluice's side of the comparison with stock llama.cpp, the counterpart of llama-peer
// with the same commands and the same output. Not part of the product.
#include <cstdio>
#include <memory>
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
  explicit Sluice(sluice::EngineOptions options) : options_(std::move(options)) {}
  void load(const char* path) { model_ = must(sluice::Model::load(path)); }

  void context(uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads, uint32_t n_sequences) {
    sluice::EngineOptions options = options_;
    options.n_threads = n_threads;
    options.max_batch_tokens = n_batch;
    options.max_sequences = n_sequences;
    options.kv_tokens = uint64_t{n_ctx} * n_sequences;
    engine_ = must(sluice::Engine::create(model_, options));
    for (uint32_t s = 0; s < n_sequences; ++s) {
      sequences_.push_back(must(engine_->new_sequence()));
    }
  }

  void clear() {
    for (sluice::Sequence& sequence : sequences_) sequence.clear();
  }
  void step(const std::vector<peer::Input>& inputs) {
    std::vector<sluice::StepInput> step;
    for (const peer::Input& input : inputs) {
      step.push_back({&sequences_[input.sequence], input.tokens,
                      input.all ? sluice::Logits::kAll : sluice::Logits::kLast});
    }
    must(engine_->step(step));
  }
  const float* logits(uint32_t i) { return engine_->logits(i).data(); }
  int32_t n_vocab() const { return static_cast<int32_t>(model_->info().n_vocab); }
  int32_t bos() const { return model_->tokenizer()->bos(); }
  std::vector<int32_t> tokenize(const std::string& text) {
    return model_->tokenizer()->encode(text, false);
  }

 private:
  sluice::EngineOptions options_;
  std::shared_ptr<const sluice::Model> model_;
  std::unique_ptr<sluice::Engine> engine_;
  std::vector<sluice::Sequence> sequences_;
};

}  // namespace

int main(int argc, char** argv) {
  sluice::EngineOptions options;
  options.device = "cpu";
  int skip = 1;
  if (skip + 1 < argc && std::string(argv[skip]) == "--device") {
    options.device = argv[skip + 1];
    skip += 2;
  }
  if (skip < argc && std::string(argv[skip]) == "--fast") {
    options.arithmetic = sluice::Arithmetic::kFast;
    ++skip;
  }
  if (skip < argc && std::string(argv[skip]) == "--huge-pages") {
    options.huge_pages = true;
    ++skip;
  }
  Sluice side(options);
  if (peer::run(side, argc - skip, argv + skip)) return 0;
  peer::usage("sluice-peer [--device DEVICE] [--fast] [--huge-pages]");
  return 2;
}
