// SPDX-License-Identifier: Apache-2.0
// Rotary embeddings: what config.json says of them, as keys and tensors of factors. Two ways of
// writing are read: "rope_theta" and "rope_scaling", and "rope_parameters", which holds both.
#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <numbers>

#include "convert/family.h"

namespace sluice::hf {
namespace {

constexpr double kMostBase = 1e12, kMostFactor = 1e6;
constexpr uint32_t kMostTokens = 1u << 30;

Result<std::vector<float>> factors(const JsonObject& rope, const char* key, uint32_t n) {
  const Json* list = rope.find(key);
  const std::string expected = fmt::format("{} numbers 0.001 to {}", n, kMostFactor);
  if (!list || !list->is_array() || list->size() != n) return rope.bad(key, expected);
  std::vector<float> out;
  for (const Json& value : *list) {
    const double factor = value.is_number() ? value.get<double>() : 0;
    if (!(factor >= 1e-3 && factor <= kMostFactor)) return rope.bad(key, expected);
    out.push_back(static_cast<float>(factor));
  }
  return out;
}

PlannedTensor made(const char* name, std::vector<float> values) {
  PlannedTensor out;
  out.name = name;
  out.shape = {values.size()};
  out.values = std::move(values);
  return out;
}

}  // namespace

Result<void> ModelConfig::read_rope() {
  const JsonObject& c = config_;
  const bool llama = std::string_view(family_->gguf) == "llama";
  const bool gemma3 = std::string_view(family_->gguf) == "gemma3";
  const bool phi3 = std::string_view(family_->gguf) == "phi3";
  SLUICE_TRY(auto rope, c.object(c.find("rope_parameters") ? "rope_parameters" : "rope_scaling"));
  double local_base = 10000;
  if (rope && rope->find("full_attention")) {
    SLUICE_TRY(const auto local, rope->object("sliding_attention"));
    if (local) {
      SLUICE_TRY(local_base, local->real_or("rope_theta", 1, kMostBase, local_base));
    }
    SLUICE_TRY(rope, rope->object("full_attention"));
  }
  const JsonObject& owner = rope && rope->find("rope_theta") ? *rope : c;
  SLUICE_TRY(rope_base_, owner.real_or("rope_theta", 1, kMostBase, gemma3 ? 1e6 : 10000.0));
  SLUICE_TRY(local_base, c.real_or("rope_local_base_freq", 1, kMostBase, local_base));
  const JsonObject& partial = rope && rope->find("partial_rotary_factor") ? *rope : c;
  SLUICE_TRY(const double share, partial.real_or("partial_rotary_factor", 1e-3, 1, 1));
  if (share != 1 && !phi3) return partial.unsupported("partial_rotary_factor", "1");
  n_rot_ = static_cast<uint32_t>(share * shape_.head_dim);
  if (n_rot_ < 2 || n_rot_ % 2 != 0) {
    return partial.bad("partial_rotary_factor", "an even number of elements of a head");
  }
  set("rope.freq_base", rope_base_);
  if (gemma3 && local_base != 10000) set("rope.freq_base_swa", local_base);
  if (llama || phi3) set("rope.dimension_count", n_rot_);
  if (rope) SLUICE_CHECK(read_scaling(*rope));
  return {};
}

Result<void> ModelConfig::read_scaling(const JsonObject& rope) {
  const char* key = rope.find("rope_type") ? "rope_type" : "type";
  SLUICE_TRY(const std::string type, rope.text_or(key, "default"));
  const bool llama = std::string_view(family_->gguf) == "llama";
  const bool phi3 = std::string_view(family_->gguf) == "phi3";
  if (type == "default") return {};
  if (type == "llama3" && llama) return read_llama3(rope);
  if ((type == "longrope" || type == "su") && phi3) return read_longrope(rope);
  if (type != "linear" && type != "yarn") {
    return rope.unsupported(
        key, fmt::format("\"default\", \"linear\", \"yarn\"{}", llama  ? " or \"llama3\""
                                                                : phi3 ? " or \"longrope\""
                                                                       : ""));
  }
  scaling_ = type;
  SLUICE_TRY(const double factor, rope.real("factor", 1e-3, kMostFactor));
  set("rope.scaling.factor", factor);
  if (type == "linear") return {};
  SLUICE_TRY(const uint32_t original,
             rope.number_or("original_max_position_embeddings", 1, kMostTokens, shape_.n_ctx));
  set("rope.scaling.original_context_length", original);
  for (const char* beta : {"beta_fast", "beta_slow"}) {
    if (!rope.find(beta)) continue;
    SLUICE_TRY(const double turns, rope.real(beta, 1e-3, kMostFactor));
    set(fmt::format("rope.scaling.yarn_{}", beta), turns);
  }
  if (rope.find("attention_factor")) {
    // Engines multiply by what YaRN has for the factor: what is more than that is the key's.
    SLUICE_TRY(const double attention, rope.real("attention_factor", 1e-3, 1e3));
    set("rope.scaling.attn_factor",
        factor > 1 ? attention / (1 + 0.1 * std::log(factor)) : attention);
  }
  for (const char* other : {"mscale", "mscale_all_dim"}) {
    if (rope.find(other)) return rope.unsupported(other, "no such key");
  }
  return {};
}

// Slow pairs are slowed down by the factor, fast ones not, in f32 as transformers computes it.
Result<void> ModelConfig::read_llama3(const JsonObject& rope) {
  SLUICE_TRY(const double scale, rope.real_or("factor", 1e-3, kMostFactor, 8));
  SLUICE_TRY(const double low, rope.real_or("low_freq_factor", 1e-3, kMostFactor, 1));
  SLUICE_TRY(const double high, rope.real_or("high_freq_factor", 1e-3, kMostFactor, 4));
  SLUICE_TRY(const uint32_t original,
             rope.number_or("original_max_position_embeddings", 1, kMostTokens, 8192));
  if (high <= low) return rope.bad("high_freq_factor", fmt::format("more than {}", low));
  std::vector<float> out;
  for (uint32_t i = 0; i < n_rot_; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(n_rot_);
    const float frequency = 1.0f / std::pow(static_cast<float>(rope_base_), exponent);
    const double length = 2 * std::numbers::pi / frequency;  // tokens a turn
    double factor = 1;
    if (length > original / low) {
      factor = scale;
    } else if (length >= original / high) {
      const double smooth = (original / length - low) / (high - low);
      factor = 1 / ((1 - smooth) / scale + smooth);
    }
    out.push_back(static_cast<float>(factor));
  }
  extra_.push_back(made("rope_freqs.weight", std::move(out)));
  return {};
}

Result<void> ModelConfig::read_longrope(const JsonObject& rope) {
  const char* key = "original_max_position_embeddings";
  SLUICE_TRY(const uint32_t original,
             (rope.find(key) ? rope : config_).number(key, 2, kMostTokens));
  set("rope.scaling.original_context_length", original);
  const double scale = static_cast<double>(shape_.n_ctx) / original;
  SLUICE_TRY(const double attention,
             rope.real_or("attention_factor", 1e-3, 1e3,
                          scale > 1 ? std::sqrt(1 + std::log(scale) / std::log(original)) : 1));
  set("rope.scaling.attn_factor", attention);
  SLUICE_TRY(auto far, factors(rope, "long_factor", n_rot_ / 2));
  SLUICE_TRY(auto near, factors(rope, "short_factor", n_rot_ / 2));
  extra_.push_back(made("rope_factors_long.weight", std::move(far)));
  extra_.push_back(made("rope_factors_short.weight", std::move(near)));
  return {};
}

}  // namespace sluice::hf
