// SPDX-License-Identifier: Apache-2.0
// Models and the engine that runs them: sequences, steps, logits, and text generation on top.
#ifndef SLUICE_ENGINE_HPP
#define SLUICE_ENGINE_HPP

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/device.hpp>
#include <sluice/emulator.hpp>
#include <sluice/gguf.hpp>
#include <sluice/result.hpp>
#include <sluice/sampling.hpp>
#include <sluice/text.hpp>

namespace sluice {

struct ModelInfo {
  std::string path;          // "embedded" for the default model
  std::string name;          // general.name, or the file's name
  std::string architecture;  // "llama"
  std::string format;        // format of most of the weights: "Q8_0"
  uint64_t n_params = 0;
  uint64_t n_bytes = 0;      // of all tensors
  uint32_t n_ctx_train = 0;  // tokens
  uint32_t n_vocab = 0;
  uint32_t n_layers = 0;
  uint32_t dim = 0;
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t ffn_dim = 0;
};

// A model's weights and tokenizer; immutable, shared by engines.
class Model {
 public:
  // ENOTSUP: unknown architecture or tokenizer; EBADMSG: malformed file, or a tensor that is
  // missing or of the wrong shape.
  static Result<std::shared_ptr<const Model>> load(const std::string& path);
  // The default model inside the library.
  static Result<std::shared_ptr<const Model>> embedded();
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  virtual const GgufFile& file() const = 0;
  virtual const std::shared_ptr<const Tokenizer>& tokenizer() const = 0;
};

// Called while weights are loaded into a board, or copied for huge_pages, with bytes done and in
// total; false cancels (ECANCELED).
using LoadProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Sees a row of activations that a matrix of the model is multiplied with, before any rounding to
// what its kernel takes. Called from step().
using MatmulObserver = std::function<void(const std::string& tensor, std::span<const float> x)>;

// How the tokens of prompts are computed. kExact: every machine, thread count and batch gives the
// same bits. kFast: matrices are quantized again to 8 bits with one factor for 256 values, which is
// all the same to machines with units for 8-bit matrices, whatever the format; those of floats, and
// what they are multiplied with, are rounded to bf16. Still the same bits everywhere, but other
// ones. Tokens that were generated are computed exactly in either case.
enum class Arithmetic : uint8_t { kExact, kFast };

struct EngineOptions {
  // "cpu"; "emu": a board within this process; "/dev/sluiceN"; "auto": the first board with the
  // Device Interface that has a queue free, else the CPU.
  std::string device = "auto";
  // Layers for the board, the last ones of the model, and the output with them; the others run on
  // the CPU. Fewer if there is no room for more. -1: all.
  int32_t device_layers = -1;
  std::chrono::milliseconds device_timeout{30000};  // for one step of a board
  // How often a step may reset a board that has failed, load it again and compute anew what its
  // sequences held, before the step is given up.
  uint32_t max_recoveries = 2;
  EmulatorOptions emulator;       // of device "emu"; its threads and ISA are those below
  std::shared_ptr<Device> board;  // an open board, used instead of opening `device`
  LoadProgress progress;          // called from create() only
  MatmulObserver observer;        // of the CPU, one thread's work at a time; not with a board

  unsigned n_threads = 0;  // 0: as many as the process may use (affinity, cgroup quota)
  // "scalar", "avx2", "avxvnni", "avx512", "amx"; on arm64 "scalar", "neon", "dotprod"; empty:
  // $SLUICE_ISA, else the best
  std::string isa;
  Arithmetic arithmetic = Arithmetic::kExact;  // kFast is ENOTSUP where a board has none
  uint32_t max_batch_tokens = 512;             // tokens in one step
  uint32_t max_sequences = 16;                 // sequences in one step
  uint64_t kv_tokens = 0;  // room for this many tokens, all sequences together; 0: n_ctx_train
                           // and a batch
  // How keys and values are kept: one of kv_types(). q8_0 takes heads of 32 numbers or a multiple.
  std::string kv_type = "f16";
  // The CPU's weights are a copy in memory of the process, in huge pages as far as the kernel has
  // any, and not the file's mapping, which processes share and which is there at once.
  bool huge_pages = false;
};

// "f16", "bf16" (2 bytes a number) and "q8_0" (34 bytes for 32).
std::vector<std::string> kv_types();

// Which kernel multiplies a class of tensors.
struct KernelChoice {
  std::string tensors;  // "ffn", "attention", "output"
  std::string format;
  std::string isa;
  std::string kernel;
};

// A line of the budget of a board's memory.
struct MemoryNeed {
  std::string what;  // "weights", "KV cache", ...
  uint64_t bytes = 0;
};

struct EngineInfo {
  std::string device;  // "cpu", or the board's name
  uint32_t n_layers = 0;
  uint32_t device_layers = 0;             // of those, on the board
  std::vector<MemoryNeed> device_memory;  // what the board holds
  uint64_t device_memory_free = 0;        // what it had free before
  uint32_t n_recoveries = 0;              // of the board, so far
  std::string isa;
  unsigned n_threads = 0;
  uint64_t kv_tokens = 0;
  std::string kv_type;
  uint64_t kv_bytes = 0;
  std::vector<KernelChoice> kernels;
};

class Engine;

// The tokens of one text and the KV blocks that hold them. Freed blocks go back to the engine's
// pool. Must not outlive its engine.
class Sequence {
 public:
  Sequence(Sequence&&) noexcept;
  Sequence& operator=(Sequence&&) noexcept;
  ~Sequence();
  // Tokens computed so far, those that a window has dropped included.
  uint32_t n_tokens() const;
  uint32_t window() const;  // tokens in sight; 0: no window
  // Forgets everything; the blocks go back to the pool.
  void clear();

 private:
  friend class Engine;
  struct Impl;
  explicit Sequence(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

enum class Logits : uint8_t { kNone, kLast, kAll };

// What one sequence gets in a step: `tokens` are appended to it.
struct StepInput {
  Sequence* sequence = nullptr;
  std::span<const int32_t> tokens;
  Logits logits = Logits::kLast;
  bool generated = false;  // sampled by whoever calls, not part of a prompt
};

// Runs steps. Not for sharing between threads: one thread owns an engine and its sequences.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const Model> model,
                                                const EngineOptions& options = {});
  ~Engine();

  const EngineInfo& info() const;
  const EngineOptions& options() const;
  const Model& model() const;

  // An empty sequence. `window` tokens stay in sight (a multiple of 16, at least 48, at most the
  // trained context): the first block is kept, the oldest others are dropped, and generation can go
  // on for ever. 0: no window; a step past the trained context is ENOSPC.
  Result<Sequence> new_sequence(uint32_t window = 0);

  // Appends the tokens of every input, computes, and keeps the logits that were asked for. Inputs
  // may mix prompts and single tokens; a sequence may occur once. On an error no sequence has
  // changed. EINVAL: a token outside the vocabulary, more than max_batch_tokens or max_sequences;
  // ENOSPC: the trained context is full; ENOBUFS: no KV blocks left.
  Result<void> step(std::span<const StepInput> inputs);
  // Logits of the last step, n_vocab values a row; rows in the order of inputs, then tokens.
  uint32_t n_outputs() const;
  std::span<const float> logits(uint32_t row) const;

  // Room left, in tokens of whole blocks.
  uint64_t free_kv_tokens() const;

  struct Impl;

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct GenerateParams {
  SamplingParams sampling;
  uint32_t n_predict = 128;  // tokens at most
  bool ignore_eos = false;
  std::vector<std::string> stop;  // stop strings; they are not part of the text
};

enum class Finish : uint8_t { kLength, kEnd, kStop, kCancelled };

struct Generation {
  std::vector<int32_t> ids;  // generated ids; the end token is not among them
  std::string text;          // whole UTF-8
  Finish finish = Finish::kLength;
  uint32_t n_prompt = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // for ids after the first
  double prefill_tps() const { return prefill_seconds > 0 ? n_prompt / prefill_seconds : 0; }
  double decode_tps() const {
    return decode_seconds > 0 && ids.size() > 1
               ? static_cast<double>(ids.size() - 1) / decode_seconds
               : 0;
  }
};

// Called with each new piece of whole UTF-8 text; false ends the generation (kCancelled).
using TextCallback = std::function<bool(std::string_view text)>;

// Appends `prompt` (ids; at least one) to the sequence in chunks of max_batch_tokens and samples
// from there. The last id generated is not part of the sequence yet: whoever goes on with the text
// puts it in front of the next prompt.
Result<Generation> generate(Engine& engine, Sequence& sequence, std::span<const int32_t> prompt,
                            const GenerateParams& params, const TextCallback& on_text = {});

struct Perplexity {
  double value = 0;
  uint64_t n_tokens = 0;  // scored
};
// Called after each chunk with chunks done and in total and the perplexity so far; false cancels
// (ECANCELED).
using PerplexityProgress = std::function<bool(uint64_t done, uint64_t total, double value)>;
// The whole text is tokenized once with BOS in front and cut into chunks of `chunk` tokens (a
// partial one at the end is dropped); token 0 of each is replaced by BOS, tokens chunk/2 + 1 ..
// chunk - 1 are scored given all before them in the chunk. EINVAL: chunk below 4 or above the
// trained context, or a text shorter than one chunk.
Result<Perplexity> perplexity(Engine& engine, std::string_view text, uint32_t chunk,
                              const PerplexityProgress& progress = {});

// How far a model's predictions are from another's.
struct Comparison {
  Perplexity perplexity, reference;
  double kl_mean = 0;   // KL divergence from the reference, in nats, over the scored tokens
  double kl_most = 0;   // of one token
  double same_top = 0;  // share of tokens for which both have the same favourite
};
// Both go through the text as perplexity() does; the progress has the mean divergence so far.
// EINVAL also: they do not make the same tokens of the text.
Result<Comparison> compare(Engine& reference, Engine& engine, std::string_view text, uint32_t chunk,
                           const PerplexityProgress& progress = {});

}  // namespace sluice

#endif  // SLUICE_ENGINE_HPP
