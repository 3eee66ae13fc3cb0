// SPDX-License-Identifier: Apache-2.0
// Decoder-only transformers: RMSNorm, rotary embedding, grouped-query attention, a gated
// feed-forward. What one architecture has and another has not is a row of a table.
#ifndef SLUICE_MODEL_DECODER_H
#define SLUICE_MODEL_DECODER_H

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/keys.h"
#include "model/program.h"
#include "model/rope.h"
#include "quant/format.h"

namespace sluice {

// An architecture. Names of keys and tensors: GGUF's convention.
struct DecoderKind {
  const char* name;       // general.architecture, and what its keys begin with
  uint32_t pairing;       // SLUICE_SDI_ROPE_*
  uint32_t glu;           // SLUICE_SDI_GLU_*
  bool scaled_embedding;  // times sqrt(dim)
  bool head_norms;        // of queries and keys, before they are rotated
  bool post_norms;        // of what attention and feed-forward give, before it is added
  bool fused_gate;        // tensor ffn_up holds the rows of the gate before its own

  // Layer i is local if i % period < n_local: it sees attention.sliding_window tokens, by default
  // `window`, 0 being all.
  uint32_t n_local, period, window;
  float attention_cap, output_cap;  // soft caps where no key states them; 0: none
  double local_base;  // RoPE base of local layers, which then are not scaled; 0: as the others

  // The model of so many layers scales its queries by 1 / sqrt(dim / heads), not 1 / sqrt(head
  // dim).
  uint32_t n_layers_of_widest;
};

std::span<const DecoderKind> decoder_kinds();
// Null: none of them.
const DecoderKind* find_decoder_kind(std::string_view name);

// Rows of a matrix of the file: [n_in, n_rows].
struct Matrix {
  const GgufTensor* tensor = nullptr;
  const Format* format = nullptr;
  uint64_t first_row = 0;
  uint32_t n_rows = 0;
};

// A vector of n floats: those of a tensor of the file from element `first` on, or a converted copy
// at `first` of the constants. n = 0: there is none.
struct Vector {
  const GgufTensor* tensor = nullptr;
  uint64_t first = 0;  // element, or offset in bytes
  uint32_t n = 0;
};

struct Linear {
  Matrix weight;
  Vector bias;
};

struct DecoderLayer {
  Vector attn_norm, q_norm, k_norm, attn_post_norm, ffn_norm, ffn_post_norm;
  Linear q, k, v, attn_output, gate, up, down;
  bool local = false;
};

class Decoder : public Architecture {
 public:
  Decoder(const GgufFile& file, const DecoderKind& kind)
      : file_(file), kind_(kind), keys_(file, kind.name) {}
  Result<void> load();
  Result<Program> compile(const CompileOptions& options) const override;
  uint64_t kv_bytes_per_token(const Format& kv) const override {
    return 2 * kv.bytes(kv_dim()) * info_.n_layers;
  }

 private:
  class Graph;  // decoder_graph.cc

  // Phase increments in the constants, and what goes with them.
  struct Phases {
    SegmentAddress near, beyond;  // for contexts up to the original, and for longer ones
    uint32_t n_ctx_original = 0;
    uint32_t n_rot = 0;
    float magnitude = 1;
    bool operator==(const Phases&) const = default;
  };

  Result<void> load_shape();
  Result<void> load_rope();
  Result<void> load_layer_kinds();
  Result<void> load_tensors();
  Result<void> load_layer(uint32_t i);
  Result<void> load_attention(const std::string& prefix, DecoderLayer& layer);
  Result<void> load_feed_forward(const std::string& prefix, DecoderLayer& layer);
  Result<Matrix> matrix(const std::string& name, uint32_t n_in, uint32_t n_out) const;
  Result<Vector> vector(const std::string& name, uint32_t n);
  // `name`.weight, and `name`.bias if there is one.
  Result<Linear> linear(const std::string& name, uint32_t n_in, uint32_t n_out);
  Phases add_phases(const Rope& rope);
  uint64_t add_constants(const void* data, size_t bytes);
  uint32_t q_dim() const { return info_.n_heads * info_.head_dim; }
  uint32_t kv_dim() const { return info_.n_kv_heads * info_.head_dim; }

  const GgufFile& file_;
  const DecoderKind& kind_;
  Keys keys_;
  float epsilon_ = 0;
  float query_scale_ = 0, embedding_scale_ = 0;  // 0: none
  float attention_cap_ = 0, output_cap_ = 0;     // 0: none
  uint32_t window_ = 0;                          // of local layers, in tokens
  Phases phases_, local_phases_;
  Vector output_norm_;
  Matrix embedding_;
  Linear output_;
  std::vector<DecoderLayer> layers_;
};

}  // namespace sluice

#endif  // SLUICE_MODEL_DECODER_H
