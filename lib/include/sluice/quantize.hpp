// SPDX-License-Identifier: Apache-2.0
// Rewriting GGUF files in another format, and making synthetic ones.
#ifndef SLUICE_QUANTIZE_HPP
#define SLUICE_QUANTIZE_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/engine.hpp>
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

// A format for the tensors whose name a pattern is found in.
struct TensorOverride {
  std::string pattern;  // POSIX extended regular expression; plain text is a part of the name
  std::string type;     // format, not a mix
};

struct QuantizeOptions {
  std::string type;                       // a mix, see quantize_mixes()
  std::vector<TensorOverride> overrides;  // the first that fits counts
  std::string importance;  // path of an importance matrix (GGUF); empty: all columns count alike
  unsigned n_threads = 0;  // 0: as many as the process may use
};

// Writes `out` with the matrices of `in` in other formats; memory is bounded by a few chunks of a
// tensor. Tensors of one dimension keep their format (F32 stays F32), and so do norms. Where rows
// are no whole blocks of a format, the nearest that fits is taken: of 32-value blocks, then F16.
// The file appears whole or not at all, and its bytes do not depend on the number of threads.
// EINVAL: unknown type or pattern, in == out, an importance matrix of another model; errors of
// reading name the tensor.
Result<std::vector<QuantizedTensor>> quantize(const std::string& in, const std::string& out,
                                              const QuantizeOptions& options,
                                              const Progress& progress = {});
// The same with nothing but a mix.
Result<std::vector<QuantizedTensor>> quantize(const std::string& in, const std::string& out,
                                              std::string_view type, unsigned n_threads = 0,
                                              const Progress& progress = {});

struct ImportanceOptions {
  uint32_t chunk = 512;     // tokens that are run together, from an empty context
  uint32_t max_chunks = 0;  // 0: all of the text
  bool output = false;      // the output matrix, too
  unsigned n_threads = 0;   // as EngineOptions
  std::string isa;
};

struct ImportanceReport {
  uint32_t n_chunks = 0;
  uint64_t n_tokens = 0;
  size_t n_tensors = 0;
};

// Runs a text through a model and writes an importance matrix for quantize() to `out`: for each
// matrix the sums of squares of what its columns were multiplied with (GGUF, as llama.cpp's imatrix
// tool writes it). The progress counts chunks. EINVAL: the text is shorter than a chunk, or a chunk
// longer than the context.
Result<ImportanceReport> collect_importance(const std::shared_ptr<const Model>& model,
                                            const std::string& text, const std::string& out,
                                            const ImportanceOptions& options = {},
                                            const Progress& progress = {});

// A named choice of formats for the tensors of a model.
struct QuantizeMix {
  std::string name;
  std::string alias;  // another name; may be empty
  std::string base;   // format of most matrices; empty: all tensors keep theirs
};
// What quantize() takes, from the most bits to the fewest.
std::vector<QuantizeMix> quantize_mixes();
// Formats that an override and synthesize() take, in the order of the format table.
std::vector<std::string> quantize_types();
// Names of the presets: "1b", "0.5b", "tiny".
std::vector<std::string> synth_presets();

// Architectures: "llama", "qwen2", ...
std::vector<std::string> synth_architectures();
// How positions are scaled: "none", "linear", "yarn", "longrope".
std::vector<std::string> synth_ropes();

struct SynthOptions {
  std::string preset;
  std::string architecture = "llama";
  std::string type = "Q8_0";  // of the matrices
  std::string rope = "none";  // else the context is four times the original one
  uint64_t seed = 1;
};

// Writes a model of the preset's real shape (vocabulary included) with random weights of a sane
// scale: logits stay finite, and the file is valid for every GGUF reader. Same options, same file.
// Rows that are no whole blocks of the format get the nearest that fits. EINVAL: an unknown name.
Result<void> synthesize(const SynthOptions& options, const std::string& out,
                        const Progress& progress = {});
// A llama.
Result<void> synthesize(std::string_view preset, std::string_view type, const std::string& out,
                        uint64_t seed = 1, const Progress& progress = {});

}  // namespace sluice

#endif  // SLUICE_QUANTIZE_HPP
