// SPDX-License-Identifier: Apache-2.0
// logits MODEL DEVICE LAYERS...: the same 64 tokens of 8 sequences on a machine, for each number of
// layers on the board; prints "LAYERS HASH" of the bits of all logits. What prints the same
// computes the same: on this host, in a guest, on any instruction set ($SLUICE_ISA).
// MODEL "embedded" is the one inside the library.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sluice/engine.hpp>

namespace {

using namespace sluice;

constexpr uint32_t kSequences = 8;
constexpr uint32_t kTokens = 64;

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
class Hash {
 public:
  void add(std::span<const float> values) {
    for (const std::byte b : std::as_bytes(values)) {
      value_ = (value_ ^ static_cast<uint64_t>(b)) * 0x100000001b3u;
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

int32_t token_of(uint32_t sequence, uint32_t i, uint32_t n_vocab) {
  return static_cast<int32_t>((sequence * 977 + i * 7919 + 11) % n_vocab);
}

Result<uint64_t> hash_of(std::shared_ptr<const Model> model, const EngineOptions& options) {
  SLUICE_TRY(const auto engine, Engine::create(model, options));
  std::vector<Sequence> sequences;
  std::vector<std::vector<int32_t>> tokens(kSequences);
  for (uint32_t s = 0; s < kSequences; ++s) {
    SLUICE_TRY(Sequence sequence, engine->new_sequence());
    sequences.push_back(std::move(sequence));
    for (uint32_t i = 0; i < kTokens; ++i) {
      tokens[s].push_back(token_of(s, i, model->info().n_vocab));
    }
  }
  Hash hash;
  std::vector<uint32_t> done(kSequences, 0);
  for (bool first = true;; first = false) {
    std::vector<StepInput> step;
    for (uint32_t s = 0; s < kSequences; ++s) {
      const uint32_t n = first ? 3 + 5 * s : std::min(1u, kTokens - done[s]);
      if (n == 0) continue;
      step.push_back({&sequences[s], std::span(tokens[s]).subspan(done[s], n), Logits::kAll});
      done[s] += n;
    }
    if (step.empty()) break;
    SLUICE_CHECK(engine->step(step));
    for (uint32_t r = 0; r < engine->n_outputs(); ++r) hash.add(engine->logits(r));
  }
  return hash.value();
}

Result<void> run(char** argv) {
  const std::string name = argv[1];
  SLUICE_TRY(const auto model, name == "embedded" ? Model::embedded() : Model::load(name));
  EngineOptions options;
  options.device = argv[2];
  options.max_batch_tokens = 256;
  options.kv_tokens = uint64_t{kSequences} * kTokens;
  options.emulator.memory_size = uint64_t{1} << 28;
  for (char** layers = argv + 3; *layers; ++layers) {
    options.device_layers = std::atoi(*layers);
    SLUICE_TRY(const uint64_t hash, hash_of(model, options));
    std::printf("%s %016llx\n", *layers, static_cast<unsigned long long>(hash));
    std::fflush(stdout);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: logits MODEL|embedded DEVICE LAYERS...\n");
    return 2;
  }
  const auto done = run(argv);
  if (done) return 0;
  std::fprintf(stderr, "logits: %s\n", done.error().message.c_str());
  return 1;
}
