// SPDX-License-Identifier: Apache-2.0
// The table of families, shapes and the plan of tensors. rope.cc has what concerns positions.
#include "convert/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace sluice::hf {
namespace {

constexpr Family kFamilies[] = {
    // name, architecture, permuted, norm + 1, gelu, head norms, post norms, fused, tied,
    //   needs head dim, any rows
    {"LlamaForCausalLM", "llama", true, false, false, false, false, false, false, false, false},
    {"MistralForCausalLM", "llama", true, false, false, false, false, false, false, false, false},
    {"Qwen2ForCausalLM", "qwen2", false, false, false, false, false, false, false, false, false},
    {"Qwen3ForCausalLM", "qwen3", false, false, false, true, false, false, false, true, false},
    {"Phi3ForCausalLM", "phi3", false, false, false, false, false, true, false, false, false},
    {"GemmaForCausalLM", "gemma", false, true, true, false, false, false, true, true, false},
    {"Gemma2ForCausalLM", "gemma2", false, true, true, false, true, false, true, true, false},
    {"Gemma3ForCausalLM", "gemma3", false, true, true, true, true, false, true, true, false},
    {"Gemma3ForConditionalGeneration", "gemma3", false, true, true, true, true, false, true, true,
     true},
};

constexpr uint32_t kMostElements = 1u << 24;  // of any one dimension
constexpr uint32_t kMostTokens = 1u << 30;
constexpr uint32_t kMostLayers = 4096, kMostHeads = 65536, kMostHeadDim = 1024;

// Where config.json leaves out what transformers has a default for. 0: there must be a key.
struct Defaults {
  const char* architecture;
  uint32_t n_ctx, n_heads, n_kv_heads, head_dim, n_vocab;
  double epsilon;
};
constexpr Defaults kDefaults[] = {
    {"gemma3", 131072, 8, 4, 256, 262208, 1e-6},
    {"gemma2", 8192, 8, 4, 256, 256000, 1e-6},
    {"gemma", 8192, 16, 16, 256, 256000, 1e-6},
    {"qwen3", 32768, 32, 32, 128, 151936, 1e-6},
};

Defaults defaults_of(std::string_view architecture) {
  for (const Defaults& d : kDefaults) {
    if (architecture == d.architecture) return d;
  }
  return {nullptr, 0, 0, 0, 0, 0, 0};
}

// The number behind a key that may be left out where `otherwise` is not 0.
Result<uint32_t> number(const JsonObject& config, const char* key, uint32_t most,
                        uint32_t otherwise) {
  return otherwise ? config.number_or(key, 1, most, otherwise) : config.number(key, 1, most);
}

Result<const Family*> find_family(const JsonObject& config) {
  const Json* names = config.find("architectures");
  if (!names || !names->is_array() || names->empty() || !names->front().is_string()) {
    return config.bad("architectures", "an array with a name");
  }
  const auto name = names->front().get<std::string>();
  std::vector<std::string> known;
  for (const Family& family : kFamilies) {
    if (name == family.name) return &family;
    known.emplace_back(family.name);
  }
  return fail(ENOTSUP, fmt::format("{}: key architectures is {}, expected one of {}", config.path(),
                                   shown(names->front()), fmt::join(known, ", ")));
}

}  // namespace

std::span<const Family> families() { return kFamilies; }

std::string ModelConfig::key(std::string_view name) const {
  return fmt::format("{}.{}", family_->gguf, name);
}

Result<ModelConfig> ModelConfig::read(const JsonObject& config) {
  SLUICE_TRY(const Family* family, find_family(config));
  // Models of texts and images keep what concerns texts in an object of its own.
  SLUICE_TRY(const auto text, config.object("text_config"));
  ModelConfig out(text ? config.merged(*text) : config);
  out.family_ = family;
  SLUICE_CHECK(out.read_shape());
  SLUICE_CHECK(out.check_features());
  SLUICE_CHECK(out.read_layers());
  SLUICE_CHECK(out.read_rope());
  return out;
}

Result<void> ModelConfig::read_shape() {
  const JsonObject& c = config_;
  const Defaults d = defaults_of(family_->gguf);
  Shape& s = shape_;
  SLUICE_TRY(s.n_layers, c.number("num_hidden_layers", 1, kMostLayers));
  SLUICE_TRY(s.dim, c.number("hidden_size", 1, kMostElements));
  SLUICE_TRY(s.ffn_dim, c.number("intermediate_size", 1, kMostElements));
  SLUICE_TRY(s.n_heads, number(c, "num_attention_heads", kMostHeads, d.n_heads));
  SLUICE_TRY(s.n_kv_heads,
             number(c, "num_key_value_heads", kMostHeads, d.n_kv_heads ? d.n_kv_heads : s.n_heads));
  SLUICE_TRY(s.n_ctx, number(c, "max_position_embeddings", kMostTokens, d.n_ctx));
  SLUICE_TRY(s.n_vocab, number(c, "vocab_size", kMostElements, d.n_vocab));
  if (s.n_heads % s.n_kv_heads != 0) {
    return c.bad("num_key_value_heads", fmt::format("a divisor of {} heads", s.n_heads));
  }
  s.states_head_dim = family_->needs_head_dim || c.find("head_dim");
  const uint32_t even_share = s.dim / s.n_heads;
  if (s.states_head_dim) {
    SLUICE_TRY(s.head_dim,
               number(c, "head_dim", kMostHeadDim, d.head_dim ? d.head_dim : even_share));
  } else if (s.dim % s.n_heads != 0 || even_share > kMostHeadDim) {
    return c.bad("hidden_size", fmt::format("{} times 1 to {}", s.n_heads, kMostHeadDim));
  } else {
    s.head_dim = even_share;
  }
  if (s.head_dim % 2 != 0) return c.bad("head_dim", "an even number");
  SLUICE_TRY(s.tied, c.flag_or("tie_word_embeddings", family_->tied));

  set("block_count", s.n_layers);
  set("context_length", s.n_ctx);
  set("embedding_length", s.dim);
  set("feed_forward_length", s.ffn_dim);
  set("attention.head_count", s.n_heads);
  set("attention.head_count_kv", s.n_kv_heads);
  if (s.states_head_dim) {
    set("attention.key_length", s.head_dim);
    set("attention.value_length", s.head_dim);
  }
  SLUICE_TRY(const double epsilon, d.epsilon != 0 ? c.real_or("rms_norm_eps", 0, 1, d.epsilon)
                                                  : c.real("rms_norm_eps", 0, 1));
  set("attention.layer_norm_rms_epsilon", epsilon);
  if (std::string_view(family_->gguf) == "llama") set("vocab_size", s.n_vocab);
  return {};
}

// What would be computed otherwise than the model was trained.
Result<void> ModelConfig::check_features() const {
  const JsonObject& c = config_;
  for (const char* key : {"quantization_config", "num_local_experts", "num_experts"}) {
    if (c.find(key)) return c.unsupported(key, "no such key");
  }
  // Early gemmas say "gelu" and mean its approximation by tanh; "hidden_activation" counts first.
  const char* key = c.find("hidden_activation") ? "hidden_activation" : "hidden_act";
  const std::string_view otherwise = family_->gelu ? "gelu_pytorch_tanh" : "silu";
  SLUICE_TRY(const std::string act, c.text_or(key, otherwise));
  const bool good = family_->gelu ? act == "gelu" || act == "gelu_pytorch_tanh" : act == "silu";
  if (!good) return c.unsupported(key, fmt::format("\"{}\"", otherwise));
  return {};
}

// Windows of local layers, caps of scores and logits, the scale of queries.
Result<void> ModelConfig::read_layers() {
  const JsonObject& c = config_;
  const std::string_view architecture = family_->gguf;
  const bool gemma2 = architecture == "gemma2", gemma3 = architecture == "gemma3";
  const bool mistral = std::string_view(family_->name) == "MistralForCausalLM";
  if (gemma2 || gemma3) {
    SLUICE_TRY(const uint32_t window, gemma2 ? c.number_or("sliding_window", 1, kMostTokens, 4096)
                                             : c.number("sliding_window", 1, kMostTokens));
    set("attention.sliding_window", window);
    const uint32_t usual = gemma2 ? 2 : 6;
    const char* key =
        c.find("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern";
    SLUICE_TRY(const uint32_t period, c.number_or(key, 1, kMostLayers, usual));
    if (period != usual) return c.unsupported(key, fmt::format("{}", usual));
    const Json* types = c.find("layer_types");
    for (uint32_t i = 0; types && i < shape_.n_layers; ++i) {
      const char* wanted = i % usual < usual - 1 ? "sliding_attention" : "full_attention";
      if (!types->is_array() || types->size() != shape_.n_layers || (*types)[i] != wanted) {
        return c.unsupported("layer_types", fmt::format("{} types, every {}th \"full_attention\"",
                                                        shape_.n_layers, usual));
      }
    }
    SLUICE_TRY(const double scalar, c.real_or("query_pre_attn_scalar", 0, 1e6, shape_.head_dim));
    // The widest of a family scale by dim / heads; engines know them by their number of layers.
    const bool widest = shape_.n_layers == (gemma2 ? 46u : 62u);
    const uint32_t expected = widest ? shape_.dim / shape_.n_heads : shape_.head_dim;
    if (scalar != expected) {
      return c.unsupported("query_pre_attn_scalar", fmt::format("{}", expected));
    }
  } else if (architecture == "phi3") {
    // Stock writes the key and heeds it not; 0 tells a Phi-4 apart.
    SLUICE_TRY(const uint32_t window, c.number_or("sliding_window", 0, kMostTokens, 0));
    set("attention.sliding_window", window);
  } else if (mistral && c.find("sliding_window")) {
    SLUICE_TRY(const uint32_t window, c.number("sliding_window", 1, kMostTokens));
    set("attention.sliding_window", window);
  }
  SLUICE_TRY(const bool windows, c.flag_or("use_sliding_window", false));
  if (windows) {
    SLUICE_TRY(const uint32_t first, c.number_or("max_window_layers", 0, kMostLayers, 0));
    if (first < shape_.n_layers) return c.unsupported("use_sliding_window", "false");
  }
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (!c.find(key)) continue;
    SLUICE_TRY(const double cap, c.real(key, 1e-3, 1e6));
    if (!gemma2 && !(gemma3 && key[0] == 'f')) return c.unsupported(key, "null");
    set(key, cap);
  }
  return {};
}

void ModelConfig::write(GgufWriter& writer) const {
  for (const auto& [name, value] : numbers_) writer.set_u32(key(name), value);
  for (const auto& [name, value] : reals_) writer.set_f32(key(name), static_cast<float>(value));
  if (!scaling_.empty()) writer.set_string(key("rope.scaling.type"), scaling_);
}

void ModelConfig::plan_layer(uint32_t i, std::vector<PlannedTensor>& out) const {
  const Shape& s = shape_;
  const auto add = [&](const char* name, const char* source, std::vector<uint64_t> shape,
                       Change change = Change::kNone, uint32_t n_heads = 0) {
    out.push_back({fmt::format("blk.{}.{}.weight", i, name),
                   fmt::format("layers.{}.{}.weight", i, source),
                   std::move(shape),
                   change,
                   n_heads,
                   false,
                   {}});
  };
  const auto norm = [&](const char* name, const char* source, uint32_t n) {
    add(name, source, {n}, family_->norm_plus_one ? Change::kPlusOne : Change::kNone);
  };
  // With a bias, where the checkpoint has one.
  const auto linear = [&](const char* name, const char* source, uint32_t n_in, uint64_t n_out,
                          uint32_t n_permuted_heads = 0) {
    const Change change = n_permuted_heads ? Change::kPermute : Change::kNone;
    add(name, source, {n_in, n_out}, change, n_permuted_heads);
    out.push_back({fmt::format("blk.{}.{}.bias", i, name),
                   fmt::format("layers.{}.{}.bias", i, source),
                   {n_out},
                   change,
                   n_permuted_heads,
                   true,
                   {}});
  };
  norm("attn_norm", "input_layernorm", s.dim);
  if (family_->fused) {
    linear("attn_qkv", "self_attn.qkv_proj", s.dim, uint64_t{s.q_dim()} + 2 * s.kv_dim());
  } else {
    linear("attn_q", "self_attn.q_proj", s.dim, s.q_dim(), family_->permuted ? s.n_heads : 0);
    linear("attn_k", "self_attn.k_proj", s.dim, s.kv_dim(), family_->permuted ? s.n_kv_heads : 0);
    linear("attn_v", "self_attn.v_proj", s.dim, s.kv_dim());
  }
  if (family_->head_norms) {
    norm("attn_q_norm", "self_attn.q_norm", s.head_dim);
    norm("attn_k_norm", "self_attn.k_norm", s.head_dim);
  }
  linear("attn_output", "self_attn.o_proj", s.q_dim(), s.dim);
  if (family_->post_norms) {
    norm("post_attention_norm", "post_attention_layernorm", s.dim);
    norm("ffn_norm", "pre_feedforward_layernorm", s.dim);
  } else {
    norm("ffn_norm", "post_attention_layernorm", s.dim);
  }
  if (family_->fused) {
    linear("ffn_up", "mlp.gate_up_proj", s.dim, uint64_t{2} * s.ffn_dim);
  } else {
    linear("ffn_gate", "mlp.gate_proj", s.dim, s.ffn_dim);
    linear("ffn_up", "mlp.up_proj", s.dim, s.ffn_dim);
  }
  linear("ffn_down", "mlp.down_proj", s.ffn_dim, s.dim);
  if (family_->post_norms) norm("post_ffw_norm", "post_feedforward_layernorm", s.dim);
}

std::vector<PlannedTensor> ModelConfig::plan() const {
  const Shape& s = shape_;
  std::vector<PlannedTensor> out = extra_;
  const Change norm = family_->norm_plus_one ? Change::kPlusOne : Change::kNone;
  out.push_back({"token_embd.weight", "embed_tokens.weight", {s.dim, s.n_vocab}});
  for (uint32_t i = 0; i < s.n_layers; ++i) plan_layer(i, out);
  out.push_back({"output_norm.weight", "norm.weight", {s.dim}, norm});
  if (!s.tied) out.push_back({"output.weight", "lm_head.weight", {s.dim, s.n_vocab}});
  return out;
}

}  // namespace sluice::hf
