// SPDX-License-Identifier: Apache-2.0
// Rewriting GGUF files in another format, and making synthetic ones.
#ifndef SLUICE_QUANTIZE_HPP
#define SLUICE_QUANTIZE_HPP

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/result.hpp>

namespace sluice {

// Called now and then with bytes of tensor data done and in total; false cancels (ECANCELED).
using Progress = std::function<bool(uint64_t done, uint64_t total)>;

struct QuantizedTensor {
  std::string name;
  std::string from, to;  // format names
  uint64_t n_elements = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  double rmse = 0;  // root mean square error of the values; 0 where nothing changed
};

// Writes `out` with the matrices of `in` in `type` ("Q8_0", "F16", ...). Tensors of one dimension
// and rows that are no multiple of the block size keep their format (F32 stays F32). The file
// appears whole or not at all. EINVAL: unknown type, in == out; errors of reading name the tensor.
Result<std::vector<QuantizedTensor>> quantize(const std::string& in, const std::string& out,
                                              std::string_view type, unsigned n_threads = 0,
                                              const Progress& progress = {});

// Names that quantize() and synthesize() take, in the order of the format table.
std::vector<std::string> quantize_types();
// Names of the presets: "1b", "0.5b", "tiny".
std::vector<std::string> synth_presets();

// Writes a llama of the preset's real shape (vocabulary included) with random weights of a sane
// scale: logits stay finite, and the file is valid for every GGUF reader. Same seed, same file.
Result<void> synthesize(std::string_view preset, std::string_view type, const std::string& out,
                        uint64_t seed = 1, const Progress& progress = {});

}  // namespace sluice

#endif  // SLUICE_QUANTIZE_HPP
