// SPDX-License-Identifier: Apache-2.0
// The mixes as a table, and the exceptions from them as another: the first rule that fits counts.
#include "model/mix.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

constexpr Mix kMixes[] = {
    {"F32", nullptr, "F32", 0},      {"F16", nullptr, "F16", 1},
    {"BF16", nullptr, "BF16", 32},   {"Q8_0", nullptr, "Q8_0", 7},
    {"Q6_K", nullptr, "Q6_K", 18},   {"Q5_K_M", "Q5_K", "Q5_K", 17},
    {"Q5_K_S", nullptr, "Q5_K", 16}, {"Q5_1", nullptr, "Q5_1", 9},
    {"Q5_0", nullptr, "Q5_0", 8},    {"Q4_K_M", "Q4_K", "Q4_K", 15},
    {"Q4_K_S", nullptr, "Q4_K", 14}, {"Q4_1", nullptr, "Q4_1", 3},
    {"Q4_0", nullptr, "Q4_0", 2},    {"Q3_K_L", nullptr, "Q3_K", 13},
    {"Q3_K_M", "Q3_K", "Q3_K", 12},  {"Q3_K_S", nullptr, "Q3_K", 11},
    {"Q2_K", nullptr, "Q2_K", 10},   {"COPY", nullptr, nullptr, -1},
};

bool same_name(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    return std::toupper(static_cast<unsigned char>(x)) ==
           std::toupper(static_cast<unsigned char>(y));
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

// A tensor's layer in a model.
struct Place {
  uint32_t i;  // of
  uint32_t n;  // layers
  const MixModel& model;
};

// The first and the last eighth of the layers, and every third between them.
bool more(const Place& p) {
  return p.i < p.n / 8 || p.i >= 7 * p.n / 8 || (p.i - p.n / 8) % 3 == 2;
}
bool first_eighth(const Place& p) { return p.i < p.n / 8; }
bool first_sixteenth(const Place& p) { return p.i < p.n / 16; }
bool first_two(const Place& p) { return p.i < 2; }
bool first_four(const Place& p) { return p.i < 4; }
bool wide_groups(const Place& p) { return p.model.n_heads >= 4 * p.model.n_kv_heads; }
bool first_eighth_with_importance(const Place& p) {
  return p.model.has_importance && first_eighth(p);
}
// The 70B llama's value matrices are an eighth of its query matrices: more bits cost little.
bool is_70b(const Place& p) { return p.n == 80 && p.model.n_heads != p.model.n_kv_heads; }
bool always(const Place&) { return true; }

struct Rule {
  const char* mix;
  const char* part;  // of the tensor's name: "attn_v" in "blk.0.attn_v.weight"
  bool (*when)(const Place&);
  const char* format;
};

constexpr Rule kRules[] = {
    {"Q2_K", "attn_v", wide_groups, "Q4_K"},
    {"Q2_K", "attn_v", always, "Q3_K"},
    {"Q2_K", "ffn_down", always, "Q3_K"},
    {"Q2_K", "attn_output", always, "Q3_K"},
    {"Q3_K_S", "attn_v", is_70b, "Q5_K"},
    {"Q3_K_M", "attn_v", first_two, "Q5_K"},
    {"Q3_K_M", "attn_v", is_70b, "Q5_K"},
    {"Q3_K_M", "attn_v", always, "Q4_K"},
    {"Q3_K_M", "ffn_down", first_sixteenth, "Q5_K"},
    {"Q3_K_M", "ffn_down", always, "Q4_K"},
    {"Q3_K_M", "attn_output", always, "Q4_K"},
    {"Q3_K_L", "attn_v", always, "Q5_K"},
    {"Q3_K_L", "ffn_down", always, "Q5_K"},
    {"Q3_K_L", "attn_output", always, "Q5_K"},
    {"Q4_0", "ffn_down", first_eighth_with_importance, "Q4_1"},
    {"Q5_0", "ffn_down", first_eighth_with_importance, "Q5_1"},
    {"Q4_K_S", "attn_v", first_four, "Q5_K"},
    {"Q4_K_S", "attn_v", is_70b, "Q5_K"},
    {"Q4_K_S", "ffn_down", first_eighth, "Q5_K"},
    {"Q4_K_M", "attn_v", more, "Q6_K"},
    {"Q4_K_M", "attn_v", is_70b, "Q5_K"},
    {"Q4_K_M", "ffn_down", more, "Q6_K"},
    {"Q5_K_M", "attn_v", more, "Q6_K"},
    {"Q5_K_M", "ffn_down", more, "Q6_K"},
};

// Formats for rows that are no whole blocks of 256, then of 32 values.
constexpr const char* kNarrower[][2] = {
    {"Q2_K", "Q4_0"}, {"Q3_K", "Q4_0"}, {"Q4_K", "Q5_0"}, {"Q5_K", "Q5_1"}, {"Q6_K", "Q8_0"},
    {"Q4_0", "F16"},  {"Q4_1", "F16"},  {"Q5_0", "F16"},  {"Q5_1", "F16"},  {"Q8_0", "F16"},
};

uint32_t number_of(const GgufFile& file, const std::string& key) {
  const auto value = file.find(key) ? file.get_u64(key) : Result<uint64_t>(0);
  return value ? static_cast<uint32_t>(std::min<uint64_t>(*value, 1u << 20)) : 0;
}

// "blk.12.attn_v.weight": 12 and "attn_v". No layer: the name without ".weight".
struct Name {
  uint32_t layer = 0;
  std::string_view part;
  explicit Name(std::string_view name) : part(name) {
    constexpr std::string_view kLayer = "blk.", kWeight = ".weight";
    if (part.ends_with(kWeight)) part.remove_suffix(kWeight.size());
    if (!part.starts_with(kLayer)) return;
    const char* end = part.data() + part.size();
    const auto [rest, error] = std::from_chars(part.data() + kLayer.size(), end, layer);
    if (error != std::errc() || rest == end || *rest != '.') return;
    part = std::string_view(rest + 1, static_cast<size_t>(end - rest - 1));
  }
};

}  // namespace

std::span<const Mix> mixes() { return kMixes; }

const Mix* find_mix(std::string_view name) {
  for (const Mix& mix : kMixes) {
    if (same_name(mix.name, name) || (mix.alias && same_name(mix.alias, name))) return &mix;
  }
  return nullptr;
}

MixModel::MixModel(const GgufFile& file) : tied(!file.find_tensor("output.weight")) {
  const auto architecture = file.find("general.architecture")
                                ? file.get_string("general.architecture")
                                : Result<std::string_view>("llama");
  const std::string prefix = std::string(architecture ? *architecture : "llama") + ".";
  n_layers = number_of(file, prefix + "block_count");
  n_heads = number_of(file, prefix + "attention.head_count");
  n_kv_heads = number_of(file, prefix + "attention.head_count_kv");
  if (n_kv_heads == 0) n_kv_heads = n_heads;
}

const Format& mix_format(const Mix& mix, const MixModel& model, std::string_view tensor) {
  const Format& base = *find_format(std::string_view(mix.base));
  if (base.block_size == 1) return base;
  const Name name(tensor);
  if (name.part == (model.tied ? "token_embd" : "output")) {
    return *find_format(std::string_view(base.id == SLUICE_SDI_TYPE_Q8_0 ? "Q8_0" : "Q6_K"));
  }
  const Place place{name.layer, model.n_layers, model};
  // Queries, keys and values in one matrix: as careful as the values ask for.
  const std::string_view part = name.part == "attn_qkv" ? "attn_v" : name.part;
  for (const Rule& rule : kRules) {
    if (mix.name == std::string_view(rule.mix) && part == rule.part && rule.when(place)) {
      return *find_format(std::string_view(rule.format));
    }
  }
  return base;
}

const Format& fitting_format(const Format& wanted, uint64_t n) {
  const Format* format = &wanted;
  for (const auto& [from, to] : kNarrower) {
    if (n % format->block_size == 0) break;
    if (format->name == std::string_view(from)) format = find_format(std::string_view(to));
  }
  return *format;
}

}  // namespace sluice
