// SPDX-License-Identifier: Apache-2.0
// What an architecture turns a GGUF file into: constants, and a command list over four segments.
#ifndef SLUICE_MODEL_PROGRAM_H
#define SLUICE_MODEL_PROGRAM_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/engine.hpp>
#include <sluice/gguf.hpp>
#include <sluice/result.hpp>

#include "ops/list.h"

namespace sluice {

// Segments of a model's command lists.
enum : uint16_t { kSegmentWeights, kSegmentConstants, kSegmentScratch, kSegmentKv, kNumSegments };

// What a list is compiled for.
struct CompileOptions {
  uint32_t max_tokens = 0;
  uint32_t max_outputs = 0;
  uint32_t n_slots = 0;  // whole blocks
};

struct Program {
  CommandList list;
  uint64_t scratch_bytes = 0;
  uint64_t kv_bytes = 0;
  uint64_t logits_offset = 0;  // in the scratch segment; rows of n_vocab floats
};

// A model ready to be compiled. `constants` is the content of its segment.
class Architecture {
 public:
  virtual ~Architecture() = default;
  virtual Result<Program> compile(const CompileOptions& options) const = 0;
  virtual uint64_t kv_bytes_per_token() const = 0;
  const ModelInfo& info() const { return info_; }
  const std::vector<std::byte>& constants() const { return constants_; }

 protected:
  ModelInfo info_;
  std::vector<std::byte> constants_;
};

// One line per architecture. load() reads the hyperparameters and checks every tensor; the file
// outlives the result. EBADMSG names the key or tensor.
struct ArchitectureEntry {
  const char* name;
  Result<std::unique_ptr<Architecture>> (*load)(const GgufFile& file);
};
// Null: not in the table.
const ArchitectureEntry* find_architecture(std::string_view name);
std::string architecture_names();

Result<std::unique_ptr<Architecture>> load_llama(const GgufFile& file);

}  // namespace sluice

#endif  // SLUICE_MODEL_PROGRAM_H
