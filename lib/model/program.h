// SPDX-License-Identifier: Apache-2.0
// What an architecture turns a GGUF file into: constants, and command lists over five segments.
#ifndef SLUICE_MODEL_PROGRAM_H
#define SLUICE_MODEL_PROGRAM_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/engine.hpp>
#include <sluice/gguf.hpp>
#include <sluice/result.hpp>

#include "ops/list.h"
#include "quant/format.h"

namespace sluice {

// Segments of a model's command lists.
enum : uint16_t {
  kSegmentWeights,
  kSegmentConstants,
  kSegmentScratch,
  kSegmentKv,
  kSegmentLogits,  // f32 [n_vocab, outputs]
  kNumSegments
};

// Says where in its segment of weights a machine has a tensor of the file.
using Placement = std::function<uint64_t(const GgufTensor& tensor)>;

// What a list is compiled for: layers [first_layer, end_layer) of a model. Layer 0 comes with the
// embedding before it, the last one with the output behind it.
struct CompileOptions {
  uint32_t max_tokens = 0;
  uint32_t max_outputs = 0;
  uint32_t n_slots = 0;               // whole blocks
  const Format* kv_format = nullptr;  // of keys and values
  uint32_t first_layer = 0;
  uint32_t end_layer = 0;
  bool fast = false;  // fast products where weights and widths allow them, but for the output
  Placement place;
};

struct Program {
  CommandList list;
  uint64_t scratch_bytes = 0;
  uint64_t kv_bytes = 0;
  uint64_t logits_bytes = 0;  // 0: the output is not in this part
  // In the scratch segment: f32 [dim, tokens], what the layers before have left and what these
  // leave.
  uint64_t x_offset = 0;
};

// A model ready to be compiled. `constants` is the content of its segment.
class Architecture {
 public:
  virtual ~Architecture() = default;
  virtual Result<Program> compile(const CompileOptions& options) const = 0;
  // Keys and values of all layers. `kv` has blocks of which heads are made.
  virtual uint64_t kv_bytes_per_token(const Format& kv) const = 0;
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

Result<std::unique_ptr<Architecture>> load_decoder(const GgufFile& file);

}  // namespace sluice

#endif  // SLUICE_MODEL_PROGRAM_H
