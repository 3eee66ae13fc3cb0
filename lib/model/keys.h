// SPDX-License-Identifier: Apache-2.0
// Hyperparameters of a model file: keys that begin with the architecture's name, held to ranges.
#ifndef SLUICE_MODEL_KEYS_H
#define SLUICE_MODEL_KEYS_H

#include <cstdint>
#include <string>
#include <string_view>

#include <sluice/gguf.hpp>
#include <sluice/result.hpp>

namespace sluice {

// Bounds are inclusive. EBADMSG names the key, what it is and what was expected; ENOENT: no such
// key. The file outlives the object.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}
  const GgufFile& file() const { return file_; }
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  bool has(std::string_view key) const { return file_.find(name(key)) != nullptr; }
  Result<uint32_t> number(std::string_view key, uint32_t least, uint32_t most) const;
  Result<uint32_t> number_or(std::string_view key, uint32_t least, uint32_t most,
                             uint32_t otherwise) const;
  Result<double> real(std::string_view key, double least, double most) const;
  Result<double> real_or(std::string_view key, double least, double most, double otherwise) const;

 private:
  const GgufFile& file_;
  std::string prefix_;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_KEYS_H
