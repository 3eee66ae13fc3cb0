// SPDX-License-Identifier: Apache-2.0
// Synthetic models: the shapes of real ones with random weights, for benchmarks and tests.
// Weights are a function of seed, tensor and index alone, so that a file does not depend on the
// number of threads; their scale keeps activations near 1.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <unordered_set>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

#include "model/decoder.h"
#include "model/mix.h"
#include "model/tensor_stream.h"
#include "quant/format.h"

namespace sluice {
namespace {

struct Preset {
  const char* name;
  uint32_t n_layers, dim, n_heads, n_kv_heads, ffn_dim, n_vocab, n_ctx;
  float rope_base;
  bool tied;  // no output matrix: the embedding serves
};

// 1b: TinyLlama-1.1B. 0.5b: H2O-Danube3-500M (arXiv 2407.09276). tiny: for tests, every size
// different from the others and none a multiple of 64.
constexpr Preset kPresets[] = {
    {"1b", 22, 2048, 32, 4, 5632, 32000, 2048, 10000, false},
    {"0.5b", 16, 1536, 16, 8, 4096, 32000, 8192, 100000, false},
    {"tiny", 2, 96, 3, 1, 160, 331, 256, 10000, true},
};

// What is not said of an architecture by its row of decoder_kinds().
struct SynthKind {
  const char* name;
  uint32_t head_share;    // heads are this times dim / heads wide
  uint32_t least_layers;  // so that there are layers of every kind
  bool biases;            // of queries, keys and values
  bool fused_qkv;
};
constexpr SynthKind kKinds[] = {
    {"llama", 1, 1, false, false},  {"qwen2", 1, 1, true, false},  {"qwen3", 2, 1, false, false},
    {"phi3", 1, 1, false, true},    {"gemma", 2, 1, false, false}, {"gemma2", 2, 2, false, false},
    {"gemma3", 2, 6, false, false},
};

constexpr const char* kRopes[] = {"none", "linear", "yarn", "longrope"};
constexpr float kRopeFactor = 4;  // by which a scaled rotary embedding extends the context

// A preset in an architecture.
struct Shape {
  const Preset& preset;
  const SynthKind& synth;
  const DecoderKind& kind;
  std::string rope;
  uint32_t n_layers = std::max(preset.n_layers, synth.least_layers);
  uint32_t dim = preset.dim, ffn_dim = preset.ffn_dim;
  uint32_t head_dim = preset.dim / preset.n_heads * synth.head_share;
  uint32_t q_dim = head_dim * preset.n_heads, kv_dim = head_dim * preset.n_kv_heads;
  bool tied = preset.tied || kind.scaled_embedding;
};

enum class Scale : uint8_t { kRows, kResidual, kNorm, kBias, kFactorsShort, kFactorsLong };

struct PlannedTensor {
  std::string name;
  uint64_t n_columns, n_rows;  // rows 0: a vector
  Scale scale;
};

// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014) over a counter.
uint64_t hash(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

// Uniform in [-1, 1) with 24 bits; two values from each hash.
float uniform(uint64_t stream, uint64_t index) {
  const uint64_t bits = hash(stream + index / 2);
  const auto half = static_cast<int32_t>(index % 2 ? bits >> 32 : bits & 0xffffffff);
  return static_cast<float>(half >> 8) * 0x1p-23f;
}

void plan_layer(const Shape& s, uint32_t i, std::vector<PlannedTensor>& plan) {
  const auto add = [&](const char* part, uint64_t n_columns, uint64_t n_rows, Scale scale) {
    plan.push_back({fmt::format("blk.{}.{}", i, part), n_columns, n_rows, scale});
  };
  const auto vector = [&](const char* part, uint64_t n, Scale scale = Scale::kNorm) {
    add(part, n, 0, scale);
  };
  vector("attn_norm.weight", s.dim);
  if (s.synth.fused_qkv) {
    add("attn_qkv.weight", s.dim, s.q_dim + 2 * s.kv_dim, Scale::kRows);
  } else {
    add("attn_q.weight", s.dim, s.q_dim, Scale::kRows);
    add("attn_k.weight", s.dim, s.kv_dim, Scale::kRows);
    add("attn_v.weight", s.dim, s.kv_dim, Scale::kRows);
  }
  if (s.synth.biases) {
    vector("attn_q.bias", s.q_dim, Scale::kBias);
    vector("attn_k.bias", s.kv_dim, Scale::kBias);
    vector("attn_v.bias", s.kv_dim, Scale::kBias);
  }
  if (s.kind.head_norms) {
    vector("attn_q_norm.weight", s.head_dim);
    vector("attn_k_norm.weight", s.head_dim);
  }
  add("attn_output.weight", s.q_dim, s.dim, Scale::kResidual);
  if (s.kind.post_norms) vector("post_attention_norm.weight", s.dim);
  vector("ffn_norm.weight", s.dim);
  if (!s.kind.fused_gate) add("ffn_gate.weight", s.dim, s.ffn_dim, Scale::kRows);
  add("ffn_up.weight", s.dim, s.kind.fused_gate ? 2 * s.ffn_dim : s.ffn_dim, Scale::kRows);
  add("ffn_down.weight", s.ffn_dim, s.dim, Scale::kResidual);
  if (s.kind.post_norms) vector("post_ffw_norm.weight", s.dim);
}

std::vector<PlannedTensor> plan_tensors(const Shape& s) {
  std::vector<PlannedTensor> plan;
  plan.push_back({"token_embd.weight", s.dim, s.preset.n_vocab, Scale::kRows});
  for (uint32_t i = 0; i < s.n_layers; ++i) plan_layer(s, i, plan);
  plan.push_back({"output_norm.weight", s.dim, 0, Scale::kNorm});
  if (!s.tied) plan.push_back({"output.weight", s.dim, s.preset.n_vocab, Scale::kRows});
  if (s.rope == "longrope") {
    plan.push_back({"rope_factors_long.weight", s.head_dim / 2, 0, Scale::kFactorsLong});
    plan.push_back({"rope_factors_short.weight", s.head_dim / 2, 0, Scale::kFactorsShort});
  }
  return plan;
}

// A SentencePiece vocabulary that works: three special tokens, 256 bytes, the printable
// characters, then pieces that are joins of two earlier ones, so that merging can reach each.
struct SynthVocabulary {
  std::vector<std::string> tokens;
  std::vector<double> scores;
  std::vector<int64_t> types;

  void add(std::string token, double score, int64_t type) {
    tokens.push_back(std::move(token));
    scores.push_back(score);
    types.push_back(type);
  }
};

SynthVocabulary make_vocabulary(uint32_t n_vocab) {
  constexpr int64_t kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  constexpr size_t kLongest = 16;  // bytes
  SynthVocabulary v;
  v.add("<unk>", 0, kUnknown);
  v.add("<s>", 0, kControl);
  v.add("</s>", 0, kControl);
  for (int byte = 0; byte < 256; ++byte) v.add(fmt::format("<0x{:02X}>", byte), 0, kByte);

  const size_t first = v.tokens.size();
  std::unordered_set<std::string> known;
  const auto add = [&](const std::string& piece) {
    if (v.tokens.size() == n_vocab || !known.insert(piece).second) return;
    v.add(piece, -static_cast<double>(v.tokens.size() - first), kNormal);
  };
  // Letters first, so that a small vocabulary has them.
  add("\xe2\x96\x81");
  for (char c = 'a'; c <= 'z'; ++c) add(std::string(1, c));
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c));
  const auto pick = [&](uint64_t counter) -> const std::string& {
    return v.tokens[first + hash(counter) % (v.tokens.size() - first)];
  };
  for (uint64_t counter = 0; v.tokens.size() < n_vocab; counter += 2) {
    const std::string joined = pick(counter) + pick(counter + 1);
    // A space stands only at the beginning of a piece.
    if (joined.size() <= kLongest && joined.find("\xe2\x96\x81", 1) == std::string::npos) {
      add(joined);
    }
  }
  return v;
}

template <typename T>
GgufValue make_array(GgufType type, std::vector<T> elements) {
  auto array = std::make_shared<GgufArray>();
  array->element_type = type;
  array->elements = std::move(elements);
  return {GgufType::kArray, std::shared_ptr<const GgufArray>(std::move(array))};
}

// What a scaled rotary embedding is told by: the context is kRopeFactor times the original.
void set_rope(GgufWriter& writer, const Shape& s) {
  const std::string prefix = std::string(s.kind.name) + ".rope.";
  writer.set_u32(prefix + "dimension_count", s.head_dim);
  writer.set_f32(prefix + "freq_base", s.preset.rope_base);
  if (s.rope == "none") return;
  const auto original = static_cast<uint32_t>(static_cast<float>(s.preset.n_ctx) / kRopeFactor);
  writer.set_u32(prefix + "scaling.original_context_length", original);
  writer.set_string(prefix + "scaling.type", s.rope);
  if (s.rope == "longrope") {
    const double growth = std::log(kRopeFactor) / std::log(static_cast<double>(original));
    writer.set_f32(prefix + "scaling.attn_factor", static_cast<float>(std::sqrt(1 + growth)));
  } else {
    writer.set_f32(prefix + "scaling.factor", kRopeFactor);
  }
}

void set_metadata(GgufWriter& writer, const Shape& s, const Format& format) {
  const Preset& p = s.preset;
  const std::string prefix = std::string(s.kind.name) + ".";
  writer.set_string("general.architecture", s.kind.name);
  writer.set_string("general.name", fmt::format("synthetic {}", p.name));
  writer.set_u32("general.file_type", static_cast<uint32_t>(format.file_type));
  writer.set_u32("general.quantization_version", 2);
  writer.set_u32(prefix + "block_count", s.n_layers);
  writer.set_u32(prefix + "context_length", p.n_ctx);
  writer.set_u32(prefix + "embedding_length", p.dim);
  writer.set_u32(prefix + "feed_forward_length", p.ffn_dim);
  writer.set_u32(prefix + "attention.head_count", p.n_heads);
  writer.set_u32(prefix + "attention.head_count_kv", p.n_kv_heads);
  writer.set_u32(prefix + "attention.key_length", s.head_dim);
  writer.set_u32(prefix + "attention.value_length", s.head_dim);
  writer.set_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
  // No multiple of a block, and felt by short texts.
  if (s.kind.period > 1) writer.set_u32(prefix + "attention.sliding_window", p.n_ctx / 10);
  // Lower than real ones, as are the scores and logits of random weights.
  if (s.kind.attention_cap != 0) writer.set_f32(prefix + "attn_logit_softcapping", 3);
  if (s.kind.output_cap != 0) writer.set_f32(prefix + "final_logit_softcapping", 4);
  set_rope(writer, s);
  writer.set_u32(prefix + "vocab_size", p.n_vocab);

  SynthVocabulary v = make_vocabulary(p.n_vocab);
  writer.set_string("tokenizer.ggml.model", "llama");
  writer.set_string("tokenizer.ggml.pre", "default");
  writer.set("tokenizer.ggml.tokens", make_array(GgufType::kString, std::move(v.tokens)));
  writer.set("tokenizer.ggml.scores", make_array(GgufType::kF32, std::move(v.scores)));
  writer.set("tokenizer.ggml.token_type", make_array(GgufType::kI32, std::move(v.types)));
  writer.set_u32("tokenizer.ggml.unknown_token_id", 0);
  writer.set_u32("tokenizer.ggml.bos_token_id", 1);
  writer.set_u32("tokenizer.ggml.eos_token_id", 2);
  writer.set_bool("tokenizer.ggml.add_bos_token", true);
  writer.set_bool("tokenizer.ggml.add_space_prefix", true);
}

// Makes the values of a tensor: spread so that a matrix keeps the size of what it multiplies.
TensorStream::Fill make_fill(const PlannedTensor& tensor, const Shape& s, uint64_t stream) {
  if (tensor.scale == Scale::kFactorsLong || tensor.scale == Scale::kFactorsShort) {
    const float last = tensor.scale == Scale::kFactorsLong ? 2 * kRopeFactor : 1.25f;
    return [last, n = tensor.n_columns](uint64_t first, std::span<float> values) {
      for (size_t i = 0; i < values.size(); ++i) {
        const float share = static_cast<float>(first + i) / static_cast<float>(n);
        values[i] = 1.0f + (last - 1.0f) * share;
      }
    };
  }
  if (tensor.scale == Scale::kNorm || tensor.scale == Scale::kBias) {
    const float middle = tensor.scale == Scale::kNorm ? 1.0f : 0.0f;
    return [stream, middle, spread = middle == 0 ? 0.5f : 0.125f](uint64_t first,
                                                                  std::span<float> values) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = middle + spread * uniform(stream, first + i);
      }
    };
  }
  double spread = std::sqrt(3.0 / static_cast<double>(tensor.n_columns));
  if (tensor.scale == Scale::kResidual) spread /= std::sqrt(2.0 * s.n_layers);
  return [stream, scale = static_cast<float>(spread)](uint64_t first, std::span<float> values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = scale * uniform(stream, first + i);
  };
}

}  // namespace

std::vector<std::string> synth_presets() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

std::vector<std::string> synth_architectures() {
  std::vector<std::string> names;
  for (const SynthKind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::vector<std::string> synth_ropes() { return {std::begin(kRopes), std::end(kRopes)}; }

Result<void> synthesize(const SynthOptions& options, const std::string& out,
                        const Progress& progress) {
  const auto unknown = [](const char* what, const std::string& value, const auto& known) {
    return fail(EINVAL, fmt::format("unknown {} '{}', expected one of {}", what, value,
                                    fmt::join(known, ", ")));
  };
  const auto* preset = std::find_if(std::begin(kPresets), std::end(kPresets),
                                    [&](const Preset& p) { return options.preset == p.name; });
  if (preset == std::end(kPresets)) return unknown("preset", options.preset, synth_presets());
  const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const SynthKind& k) {
    return options.architecture == k.name;
  });
  if (kind == std::end(kKinds)) {
    return unknown("architecture", options.architecture, synth_architectures());
  }
  if (std::find(std::begin(kRopes), std::end(kRopes), options.rope) == std::end(kRopes)) {
    return unknown("scaling of positions", options.rope, kRopes);
  }
  const Format* format = find_format(std::string_view(options.type));
  if (!format || !format->encode) return unknown("type", options.type, quantize_types());
  const Shape shape{*preset, *kind, *find_decoder_kind(kind->name), options.rope};
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(out));
  set_metadata(writer, shape, *format);

  const Format& vector_format = *find_format("F32");
  const std::vector<PlannedTensor> plan = plan_tensors(shape);
  const auto format_of = [&](const PlannedTensor& t) -> const Format& {
    return t.n_rows ? fitting_format(*format, t.n_columns) : vector_format;
  };
  const auto n_elements = [](const PlannedTensor& t) {
    return t.n_columns * std::max<uint64_t>(t.n_rows, 1);
  };
  uint64_t total = 0;
  for (const PlannedTensor& tensor : plan) {
    const uint64_t shape[] = {tensor.n_columns, tensor.n_rows};
    SLUICE_CHECK(writer.add_tensor(tensor.name, format_of(tensor).id,
                                   std::span(shape).first(tensor.n_rows ? 2 : 1)));
    total += format_of(tensor).bytes(n_elements(tensor));
  }
  TensorStream stream(writer, 0, total, progress);
  for (size_t i = 0; i < plan.size(); ++i) {
    const Format& own = format_of(plan[i]);
    const uint64_t n = n_elements(plan[i]);
    const uint64_t random = hash(hash(options.seed) + i);
    const auto fill = make_fill(plan[i], shape, random);
    SLUICE_CHECK(stream.encode({own, n, own.bytes(n)}, plan[i].name, fill));
  }
  return writer.finish();
}

Result<void> synthesize(std::string_view preset, std::string_view type, const std::string& out,
                        uint64_t seed, const Progress& progress) {
  SynthOptions options;
  options.preset = preset;
  options.type = type;
  options.seed = seed;
  return synthesize(options, out, progress);
}

}  // namespace sluice
