// SPDX-License-Identifier: Apache-2.0
// Importance matrices: for each weight matrix, how much each of its columns matters, as the mean of
// the squares that it was multiplied with. Files: GGUF, as llama.cpp's imatrix tool writes them.
#ifndef SLUICE_MODEL_IMPORTANCE_H
#define SLUICE_MODEL_IMPORTANCE_H

#include <map>
#include <string>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

class Importance {
 public:
  // What the names of its tensors end with, behind the name of a matrix.
  static constexpr const char* kSums = ".in_sum2";
  static constexpr const char* kCounts = ".counts";

  // Errors name the file and the tensor. EBADMSG: it is no importance matrix, or holds numbers that
  // are negative or not finite.
  static Result<Importance> load(const std::string& path);
  // The weights of a matrix's columns; null where the file says nothing of it.
  const std::vector<float>* find(const std::string& tensor) const;
  size_t size() const { return columns_.size(); }

 private:
  std::map<std::string, std::vector<float>> columns_;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_IMPORTANCE_H
