// SPDX-License-Identifier: Apache-2.0
// Reading importance matrices: tensors NAME.in_sum2 (sums of squares, a row for each expert) and
// NAME.counts (of tokens). Layout: llama.cpp, tools/imatrix/README.md.
#include "model/importance.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include <sluice/gguf.hpp>

namespace sluice {
namespace {

Result<std::vector<float>> floats(const GgufFile& file, const GgufTensor& tensor) {
  if (tensor.type != 0) {
    return fail(EBADMSG, fmt::format("{}: tensor '{}' is {}, expected F32", file.path(),
                                     tensor.name, tensor.type_name));
  }
  std::vector<float> values(tensor.n_elements());
  if (!values.empty()) std::memcpy(values.data(), file.data(tensor).data(), tensor.n_bytes);
  for (const float value : values) {
    if (!(value >= 0) || !std::isfinite(value)) {
      return fail(EBADMSG, fmt::format("{}: tensor '{}' holds {}, expected finite numbers >= 0",
                                       file.path(), tensor.name, value));
    }
  }
  return values;
}

}  // namespace

Result<Importance> Importance::load(const std::string& path) {
  SLUICE_TRY(const GgufFile file, GgufFile::open(path));
  Importance out;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!std::string_view(tensor.name).ends_with(kSums)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - std::strlen(kSums));
    const GgufTensor* counts = file.find_tensor(name + kCounts);
    if (!counts || counts->n_elements() != 1 || tensor.n_elements() != tensor.shape[0]) {
      return fail(EBADMSG, fmt::format("{}: tensor '{}': expected one row and one count", path,
                                       tensor.name));
    }
    SLUICE_TRY(std::vector<float> sums, floats(file, tensor));
    SLUICE_TRY(const std::vector<float> count, floats(file, *counts));
    if (count[0] == 0) continue;  // never used: nothing is known
    for (float& sum : sums) sum /= count[0];
    out.columns_.emplace(name, std::move(sums));
  }
  if (out.columns_.empty()) {
    return fail(EBADMSG,
                fmt::format("{}: no importance matrix: no tensor is named *{}", path, kSums));
  }
  return out;
}

const std::vector<float>* Importance::find(const std::string& tensor) const {
  const auto it = columns_.find(tensor);
  return it == columns_.end() ? nullptr : &it->second;
}

}  // namespace sluice
