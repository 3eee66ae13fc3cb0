// SPDX-License-Identifier: Apache-2.0
// Increments in pairs of doubles (two.h), so that the rounding to 2^-64 of a turn is the only one
// that matters, and the bits are the same on every machine.
#include "model/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iterator>
#include <numbers>

#include "model/two.h"
#include "quant/format.h"

namespace sluice {
namespace {

// The pair that turns `turns` times in the original context, counted in elements; in f32, as
// everybody computes it, because it is rounded to a whole number next.
float yarn_pair(const RopeParams& p, double turns) {
  constexpr float kTwoPi = 2 * std::numbers::pi_v<float>;
  const float per_turn =
      static_cast<float>(p.n_ctx_original) / (static_cast<float>(turns) * kTwoPi);
  return static_cast<float>(p.n_rot) * std::log(per_turn) /
         (2 * std::log(static_cast<float>(p.base)));
}

// What a pair's angle is multiplied by: 1 / scale, or with YaRN up to 1 for the fast ones.
Two interpolation(const RopeParams& p, uint32_t pair) {
  const Two scaled = Two{1} / Two{p.scale};
  if (p.spare == 0) return scaled;
  const float low = std::max(0.0f, std::floor(yarn_pair(p, p.beta_fast)));
  const float high =
      std::min(static_cast<float>(p.n_rot) - 1, std::ceil(yarn_pair(p, p.beta_slow)));
  const float width = std::max(0.001f, high - low);
  const float beyond = std::clamp(static_cast<float>(pair) - low, 0.0f, width);
  const Two kept = (Two{1} - Two{beyond} / Two{width}) * Two{p.spare};
  return scaled * (Two{1} - kept) + kept;
}

// A tensor of n factors; none, if there is no such tensor.
Result<std::vector<float>> read_factors(const GgufFile& file, const char* name, uint32_t n) {
  std::vector<float> out;
  const GgufTensor* tensor = file.find_tensor(name);
  if (!tensor) return out;
  const Format* format = find_format(tensor->type);
  if (tensor->n_elements() != n || !format || !format->decode || format->block_size != 1) {
    return fail(EBADMSG, fmt::format("{}: tensor {}: expected {} floats", file.path(), name, n));
  }
  out.resize(n);
  format->decode(file.data(*tensor).data(), out.data(), n);
  for (const float f : out) {
    if (f >= 1e-3f && f < 1e6f) continue;
    return fail(EBADMSG, fmt::format("{}: tensor {}: a factor of {}, expected 0.001 to 1e+06",
                                     file.path(), name, f));
  }
  return out;
}

// rope.scaling.type: what it makes of the other keys.
struct Scaling {
  const char* name;
  bool divides;  // positions, by rope.scaling.factor
  double spare;
};
constexpr Scaling kScalings[] = {
    {"none", false, 0}, {"linear", true, 0}, {"yarn", true, 1}, {"longrope", true, 0}};

Result<const Scaling*> read_scaling(const Keys& keys) {
  const std::string name = keys.name("rope.scaling.type");
  std::string_view type = "linear";
  if (keys.file().find(name)) {
    SLUICE_TRY(type, keys.file().get_string(name));
  }
  std::string known;
  for (const Scaling& s : kScalings) {
    if (type == s.name) return &s;
    known += (known.empty() ? "" : ", ") + std::string(s.name);
  }
  return fail(ENOTSUP, fmt::format("{}: key {} is \"{}\", expected one of {}", keys.file().path(),
                                   name, type, known));
}

Result<void> read_scale(const Keys& keys, RopeParams& p) {
  SLUICE_TRY(const Scaling* scaling, read_scaling(keys));
  if (scaling->divides) {
    const char* key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    SLUICE_TRY(p.scale, keys.real_or(key, 0, 1e6, 1.0));
    if (p.scale == 0) p.scale = 1;  // written for "none"
    if (p.scale < 1e-3) {
      return fail(EBADMSG, fmt::format("{}: key {} is {}, expected 0.001 to 1e+06",
                                       keys.file().path(), keys.name(key), p.scale));
    }
  }
  if (scaling->spare != 0) {
    SLUICE_TRY(p.spare, keys.real_or("rope.scaling.yarn_ext_factor", 0, 1, scaling->spare));
    SLUICE_TRY(p.beta_fast, keys.real_or("rope.scaling.yarn_beta_fast", 1e-3, 1e6, p.beta_fast));
    SLUICE_TRY(p.beta_slow, keys.real_or("rope.scaling.yarn_beta_slow", 1e-3, 1e6, p.beta_slow));
    SLUICE_TRY(const double log, keys.real_or("rope.scaling.yarn_log_multiplier", -1e6, 1e6, 0));
    if (log != 0) {
      return fail(ENOTSUP, fmt::format("{}: key {} is {}, expected 0", keys.file().path(),
                                       keys.name("rope.scaling.yarn_log_multiplier"), log));
    }
  }
  return {};
}

}  // namespace

std::vector<uint64_t> rope_increments(const RopeParams& params) {
  std::vector<uint64_t> out;
  const Two base = log(params.base);
  for (uint32_t i = 0; i < params.n_rot / 2; ++i) {
    const Two exponent = Two{-2.0 * i} / Two{static_cast<double>(params.n_rot)};
    Two turns = exp(exponent * base) * interpolation(params, i) / kTwoPi;
    if (i < params.factors.size()) turns = turns / Two{params.factors[i]};
    out.push_back(fraction64(turns));
  }
  return out;
}

float rope_magnitude(const RopeParams& params) {
  const bool grows = params.spare != 0 && params.scale > 1;
  const double yarn = grows ? 1 + 0.1 * std::log(params.scale) : 1.0;
  return static_cast<float>(params.attention_factor * yarn);
}

Result<Rope> read_rope(const Keys& keys, uint32_t n_rot, uint32_t n_ctx_train) {
  const GgufFile& file = keys.file();
  Rope rope;
  RopeParams& p = rope.params;
  SLUICE_TRY(p.n_rot, keys.number_or("rope.dimension_count", 2, n_rot, n_rot));
  if (p.n_rot % 2 != 0) {
    return fail(EBADMSG, fmt::format("{}: key {} is {}, expected an even number", file.path(),
                                     keys.name("rope.dimension_count"), p.n_rot));
  }
  SLUICE_TRY(p.base, keys.real_or("rope.freq_base", 1, 1e12, p.base));
  SLUICE_TRY(p.n_ctx_original,
             keys.number_or("rope.scaling.original_context_length", 1, 1u << 30, n_ctx_train));
  SLUICE_CHECK(read_scale(keys, p));
  SLUICE_TRY(const double attention, keys.real_or("rope.scaling.attn_factor", 1e-3, 1e3, 1));
  p.attention_factor = static_cast<float>(attention);

  SLUICE_TRY(p.factors, read_factors(file, "rope_freqs.weight", p.n_rot / 2));
  if (!p.factors.empty()) return rope;
  SLUICE_TRY(p.factors, read_factors(file, "rope_factors_short.weight", p.n_rot / 2));
  SLUICE_TRY(rope.beyond, read_factors(file, "rope_factors_long.weight", p.n_rot / 2));
  if (p.factors.empty() != rope.beyond.empty()) {
    return fail(EBADMSG, fmt::format("{}: no tensor rope_factors_{}.weight beside the other",
                                     file.path(), p.factors.empty() ? "short" : "long"));
  }
  return rope;
}

}  // namespace sluice
