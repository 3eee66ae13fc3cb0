// SPDX-License-Identifier: Apache-2.0
// llama-peer: drives a stock llama.cpp (shared libraries in a folder, loaded at run time) so that
// tests can compare tokens and logits with it and benchmarks can run beside it. Not part of the
// product. Its headers are not at hand, so structures that it passes by value are blocks of bytes
// that are large enough; the fields that are set must first hold the defaults that are documented.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/bench/batch.h"
#include "tests/bench/side.h"
#include "tests/bench/stock.h"

namespace {

struct Params {
  unsigned char bytes[1024];
  uint32_t& u32(size_t offset) { return *reinterpret_cast<uint32_t*>(bytes + offset); }
};
struct LlamaBatch {
  int32_t n_tokens;
  int32_t* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};

using peer::die;

class Llama {
 public:
  explicit Llama(const std::string& folder)
      : libraries_(folder, {"libggml-base", "libggml", "libllama"}) {
    call<void(const char*)>("ggml_backend_load_all_from_path")(folder.c_str());
    call<void(void (*)(int, const char*, void*), void*)>("llama_log_set")(
        [](int, const char*, void*) {}, nullptr);
    call<void()>("llama_backend_init")();
  }

  void load(const char* path) {
    const Params params = call<Params()>("llama_model_default_params")();
    model_ = call<void*(const char*, Params)>("llama_model_load_from_file")(path, params);
    if (!model_) die(std::string(path) + ": cannot be loaded");
    const void* vocab = call<const void*(const void*)>("llama_model_get_vocab")(model_);
    n_vocab_ = call<int32_t(const void*)>("llama_vocab_n_tokens")(vocab);
    bos_ = call<int32_t(const void*)>("llama_vocab_bos")(vocab);
  }

  void context(uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads, uint32_t n_sequences) {
    Params params = call<Params()>("llama_context_default_params")();
    // n_ctx, n_batch, n_ubatch, n_seq_max, then (after possible additions) n_threads twice.
    if (params.u32(0) != 512 || params.u32(4) != 2048 || params.u32(8) != 512 ||
        params.u32(12) != 1) {
      die("the context parameters are laid out differently in this version");
    }
    size_t threads = 16;
    while (threads < 64 && !(params.u32(threads) == 4 && params.u32(threads + 4) == 4))
      threads += 4;
    if (threads == 64) die("no thread counts where they are expected");
    params.u32(0) = n_ctx * n_sequences;  // it gives each its part
    params.u32(4) = params.u32(8) = n_batch;
    params.u32(12) = n_sequences;
    params.u32(threads) = params.u32(threads + 4) = n_threads;
    context_ = call<void*(void*, Params)>("llama_init_from_model")(model_, params);
    if (!context_) die("cannot make a context");
    // As its own programs do: threads that stay, instead of new ones for every token.
    void* device = call<void*(int)>("ggml_backend_dev_by_type")(0);  // the CPU
    void* registry = call<void*(void*)>("ggml_backend_dev_backend_reg")(device);
    void* make = call<void*(void*, const char*)>("ggml_backend_reg_get_proc_address")(
        registry, "ggml_threadpool_new");
    if (!make) die("no thread pools in this version");
    Params pool = call<Params(int)>("ggml_threadpool_params_default")(static_cast<int>(n_threads));
    if (pool.u32(512) != n_threads) die("the pool's parameters are laid out differently");
    pool_ = reinterpret_cast<void* (*)(Params*)>(make)(&pool);
    if (!pool_) die("cannot make a thread pool");
    call<void(void*, void*, void*)>("llama_attach_threadpool")(context_, pool_, nullptr);
  }

  void clear() {
    void* memory = call<void*(void*)>("llama_get_memory")(context_);
    call<void(void*, bool)>("llama_memory_clear")(memory, true);
    batch_.clear();
  }

  void step(const std::vector<peer::Input>& inputs) {
    batch_.fill(inputs);
    const LlamaBatch batch = {batch_.size(),       batch_.token.data(), nullptr,
                              batch_.pos.data(),   batch_.n_ids.data(), batch_.ids.data(),
                              batch_.output.data()};
    if (decode_(context_, batch) != 0) die("llama_decode failed");
  }
  // Waits for the results; n_vocab floats.
  const float* logits(uint32_t i) { return logits_(context_, batch_.row(i)); }
  int32_t n_vocab() const { return n_vocab_; }
  int32_t bos() const { return bos_; }

  // No BOS, no special tokens.
  std::vector<int32_t> tokenize(const std::string& text) {
    const void* vocab = call<const void*(const void*)>("llama_model_get_vocab")(model_);
    auto* const tokenize =
        call<int32_t(const void*, const char*, int32_t, int32_t*, int32_t, bool, bool)>(
            "llama_tokenize");
    std::vector<int32_t> ids(text.size() + 16);
    const int32_t n = tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), ids.data(),
                               static_cast<int32_t>(ids.size()), false, false);
    if (n < 0) die("llama_tokenize wants more room than a token for each byte");
    ids.resize(static_cast<size_t>(n));
    return ids;
  }

  // output_type: format of the embedding and of the output; -1: as it chooses.
  void quantize(const char* in, const char* out, int ftype, uint32_t n_threads, int output_type) {
    // { int32_t nthread; enum ftype; enum output_tensor_type; enum token_embedding_type; ... }
    Params params = call<Params()>("llama_model_quantize_default_params")();
    if (params.u32(0) != 0 || params.u32(8) < 30 || params.u32(12) != params.u32(8)) {
      die("the quantizer's parameters are laid out differently in this version");
    }
    params.u32(0) = n_threads;
    if (output_type >= 0) params.u32(8) = params.u32(12) = static_cast<uint32_t>(output_type);
    params.u32(4) = static_cast<uint32_t>(ftype);
    if (call<uint32_t(const char*, const char*, const Params*)>("llama_model_quantize")(
            in, out, &params) != 0) {
      die(std::string(in) + ": cannot be quantized");
    }
  }

 private:
  template <typename Signature>
  Signature* call(const char* name) const {
    return libraries_.call<Signature>(name);
  }

  peer::Libraries libraries_;
  int32_t (*decode_)(void*, LlamaBatch) = call<int32_t(void*, LlamaBatch)>("llama_decode");
  float* (*logits_)(void*, int32_t) = call<float*(void*, int32_t)>("llama_get_logits_ith");
  peer::Batch batch_;
  void* model_ = nullptr;
  void* context_ = nullptr;
  void* pool_ = nullptr;
  int32_t n_vocab_ = 0;
  int32_t bos_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 3) {
    Llama llama(argv[1]);
    bool known = true;
    if (argc >= 6 && argc <= 8 && std::string(argv[2]) == "quantize") {
      llama.quantize(argv[3], argv[4], std::atoi(argv[5]), argc > 6 ? peer::number(argv[6]) : 0,
                     argc > 7 ? std::atoi(argv[7]) : -1);
    } else {
      known = peer::run(llama, argc - 2, argv + 2);
    }
    std::fflush(stdout);
    if (known) std::_Exit(0);  // the library's own destructors are not our subject
  }
  peer::usage("llama-peer LIBDIR");
  std::fprintf(stderr, "       llama-peer LIBDIR quantize IN OUT FTYPE [THREADS [OUTPUT_TYPE]]\n");
  std::_Exit(2);
}
