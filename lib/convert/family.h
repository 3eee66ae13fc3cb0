// SPDX-License-Identifier: Apache-2.0
// Families of models: what config.json says of one becomes GGUF keys and a plan of tensors. Keys
// and names are those of stock llama.cpp.
#ifndef SLUICE_CONVERT_FAMILY_H
#define SLUICE_CONVERT_FAMILY_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/gguf.hpp>
#include <sluice/result.hpp>

#include "convert/json_file.h"

namespace sluice::hf {

// A family. What it has and others have not is a row of a table.
struct Family {
  const char* name;     // in config.json's "architectures"
  const char* gguf;     // general.architecture
  bool permuted;        // rows of queries and keys: pairs that stand apart are put side by side
  bool norm_plus_one;   // norms are stored as what they are more than 1
  bool gelu;            // of the feed-forward; else SiLU
  bool head_norms;      // of queries and keys
  bool post_norms;      // behind attention and feed-forward
  bool fused;           // queries, keys and values in one matrix; gate and up in one
  bool tied;            // unless config.json says otherwise
  bool needs_head_dim;  // config.json's default is not dim / heads
  bool any_rows;        // the embedding may have more rows than the vocabulary
};
std::span<const Family> families();

// Shape of a model, checked.
struct Shape {
  uint32_t n_layers = 0, dim = 0, ffn_dim = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  uint32_t n_vocab = 0, n_ctx = 0;
  bool states_head_dim = false;
  bool tied = false;
  uint32_t q_dim() const { return n_heads * head_dim; }
  uint32_t kv_dim() const { return n_kv_heads * head_dim; }
};

enum class Change : uint8_t { kNone, kPermute, kPlusOne };

// A tensor to be.
struct PlannedTensor {
  std::string name;             // in the GGUF file
  std::string source;           // in the checkpoint, behind its prefix; empty: `values`
  std::vector<uint64_t> shape;  // as GGUF has it: fastest dimension first
  Change change = Change::kNone;
  uint32_t n_heads = 0;   // for kPermute
  bool optional = false;  // a bias
  std::vector<float> values = {};
};

// A config.json, understood.
class ModelConfig {
 public:
  // ENOTSUP: a family or a feature that is not known. EBADMSG, ENOENT: a key.
  static Result<ModelConfig> read(const JsonObject& config);

  const Family& family() const { return *family_; }
  const Shape& shape() const { return shape_; }
  // Keys of the architecture, all but those of the tokenizer.
  void write(GgufWriter& writer) const;
  std::vector<PlannedTensor> plan() const;

 private:
  explicit ModelConfig(JsonObject config) : config_(std::move(config)) {}
  Result<void> read_shape();
  Result<void> check_features() const;
  Result<void> read_layers();
  Result<void> read_rope();
  Result<void> read_scaling(const JsonObject& rope);
  Result<void> read_llama3(const JsonObject& rope);
  Result<void> read_longrope(const JsonObject& rope);
  void plan_layer(uint32_t i, std::vector<PlannedTensor>& out) const;
  std::string key(std::string_view name) const;
  void set(std::string_view name, uint32_t value) { numbers_.emplace_back(name, value); }
  void set(std::string_view name, double value) { reals_.emplace_back(name, value); }

  JsonObject config_;
  const Family* family_ = nullptr;
  Shape shape_;
  // Keys behind the architecture's name, in the order of writing.
  std::vector<std::pair<std::string, uint32_t>> numbers_;
  std::vector<std::pair<std::string, double>> reals_;
  std::string scaling_;               // rope.scaling.type; empty: none
  std::vector<PlannedTensor> extra_;  // made from the config
  uint32_t n_rot_ = 0;
  double rope_base_ = 10000;
};

}  // namespace sluice::hf

#endif  // SLUICE_CONVERT_FAMILY_H
