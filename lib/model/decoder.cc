// SPDX-License-Identifier: Apache-2.0
// What the architectures are, and reading a model file of one of them. Layers: arXiv:2302.13971
// (llama), 2407.10671 (qwen2), 2505.09388 (qwen3), 2404.14219 (phi3), 2403.08295 (gemma),
// 2408.00118 (gemma2), 2503.19786 (gemma3).
#include "model/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

namespace sluice {
namespace {

constexpr uint32_t kAdjacent = SLUICE_SDI_ROPE_ADJACENT, kHalves = SLUICE_SDI_ROPE_HALVES;
constexpr uint32_t kSilu = SLUICE_SDI_GLU_SILU, kGelu = SLUICE_SDI_GLU_GELU;

// phi3: its files state windows that their models were not trained with, so they are not used.
constexpr DecoderKind kKinds[] = {
    // name, pairing, glu, scaled embedding, head norms, post norms, fused gate,
    //   local, of, window, attention cap, output cap, local base, layers of the widest
    {"llama", kAdjacent, kSilu, false, false, false, false, 1, 1, 0, 0, 0, 0, 0},
    {"qwen2", kHalves, kSilu, false, false, false, false, 0, 1, 0, 0, 0, 0, 0},
    {"qwen3", kHalves, kSilu, false, true, false, false, 0, 1, 0, 0, 0, 0, 0},
    {"phi3", kHalves, kSilu, false, false, false, true, 0, 1, 0, 0, 0, 0, 0},
    {"gemma", kHalves, kGelu, true, false, false, false, 0, 1, 0, 0, 0, 0, 0},
    {"gemma2", kHalves, kGelu, true, false, true, false, 1, 2, 4096, 50, 30, 0, 46},
    {"gemma3", kHalves, kGelu, true, true, true, false, 5, 6, 0, 0, 0, 10000, 62},
};

constexpr uint32_t kMostElements = 1u << 24;  // of any one dimension that a key states
constexpr uint32_t kMostTokens = 1u << 30;
constexpr double kMostCap = 1e6;

Matrix rows_of(const Matrix& all, uint32_t first, uint32_t n) {
  return {all.tensor, all.format, all.first_row + first, n};
}

// Elements [first, first + n) of a vector, or none of none.
Vector part_of(const Vector& all, uint32_t first, uint32_t n) {
  if (all.n == 0) return {};
  return {all.tensor, all.first + (all.tensor ? first : uint64_t{first} * sizeof(float)), n};
}

Linear rows_of(const Linear& all, uint32_t first, uint32_t n) {
  return {rows_of(all.weight, first, n), part_of(all.bias, first, n)};
}

}  // namespace

std::span<const DecoderKind> decoder_kinds() { return kKinds; }

const DecoderKind* find_decoder_kind(std::string_view name) {
  for (const DecoderKind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

Result<void> Decoder::load_shape() {
  info_.path = file_.path();
  info_.architecture = kind_.name;
  if (const auto name = file_.get_string("general.name")) info_.name = *name;
  if (info_.name.empty()) info_.name = info_.path.substr(info_.path.find_last_of('/') + 1);
  SLUICE_TRY(info_.n_layers, keys_.number("block_count", 1, 4096));
  SLUICE_TRY(info_.dim, keys_.number("embedding_length", 1, kMostElements));
  SLUICE_TRY(info_.ffn_dim, keys_.number("feed_forward_length", 1, kMostElements));
  SLUICE_TRY(info_.n_ctx_train, keys_.number("context_length", 1, kMostTokens));
  SLUICE_TRY(info_.n_heads, keys_.number("attention.head_count", 1, 65536));
  SLUICE_TRY(info_.n_kv_heads, keys_.number_or("attention.head_count_kv", 1, 65536, info_.n_heads));
  if (info_.n_heads % info_.n_kv_heads != 0) {
    return fail(EBADMSG, fmt::format("{}: {} heads are no multiple of {} KV heads", file_.path(),
                                     info_.n_heads, info_.n_kv_heads));
  }
  const uint32_t even_share = info_.dim / info_.n_heads;
  SLUICE_TRY(info_.head_dim, keys_.number_or("attention.key_length", 1, 1024, even_share));
  SLUICE_TRY(const uint32_t value_dim,
             keys_.number_or("attention.value_length", 1, 1024, info_.head_dim));
  if (info_.head_dim == 0 || info_.head_dim > 1024 || value_dim != info_.head_dim) {
    return fail(EBADMSG,
                fmt::format("{}: heads of {} keys and {} values, expected the same number, "
                            "1 to 1024",
                            file_.path(), info_.head_dim, value_dim));
  }
  SLUICE_TRY(const uint32_t n_experts, keys_.number_or("expert_count", 0, 65536, 0));
  if (n_experts != 0) {
    return fail(ENOTSUP, fmt::format("{}: key {} is {}, expected a model without experts",
                                     file_.path(), keys_.name("expert_count"), n_experts));
  }
  SLUICE_TRY(const double epsilon, keys_.real("attention.layer_norm_rms_epsilon", 0, 1));
  epsilon_ = static_cast<float>(epsilon);
  const bool widest = info_.n_layers == kind_.n_layers_of_widest;
  query_scale_ = 1.0f / std::sqrt(static_cast<float>(widest ? even_share : info_.head_dim));
  if (kind_.scaled_embedding) embedding_scale_ = std::sqrt(static_cast<float>(info_.dim));
  SLUICE_TRY(const double attention_cap,
             keys_.real_or("attn_logit_softcapping", 0, kMostCap, kind_.attention_cap));
  attention_cap_ = static_cast<float>(attention_cap);
  SLUICE_TRY(const double output_cap,
             keys_.real_or("final_logit_softcapping", 0, kMostCap, kind_.output_cap));
  output_cap_ = static_cast<float>(output_cap);
  return {};
}

Decoder::Phases Decoder::add_phases(const Rope& rope) {
  const auto add = [&](const RopeParams& params) {
    const auto increments = rope_increments(params);
    return SegmentAddress{kSegmentConstants,
                          add_constants(increments.data(), increments.size() * 8)};
  };
  Phases out;
  out.near = out.beyond = add(rope.params);
  if (!rope.beyond.empty()) {
    RopeParams beyond = rope.params;
    beyond.factors = rope.beyond;
    out.beyond = add(beyond);
  }
  out.n_ctx_original = rope.params.n_ctx_original;
  out.n_rot = rope.params.n_rot;
  out.magnitude = rope_magnitude(rope.params);
  return out;
}

Result<void> Decoder::load_rope() {
  SLUICE_TRY(const Rope rope, read_rope(keys_, info_.head_dim, info_.n_ctx_train));
  phases_ = local_phases_ = add_phases(rope);
  Rope local = rope;
  if (kind_.local_base != 0) {
    local.params.base = kind_.local_base;
    local.params.scale = 1;
  }
  SLUICE_TRY(local.params.base, keys_.real_or("rope.freq_base_swa", 1, 1e12, local.params.base));
  if (local.params != rope.params) local_phases_ = add_phases(local);
  return {};
}

// Which layers are local, by the architecture or by key attention.sliding_window_pattern: a number
// p, the last of p layers not being local, or a flag for each layer.
Result<void> Decoder::load_layer_kinds() {
  if (kind_.n_local == 0) return {};
  SLUICE_TRY(window_, keys_.number_or("attention.sliding_window", 0, kMostTokens, kind_.window));
  if (window_ == 0) return {};
  const std::string name = keys_.name("attention.sliding_window_pattern");
  const GgufValue* pattern = file_.find(name);
  uint32_t n_local = kind_.n_local, period = kind_.period;
  if (pattern && pattern->type == GgufType::kArray) {
    const auto& array = *std::get<std::shared_ptr<const GgufArray>>(pattern->data);
    const auto* flags = std::get_if<std::vector<uint64_t>>(&array.elements);
    if (!flags || flags->size() != info_.n_layers) {
      return fail(EBADMSG, fmt::format("{}: key {}: expected a number, or {} flags", file_.path(),
                                       name, info_.n_layers));
    }
    for (uint32_t i = 0; i < info_.n_layers; ++i) layers_[i].local = (*flags)[i] != 0;
    return {};
  }
  if (pattern) {
    SLUICE_TRY(period, keys_.number("attention.sliding_window_pattern", 1, 4096));
    n_local = period - 1;
  }
  for (uint32_t i = 0; i < info_.n_layers; ++i) layers_[i].local = i % period < n_local;
  return {};
}

uint64_t Decoder::add_constants(const void* data, size_t bytes) {
  const size_t at = (constants_.size() + 63) / 64 * 64;
  constants_.resize(at + bytes);
  std::memcpy(constants_.data() + at, data, bytes);
  return at;
}

Result<Matrix> Decoder::matrix(const std::string& name, uint32_t n_in, uint32_t n_out) const {
  const GgufTensor* tensor = file_.find_tensor(name);
  if (!tensor) return fail(EBADMSG, fmt::format("{}: no tensor {}", file_.path(), name));
  if (tensor->shape != std::array<uint64_t, 4>{n_in, n_out, 1, 1}) {
    return fail(EBADMSG, fmt::format("{}: tensor {} is [{}, {}, {}, {}], expected [{}, {}]",
                                     file_.path(), name, tensor->shape[0], tensor->shape[1],
                                     tensor->shape[2], tensor->shape[3], n_in, n_out));
  }
  const Format* format = find_format(tensor->type);
  if (!format || !format->decode) {
    return fail(ENOTSUP, fmt::format("{}: tensor {} is {}, which holds no weights", file_.path(),
                                     name, tensor->type_name));
  }
  const uint64_t offset = file_.data_offset() + tensor->offset;
  if (format->id == SLUICE_SDI_TYPE_F32 && n_out > 1 && offset % alignof(float) != 0) {
    return fail(EBADMSG, fmt::format("{}: tensor {} is F32 at byte {} of the file, expected a "
                                     "multiple of 4",
                                     file_.path(), name, offset));
  }
  return Matrix{tensor, format, 0, n_out};
}

// The file's own floats if they are f32 and aligned, else a converted copy.
Result<Vector> Decoder::vector(const std::string& name, uint32_t n) {
  SLUICE_TRY(const Matrix m, matrix(name, n, 1));
  const uint64_t offset = file_.data_offset() + m.tensor->offset;
  if (m.format->id == SLUICE_SDI_TYPE_F32 && offset % alignof(float) == 0) {
    return Vector{m.tensor, 0, n};
  }
  std::vector<float> values(n);
  m.format->decode(file_.data(*m.tensor).data(), values.data(), values.size());
  return Vector{nullptr, add_constants(values.data(), values.size() * sizeof(float)), n};
}

Result<Linear> Decoder::linear(const std::string& name, uint32_t n_in, uint32_t n_out) {
  Linear out;
  SLUICE_TRY(out.weight, matrix(name + ".weight", n_in, n_out));
  if (file_.find_tensor(name + ".bias")) {
    SLUICE_TRY(out.bias, vector(name + ".bias", n_out));
  }
  return out;
}

Result<void> Decoder::load_attention(const std::string& prefix, DecoderLayer& l) {
  const uint32_t dim = info_.dim;
  SLUICE_TRY(l.attn_norm, vector(prefix + "attn_norm.weight", dim));
  if (file_.find_tensor(prefix + "attn_qkv.weight")) {
    SLUICE_TRY(const Linear all, linear(prefix + "attn_qkv", dim, q_dim() + 2 * kv_dim()));
    l.q = rows_of(all, 0, q_dim());
    l.k = rows_of(all, q_dim(), kv_dim());
    l.v = rows_of(all, q_dim() + kv_dim(), kv_dim());
  } else {
    SLUICE_TRY(l.q, linear(prefix + "attn_q", dim, q_dim()));
    SLUICE_TRY(l.k, linear(prefix + "attn_k", dim, kv_dim()));
    SLUICE_TRY(l.v, linear(prefix + "attn_v", dim, kv_dim()));
  }
  if (kind_.head_norms) {
    SLUICE_TRY(l.q_norm, vector(prefix + "attn_q_norm.weight", info_.head_dim));
    SLUICE_TRY(l.k_norm, vector(prefix + "attn_k_norm.weight", info_.head_dim));
  }
  SLUICE_TRY(l.attn_output, linear(prefix + "attn_output", q_dim(), dim));
  if (kind_.post_norms) {
    SLUICE_TRY(l.attn_post_norm, vector(prefix + "post_attention_norm.weight", dim));
  }
  return {};
}

Result<void> Decoder::load_feed_forward(const std::string& prefix, DecoderLayer& l) {
  const uint32_t dim = info_.dim, ffn = info_.ffn_dim;
  SLUICE_TRY(l.ffn_norm, vector(prefix + "ffn_norm.weight", dim));
  if (kind_.fused_gate) {
    SLUICE_TRY(const Linear both, linear(prefix + "ffn_up", dim, 2 * ffn));
    l.gate = rows_of(both, 0, ffn);
    l.up = rows_of(both, ffn, ffn);
  } else {
    SLUICE_TRY(l.gate, linear(prefix + "ffn_gate", dim, ffn));
    SLUICE_TRY(l.up, linear(prefix + "ffn_up", dim, ffn));
  }
  SLUICE_TRY(l.down, linear(prefix + "ffn_down", ffn, dim));
  if (kind_.post_norms) {
    SLUICE_TRY(l.ffn_post_norm, vector(prefix + "post_ffw_norm.weight", dim));
  }
  return {};
}

Result<void> Decoder::load_layer(uint32_t i) {
  const std::string prefix = fmt::format("blk.{}.", i);
  SLUICE_CHECK(load_attention(prefix, layers_[i]));
  return load_feed_forward(prefix, layers_[i]);
}

Result<void> Decoder::load_tensors() {
  const GgufTensor* embedding = file_.find_tensor("token_embd.weight");
  if (!embedding) {
    return fail(EBADMSG, fmt::format("{}: no tensor token_embd.weight", file_.path()));
  }
  if (embedding->shape[1] > kMostElements) {
    return fail(EBADMSG,
                fmt::format("{}: tensor token_embd.weight has {} rows, expected at most {}",
                            file_.path(), embedding->shape[1], kMostElements));
  }
  info_.n_vocab = static_cast<uint32_t>(embedding->shape[1]);
  SLUICE_TRY(embedding_, matrix("token_embd.weight", info_.dim, info_.n_vocab));
  output_.weight = embedding_;
  if (file_.find_tensor("output.weight")) {
    SLUICE_TRY(output_, linear("output", info_.dim, info_.n_vocab));
  }
  SLUICE_TRY(output_norm_, vector("output_norm.weight", info_.dim));
  for (uint32_t i = 0; i < info_.n_layers; ++i) SLUICE_CHECK(load_layer(i));
  return {};
}

Result<void> Decoder::load() {
  SLUICE_CHECK(load_shape());
  SLUICE_CHECK(load_rope());
  layers_.resize(info_.n_layers);
  SLUICE_CHECK(load_layer_kinds());
  return load_tensors();
}

Result<std::unique_ptr<Architecture>> load_decoder(const GgufFile& file) {
  SLUICE_TRY(const std::string_view name, file.get_string("general.architecture"));
  const DecoderKind* kind = find_decoder_kind(name);
  if (!kind) return fail(ENOTSUP, fmt::format("{}: no decoder \"{}\"", file.path(), name));
  auto model = std::make_unique<Decoder>(file, *kind);
  SLUICE_CHECK(model->load());
  return Result<std::unique_ptr<Architecture>>(std::move(model));
}

}  // namespace sluice
