// SPDX-License-Identifier: Apache-2.0
// Hugging Face model folders to GGUF files.
#ifndef SLUICE_CONVERT_HPP
#define SLUICE_CONVERT_HPP

#include <cstdint>
#include <string>
#include <vector>

#include <sluice/quantize.hpp>
#include <sluice/result.hpp>

namespace sluice {

struct ConvertOptions {
  std::string type = "auto";  // of the matrices: "f32", "f16", "bf16"; "auto": as most of them are
  std::string name;           // general.name; empty: the folder's name
  unsigned n_threads = 0;     // 0: as many as the process may use
};

struct ConvertedTensor {
  std::string name;      // in the GGUF file
  std::string source;    // in the folder; empty: made from config.json
  std::string from, to;  // format names
  uint64_t n_elements = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  double rmse = 0;  // root mean square error of the values; 0 where nothing changed
};

struct Conversion {
  std::string architecture;  // general.architecture
  std::string name;          // general.name
  std::string type;          // format of the matrices
  std::string tokenizer;     // "llama", or "gpt2 (PRE-TOKENIZER)"
  uint32_t n_vocab = 0;
  std::vector<ConvertedTensor> tensors;
};

// What ConvertOptions::type takes.
std::vector<std::string> convert_types();
// What config.json's "architectures" may name.
std::vector<std::string> convert_architectures();

// Reads config.json, the tokenizer (tokenizer.model or tokenizer.json, and what stands beside
// them) and the weights (safetensors or zipped PyTorch files, one or several with an index), and
// writes `out` with the keys and tensor names that stock llama.cpp's converter gives. Nothing in
// the folder is executed. One tensor is worked on at a time; the file appears whole or not at all,
// and its bytes depend neither on the number of threads nor on how the weights were stored.
// EINVAL: unknown type; ENOENT: a file, key or tensor is missing; EBADMSG: one is malformed;
// ENOTSUP: an architecture, tokenizer or feature that is not known. Messages name the file and the
// key or tensor.
Result<Conversion> convert(const std::string& folder, const std::string& out,
                           const ConvertOptions& options = {}, const Progress& progress = {});

}  // namespace sluice

#endif  // SLUICE_CONVERT_HPP
