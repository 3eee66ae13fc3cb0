// SPDX-License-Identifier: Apache-2.0
// Synthetic llamas: the shapes of real models with random weights, for benchmarks and tests.
// Weights are a function of seed, tensor and index alone, so that a file does not depend on the
// number of threads; their scale keeps activations near 1.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <unordered_set>

#include <sluice/gguf.hpp>
#include <sluice/quantize.hpp>

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

enum class Scale : uint8_t { kRows, kResidual, kNorm };

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

std::vector<PlannedTensor> plan_tensors(const Preset& p) {
  const uint64_t kv_dim = uint64_t{p.dim} / p.n_heads * p.n_kv_heads;
  std::vector<PlannedTensor> plan;
  plan.push_back({"token_embd.weight", p.dim, p.n_vocab, Scale::kRows});
  for (uint32_t i = 0; i < p.n_layers; ++i) {
    const auto name = [i](const char* part) { return fmt::format("blk.{}.{}.weight", i, part); };
    plan.push_back({name("attn_norm"), p.dim, 0, Scale::kNorm});
    plan.push_back({name("attn_q"), p.dim, p.dim, Scale::kRows});
    plan.push_back({name("attn_k"), p.dim, kv_dim, Scale::kRows});
    plan.push_back({name("attn_v"), p.dim, kv_dim, Scale::kRows});
    plan.push_back({name("attn_output"), p.dim, p.dim, Scale::kResidual});
    plan.push_back({name("ffn_norm"), p.dim, 0, Scale::kNorm});
    plan.push_back({name("ffn_gate"), p.dim, p.ffn_dim, Scale::kRows});
    plan.push_back({name("ffn_up"), p.dim, p.ffn_dim, Scale::kRows});
    plan.push_back({name("ffn_down"), p.ffn_dim, p.dim, Scale::kResidual});
  }
  plan.push_back({"output_norm.weight", p.dim, 0, Scale::kNorm});
  if (!p.tied) plan.push_back({"output.weight", p.dim, p.n_vocab, Scale::kRows});
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

void set_metadata(GgufWriter& writer, const Preset& p, const Format& format) {
  writer.set_string("general.architecture", "llama");
  writer.set_string("general.name", fmt::format("synthetic {}", p.name));
  writer.set_u32("general.file_type", static_cast<uint32_t>(format.file_type));
  writer.set_u32("general.quantization_version", 2);
  writer.set_u32("llama.block_count", p.n_layers);
  writer.set_u32("llama.context_length", p.n_ctx);
  writer.set_u32("llama.embedding_length", p.dim);
  writer.set_u32("llama.feed_forward_length", p.ffn_dim);
  writer.set_u32("llama.attention.head_count", p.n_heads);
  writer.set_u32("llama.attention.head_count_kv", p.n_kv_heads);
  writer.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.set_u32("llama.rope.dimension_count", p.dim / p.n_heads);
  writer.set_f32("llama.rope.freq_base", p.rope_base);
  writer.set_u32("llama.vocab_size", p.n_vocab);

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
TensorStream::Fill make_fill(const PlannedTensor& tensor, const Preset& p, uint64_t stream) {
  if (tensor.scale == Scale::kNorm) {
    return [stream](uint64_t first, std::span<float> values) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = 1.0f + 0.125f * uniform(stream, first + i);
      }
    };
  }
  double spread = std::sqrt(3.0 / static_cast<double>(tensor.n_columns));
  if (tensor.scale == Scale::kResidual) spread /= std::sqrt(2.0 * p.n_layers);
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

Result<void> synthesize(std::string_view preset_name, std::string_view type, const std::string& out,
                        uint64_t seed, const Progress& progress) {
  const auto* preset = std::find_if(std::begin(kPresets), std::end(kPresets),
                                    [&](const Preset& p) { return preset_name == p.name; });
  if (preset == std::end(kPresets)) {
    return fail(EINVAL, fmt::format("unknown preset '{}', expected one of {}", preset_name,
                                    fmt::join(synth_presets(), ", ")));
  }
  const Format* format = find_format(type);
  if (!format || !format->encode) {
    return fail(EINVAL, fmt::format("unknown type '{}', expected one of {}", type,
                                    fmt::join(quantize_types(), ", ")));
  }
  SLUICE_TRY(GgufWriter writer, GgufWriter::create(out));
  set_metadata(writer, *preset, *format);

  const Format& vector_format = *find_format("F32");
  const std::vector<PlannedTensor> plan = plan_tensors(*preset);
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
    const uint64_t random = hash(hash(seed) + i);
    const auto fill = make_fill(plan[i], *preset, random);
    SLUICE_CHECK(stream.encode({own, n, own.bytes(n)}, plan[i].name, fill));
  }
  return writer.finish();
}

}  // namespace sluice
