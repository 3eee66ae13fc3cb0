// SPDX-License-Identifier: Apache-2.0
// Tensors of a model folder, however they are stored: safetensors, or PyTorch's zip files.
#ifndef SLUICE_CONVERT_SOURCE_H
#define SLUICE_CONVERT_SOURCE_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sluice/result.hpp>

#include "core/file.h"
#include "quant/format.h"

namespace sluice::hf {

// Values in row-major order, slowest dimension first, in a file that stays mapped.
struct SourceTensor {
  const Format* format = nullptr;  // F32, F16 or BF16; null: another, `type` says which
  std::string type;                // as the file calls it
  std::vector<uint64_t> shape;
  std::span<const std::byte> data;
  std::string path;  // of the file
};

using SourceTensors = std::unordered_map<std::string, SourceTensor>;

constexpr size_t kMaxSourceRank = 8;

// Element types by the names that safetensors and PyTorch have for them.
struct SourceType {
  const char* safetensors;
  const char* storage;  // torch.NAME
  uint32_t bytes;
  const char* format;  // of ours that has the same bits; null: none
};
std::span<const SourceType> source_types();

// Elements of a shape times `bytes`; EBADMSG with `subject` where that overflows.
Result<uint64_t> bytes_of(std::span<const uint64_t> shape, uint64_t bytes,
                          std::string_view subject);

// The tensors of one file. `bytes` outlive them, `path` is for messages. EBADMSG: malformed.
// github.com/huggingface/safetensors, README: u64 length, JSON header, data.
Result<SourceTensors> read_safetensors(std::span<const std::byte> bytes, const std::string& path);
// A zip file whose data.pkl is a state dict, as torch.save writes it.
Result<SourceTensors> read_torch(std::span<const std::byte> bytes, const std::string& path);

// All tensors of a folder.
class Checkpoint {
 public:
  // One file, or several that an index names. ENOENT: no weights; EINVAL: several, no index.
  static Result<Checkpoint> open(const std::string& folder);
  const SourceTensors& tensors() const { return tensors_; }

 private:
  Result<SourceTensors> add_file(const std::string& path);
  Result<void> open_index(const std::string& folder, const std::string& index);

  std::vector<MemoryMap> maps_;
  SourceTensors tensors_;
};

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_SOURCE_H
