// SPDX-License-Identifier: Apache-2.0
// ik-peer: drives ik_llama.cpp, whose headers and libraries somebody has built, with the commands
// of llama-peer and sluice-peer. Not part of the product. What its own bench program sets is set:
// flash attention, keys and values in F16, fused steps, graphs that are used again. --repack has it
// rearrange the weights when it loads them, into memory of its own.
#include <llama.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/bench/batch.h"
#include "tests/bench/side.h"

namespace {

[[noreturn]] void die(const std::string& message) {
  std::fprintf(stderr, "ik-peer: %s\n", message.c_str());
  std::exit(1);
}

class Ik {
 public:
  explicit Ik(bool repack) : repack_(repack) {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    llama_backend_init();
  }

  void load(const char* path) {
    llama_model_params params = llama_model_default_params();
    params.repack_tensors = repack_;
    params.use_mmap = !repack_;
    model_ = llama_model_load_from_file(path, params);
    if (!model_) die(std::string(path) + ": cannot be loaded");
  }

  void context(uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads, uint32_t n_sequences) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = n_ctx * n_sequences;
    params.n_batch = params.n_ubatch = n_batch;
    params.n_seq_max = n_sequences;
    params.n_threads = params.n_threads_batch = n_threads;
    params.type_k = params.type_v = GGML_TYPE_F16;
    params.flash_attn = true;
    params.graph_reuse = true;
    context_ = llama_init_from_model(model_, params);
    if (!context_) die("cannot make a context");
  }

  void clear() {
    llama_kv_cache_clear(context_);
    batch_.clear();
  }

  void step(const std::vector<peer::Input>& inputs) {
    batch_.fill(inputs);
    llama_batch batch = {};
    batch.n_tokens = batch_.size();
    batch.token = batch_.token.data();
    batch.pos = batch_.pos.data();
    batch.n_seq_id = batch_.n_ids.data();
    batch.seq_id = batch_.ids.data();
    batch.logits = batch_.output.data();
    if (llama_decode(context_, batch) != 0) die("llama_decode failed");
  }
  const float* logits(uint32_t i) { return llama_get_logits_ith(context_, batch_.row(i)); }
  int32_t n_vocab() const { return llama_n_vocab(model_); }
  int32_t bos() const { return llama_token_bos(model_); }

  std::vector<int32_t> tokenize(const std::string& text) {
    std::vector<int32_t> ids(text.size() + 16);
    const int32_t n = llama_tokenize(model_, text.data(), static_cast<int32_t>(text.size()),
                                     ids.data(), static_cast<int32_t>(ids.size()), false, false);
    if (n < 0) die("llama_tokenize wants more room than a token for each byte");
    ids.resize(static_cast<size_t>(n));
    return ids;
  }

 private:
  bool repack_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  peer::Batch batch_;
};

}  // namespace

int main(int argc, char** argv) {
  const bool repack = argc > 1 && std::string(argv[1]) == "--repack";
  const int skip = repack ? 2 : 1;
  Ik side(repack);
  if (peer::run(side, argc - skip, argv + skip)) std::_Exit(0);
  peer::usage("ik-peer [--repack]");
  std::_Exit(2);
}
