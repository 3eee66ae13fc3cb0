// SPDX-License-Identifier: Apache-2.0
// The llama family: RMSNorm, rotary embedding, grouped-query attention, SwiGLU, tied or separate
// output. Layers: arXiv:2302.13971; names of keys and tensors: GGUF's convention for "llama".
#include <fmt/format.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "model/program.h"
#include "model/rope.h"
#include "ops/activation.h"
#include "quant/format.h"

namespace sluice {
namespace {

// A weight as the list will name it.
struct Weight {
  const GgufTensor* tensor = nullptr;
  const Format* format = nullptr;
};

// A vector of floats: a tensor of the file as it stands, or a converted copy.
struct Vector {
  const GgufTensor* tensor = nullptr;
  uint64_t constant = 0;  // offset of the copy in the constants, if there is no tensor
};

struct Layer {
  Vector attn_norm, ffn_norm;
  Weight q, k, v, attn_output, gate, up, down;
};

class Llama : public Architecture {
 public:
  explicit Llama(const GgufFile& file) : file_(file) {}
  Result<void> load();
  Result<Program> compile(const CompileOptions& options) const override;
  uint64_t kv_bytes_per_token() const override {
    return uint64_t{2} * sizeof(uint16_t) * info_.n_layers * kv_dim();
  }

 private:
  struct Graph;

  Result<void> load_shape();
  Result<void> load_rope();
  Result<void> load_tensors();
  Result<uint32_t> number(const char* key, uint32_t most) const;
  Result<uint32_t> number_or(const char* key, uint32_t most, uint32_t otherwise) const;
  Result<Weight> matrix(const std::string& name, uint32_t n_in, uint32_t n_out) const;
  Result<Vector> norm(const std::string& name);
  uint64_t add_constants(const void* data, size_t bytes);
  uint32_t q_dim() const { return info_.n_heads * info_.head_dim; }
  uint32_t kv_dim() const { return info_.n_kv_heads * info_.head_dim; }

  const GgufFile& file_;
  float epsilon_ = 0;
  RopeParams rope_;
  SegmentAddress phases_;
  Vector output_norm_;
  Weight embedding_, output_;
  std::vector<Layer> layers_;
};

// --- reading the file --------------------------------------------------------------------------

constexpr uint32_t kMostElements = 1u << 24;  // of any one dimension that a key states

Result<uint32_t> Llama::number(const char* key, uint32_t most) const {
  const std::string name = std::string("llama.") + key;
  SLUICE_TRY(const uint64_t value, file_.get_u64(name));
  if (value == 0 || value > most) {
    return fail(EBADMSG,
                fmt::format("{}: key {} is {}, expected 1 to {}", file_.path(), name, value, most));
  }
  return static_cast<uint32_t>(value);
}

Result<uint32_t> Llama::number_or(const char* key, uint32_t most, uint32_t otherwise) const {
  if (!file_.find(std::string("llama.") + key)) return otherwise;
  return number(key, most);
}

Result<void> Llama::load_shape() {
  info_.path = file_.path();
  info_.architecture = "llama";
  if (const auto name = file_.get_string("general.name")) info_.name = *name;
  if (info_.name.empty()) info_.name = info_.path.substr(info_.path.find_last_of('/') + 1);
  SLUICE_TRY(info_.n_layers, number("block_count", 4096));
  SLUICE_TRY(info_.dim, number("embedding_length", kMostElements));
  SLUICE_TRY(info_.ffn_dim, number("feed_forward_length", kMostElements));
  SLUICE_TRY(info_.n_ctx_train, number("context_length", 1u << 30));
  SLUICE_TRY(info_.n_heads, number("attention.head_count", 65536));
  SLUICE_TRY(info_.n_kv_heads, number_or("attention.head_count_kv", 65536, info_.n_heads));
  if (info_.n_heads % info_.n_kv_heads != 0) {
    return fail(EBADMSG, fmt::format("{}: {} heads are no multiple of {} KV heads", file_.path(),
                                     info_.n_heads, info_.n_kv_heads));
  }
  const uint32_t even_share = info_.dim / info_.n_heads;
  SLUICE_TRY(info_.head_dim, number_or("attention.key_length", 1024, even_share));
  SLUICE_TRY(const uint32_t value_dim, number_or("attention.value_length", 1024, info_.head_dim));
  if (info_.head_dim == 0 || info_.head_dim > 1024 || value_dim != info_.head_dim) {
    return fail(EBADMSG,
                fmt::format("{}: heads of {} keys and {} values, expected the same number, "
                            "1 to 1024",
                            file_.path(), info_.head_dim, value_dim));
  }
  SLUICE_TRY(const double epsilon, file_.get_f64("llama.attention.layer_norm_rms_epsilon"));
  if (!(epsilon >= 0 && epsilon < 1)) {
    return fail(EBADMSG, fmt::format("{}: key llama.attention.layer_norm_rms_epsilon is {}, "
                                     "expected 0 to 1",
                                     file_.path(), epsilon));
  }
  epsilon_ = static_cast<float>(epsilon);
  return {};
}

Result<void> Llama::load_rope() {
  SLUICE_TRY(rope_.n_rot, number_or("rope.dimension_count", info_.head_dim, info_.head_dim));
  if (rope_.n_rot % 2 != 0) {
    return fail(EBADMSG, fmt::format("{}: key llama.rope.dimension_count is {}, expected an even "
                                     "number",
                                     file_.path(), rope_.n_rot));
  }
  if (file_.find("llama.rope.freq_base")) {
    SLUICE_TRY(rope_.base, file_.get_f64("llama.rope.freq_base"));
  }
  if (file_.find("llama.rope.scaling.type")) {
    SLUICE_TRY(const std::string_view type, file_.get_string("llama.rope.scaling.type"));
    if (type == "linear") {
      SLUICE_TRY(rope_.scale, file_.get_f64("llama.rope.scaling.factor"));
    } else if (type != "none") {
      return fail(ENOTSUP, fmt::format("{}: RoPE scaling \"{}\": expected none or linear",
                                       file_.path(), type));
    }
  }
  if (!(rope_.base >= 1 && rope_.base < 1e12) || !(rope_.scale >= 1e-3 && rope_.scale < 1e6)) {
    return fail(EBADMSG, fmt::format("{}: RoPE base {} or scaling factor {} is out of range",
                                     file_.path(), rope_.base, rope_.scale));
  }
  if (const GgufTensor* factors = file_.find_tensor("rope_freqs.weight")) {
    const Format* format = find_format(factors->type);
    if (factors->n_elements() != rope_.n_rot / 2 || !format || !format->decode ||
        format->block_size != 1) {
      return fail(EBADMSG, fmt::format("{}: tensor rope_freqs.weight: expected {} floats",
                                       file_.path(), rope_.n_rot / 2));
    }
    rope_.factors.resize(rope_.n_rot / 2);
    format->decode(file_.data(*factors).data(), rope_.factors.data(), rope_.factors.size());
    for (const float f : rope_.factors) {
      if (!(f >= 1e-3f && f < 1e6f)) {
        return fail(EBADMSG,
                    fmt::format("{}: tensor rope_freqs.weight: a factor of {}", file_.path(), f));
      }
    }
  }
  const auto increments = rope_increments(rope_);
  phases_ = {kSegmentConstants, add_constants(increments.data(), increments.size() * 8)};
  return {};
}

uint64_t Llama::add_constants(const void* data, size_t bytes) {
  const size_t at = (constants_.size() + 63) / 64 * 64;
  constants_.resize(at + bytes);
  std::memcpy(constants_.data() + at, data, bytes);
  return at;
}

Result<Weight> Llama::matrix(const std::string& name, uint32_t n_in, uint32_t n_out) const {
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
  return Weight{tensor, format};
}

// A vector of dim floats: the file's own if it is f32 and aligned, else a converted copy.
Result<Vector> Llama::norm(const std::string& name) {
  SLUICE_TRY(const Weight w, matrix(name, info_.dim, 1));
  const uint64_t offset = file_.data_offset() + w.tensor->offset;
  if (w.format->id == SLUICE_SDI_TYPE_F32 && offset % alignof(float) == 0) {
    return Vector{w.tensor, 0};
  }
  std::vector<float> values(info_.dim);
  w.format->decode(file_.data(*w.tensor).data(), values.data(), values.size());
  return Vector{nullptr, add_constants(values.data(), values.size() * sizeof(float))};
}

Result<void> Llama::load_tensors() {
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
  output_ = embedding_;
  if (file_.find_tensor("output.weight")) {
    SLUICE_TRY(output_, matrix("output.weight", info_.dim, info_.n_vocab));
  }
  SLUICE_TRY(output_norm_, norm("output_norm.weight"));
  for (uint32_t i = 0; i < info_.n_layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    const auto name = [&](const char* part) { return prefix + part + ".weight"; };
    Layer l;
    SLUICE_TRY(l.attn_norm, norm(name("attn_norm")));
    SLUICE_TRY(l.q, matrix(name("attn_q"), info_.dim, q_dim()));
    SLUICE_TRY(l.k, matrix(name("attn_k"), info_.dim, kv_dim()));
    SLUICE_TRY(l.v, matrix(name("attn_v"), info_.dim, kv_dim()));
    SLUICE_TRY(l.attn_output, matrix(name("attn_output"), q_dim(), info_.dim));
    SLUICE_TRY(l.ffn_norm, norm(name("ffn_norm")));
    SLUICE_TRY(l.gate, matrix(name("ffn_gate"), info_.dim, info_.ffn_dim));
    SLUICE_TRY(l.up, matrix(name("ffn_up"), info_.dim, info_.ffn_dim));
    SLUICE_TRY(l.down, matrix(name("ffn_down"), info_.ffn_dim, info_.dim));
    layers_.push_back(l);
  }
  return {};
}

Result<void> Llama::load() {
  SLUICE_CHECK(load_shape());
  SLUICE_CHECK(load_rope());
  return load_tensors();
}

// --- compiling ---------------------------------------------------------------------------------

// The list under construction: the activations by name, and the steps that build a layer.
struct Llama::Graph {
  const Llama& m;
  const CompileOptions& options;
  ListBuilder list;
  uint64_t scratch = 0;
  uint64_t kv = 0;
  uint64_t x_offset = 0;

  // Activations, [elements, tokens] unless said.
  uint32_t x, normed, q, k, v, attended, gate, up;
  uint32_t table, table_sink;                // cos and sin, [n_rot, tokens]
  uint32_t q_heads, q_sink, attended_heads;  // [head_dim, n_heads, tokens]
  uint32_t k_heads;                          // [head_dim, n_kv_heads, tokens]
  // Quantized activations of each kind, one matmul input at a time.
  SegmentAddress quantized_space[kNumActivations];

  Graph(const Llama& model, const CompileOptions& o) : m(model), options(o) {}

  SegmentAddress reserve(uint64_t row_bytes, uint32_t rows) {
    const SegmentAddress at{kSegmentScratch, scratch};
    scratch += (row_bytes * rows + 63) / 64 * 64;
    return at;
  }
  uint32_t activation(SegmentAddress at, uint32_t n) {
    return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {n, options.max_tokens},
                       uint64_t{n} * 4, at);
  }
  uint32_t heads(SegmentAddress at, uint32_t n_heads) {
    const uint32_t d = m.info_.head_dim;
    return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS,
                       {d, n_heads, options.max_tokens}, uint64_t{d} * 4, at);
  }
  SegmentAddress space(uint32_t n) { return reserve(uint64_t{n} * 4, options.max_tokens); }

  uint32_t weight(const Weight& w) {
    const auto n_in = static_cast<uint32_t>(w.tensor->shape[0]);
    const auto n_out = static_cast<uint32_t>(w.tensor->shape[1]);
    return list.tensor(static_cast<uint16_t>(w.format->id), SLUICE_SDI_ROWS_FIXED, {n_in, n_out},
                       w.format->bytes(n_in), {kSegmentWeights, options.place(*w.tensor)});
  }
  uint32_t norm_weight(const Vector& v) {
    const SegmentAddress at = v.tensor ? SegmentAddress{kSegmentWeights, options.place(*v.tensor)}
                                       : SegmentAddress{kSegmentConstants, v.constant};
    return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {m.info_.dim},
                       uint64_t{m.info_.dim} * 4, at);
  }
  void norm(uint32_t dst, uint32_t src, const Vector& w) {
    list.add(SLUICE_SDI_OP_RMS_NORM, dst, {src, norm_weight(w)},
             {std::bit_cast<uint32_t>(m.epsilon_)});
  }

  // The activations as a weight wants them: as they are, or quantized once for all that follow.
  struct Input {
    uint32_t f32;
    uint32_t n;
    uint16_t rows;
    uint32_t quantized[kNumActivations] = {SLUICE_SDI_NONE, SLUICE_SDI_NONE};
  };
  Input input(uint32_t f32, uint32_t n, uint16_t rows) { return {f32, n, rows}; }
  void matmul(uint32_t dst, const Weight& w, Input& in, uint16_t flags = 0);
  void allocate();
  void layer(const Layer& l);
  void attention(const Layer& l);
  uint32_t cache(uint16_t rank, uint64_t at);
  uint64_t output();
};

void Llama::Graph::matmul(uint32_t dst, const Weight& w, Input& in, uint16_t flags) {
  uint32_t src = in.f32;
  if (const Activation* kind = find_activation(w.format->activation)) {
    const size_t i = static_cast<size_t>(kind - kActivations);
    if (in.quantized[i] == SLUICE_SDI_NONE) {
      const uint32_t most =
          in.rows == SLUICE_SDI_ROWS_OUTPUTS ? options.max_outputs : options.max_tokens;
      in.quantized[i] = list.tensor(static_cast<uint16_t>(kind->type), in.rows, {in.n, most},
                                    kind->row_bytes(in.n), quantized_space[i]);
      list.add(SLUICE_SDI_OP_QUANTIZE, in.quantized[i], {in.f32});
    }
    src = in.quantized[i];
  }
  list.add(SLUICE_SDI_OP_MATMUL, dst, {weight(w), src}, {}, flags);
}

void Llama::Graph::allocate() {
  const ModelInfo& i = m.info_;
  const SegmentAddress x_at = space(i.dim);
  x_offset = x_at.offset;
  x = activation(x_at, i.dim);
  normed = activation(space(i.dim), i.dim);
  const SegmentAddress q_at = space(m.q_dim()), k_at = space(m.kv_dim());
  q = activation(q_at, m.q_dim());
  q_heads = heads(q_at, i.n_heads);
  k = activation(k_at, m.kv_dim());
  k_heads = heads(k_at, i.n_kv_heads);
  v = activation(space(m.kv_dim()), m.kv_dim());
  q_sink = heads(space(m.q_dim()), i.n_heads);
  const SegmentAddress attended_at = space(m.q_dim());
  attended = activation(attended_at, m.q_dim());
  attended_heads = heads(attended_at, i.n_heads);
  gate = activation(space(i.ffn_dim), i.ffn_dim);
  up = activation(space(i.ffn_dim), i.ffn_dim);
  table = activation(space(m.rope_.n_rot), m.rope_.n_rot);
  table_sink = activation(space(m.rope_.n_rot), m.rope_.n_rot);
  const uint32_t widest = std::max({i.dim, i.ffn_dim, m.q_dim()});
  const uint32_t rows = std::max(options.max_tokens, options.max_outputs);
  for (size_t kind = 0; kind < kNumActivations; ++kind) {
    quantized_space[kind] = reserve(kActivations[kind].row_bytes(widest), rows);
  }
}

// A layer's half of its cache as [kv_dim, slots] (rank 2) or [head_dim, n_kv_heads, slots].
uint32_t Llama::Graph::cache(uint16_t rank, uint64_t at) {
  const SegmentAddress where{kSegmentKv, at};
  if (rank == 2) {
    return list.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED, {m.kv_dim(), options.n_slots},
                       uint64_t{m.kv_dim()} * 2, where);
  }
  return list.tensor(SLUICE_SDI_TYPE_F16, SLUICE_SDI_ROWS_FIXED,
                     {m.info_.head_dim, m.info_.n_kv_heads, options.n_slots},
                     uint64_t{m.info_.head_dim} * 2, where);
}

void Llama::Graph::attention(const Layer& l) {
  Input in = input(normed, m.info_.dim, SLUICE_SDI_ROWS_TOKENS);
  matmul(q, l.q, in);
  matmul(k, l.k, in);
  matmul(v, l.v, in);
  // The first block is looked at from where the token stands in the cache, the others from where it
  // stands in the text: the distances stay within the window.
  list.add(SLUICE_SDI_OP_ROPE, q_sink, {q_heads, table_sink}, {SLUICE_SDI_ROPE_ADJACENT});
  list.add(SLUICE_SDI_OP_ROPE, q_heads, {q_heads, table}, {SLUICE_SDI_ROPE_ADJACENT});
  list.add(SLUICE_SDI_OP_ROPE, k_heads, {k_heads, table}, {SLUICE_SDI_ROPE_ADJACENT});
  const uint64_t half = uint64_t{m.kv_dim()} * 2 * options.n_slots;
  list.add(SLUICE_SDI_OP_KV_WRITE, cache(2, kv), {k});
  list.add(SLUICE_SDI_OP_KV_WRITE, cache(2, kv + half), {v});
  const float scale = 1.0f / std::sqrt(static_cast<float>(m.info_.head_dim));
  list.add(SLUICE_SDI_OP_ATTENTION, attended_heads,
           {q_heads, q_sink, cache(3, kv), cache(3, kv + half)}, {std::bit_cast<uint32_t>(scale)});
  kv += 2 * half;
}

void Llama::Graph::layer(const Layer& l) {
  norm(normed, x, l.attn_norm);
  attention(l);
  Input heads_out = input(attended, m.q_dim(), SLUICE_SDI_ROWS_TOKENS);
  matmul(x, l.attn_output, heads_out, SLUICE_SDI_FLAG_ADD);
  norm(normed, x, l.ffn_norm);
  Input in = input(normed, m.info_.dim, SLUICE_SDI_ROWS_TOKENS);
  matmul(gate, l.gate, in);
  matmul(up, l.up, in);
  list.add(SLUICE_SDI_OP_GLU, gate, {gate, up}, {SLUICE_SDI_GLU_SILU});
  Input wide = input(gate, m.info_.ffn_dim, SLUICE_SDI_ROWS_TOKENS);
  matmul(x, l.down, wide, SLUICE_SDI_FLAG_ADD);
}

// The rows whose logits are wanted, normed and multiplied; the bytes that the logits take.
uint64_t Llama::Graph::output() {
  const ModelInfo& i = m.info_;
  const auto rows = [&](uint32_t n, SegmentAddress at) {
    return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_OUTPUTS, {n, options.max_outputs},
                       uint64_t{n} * 4, at);
  };
  const uint32_t chosen = rows(i.dim, reserve(uint64_t{i.dim} * 4, options.max_outputs));
  list.add(SLUICE_SDI_OP_SELECT, chosen, {x});
  norm(chosen, chosen, m.output_norm_);
  Input in = input(chosen, i.dim, SLUICE_SDI_ROWS_OUTPUTS);
  matmul(rows(i.n_vocab, {kSegmentLogits, 0}), m.output_, in);
  return uint64_t{i.n_vocab} * 4 * options.max_outputs;
}

Result<Program> Llama::compile(const CompileOptions& options) const {
  Graph g(*this, options);
  g.allocate();
  if (options.first_layer == 0) g.list.add(SLUICE_SDI_OP_EMBED, g.x, {g.weight(embedding_)});
  const uint32_t phases = g.list.tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED,
                                        {rope_.n_rot / 2}, uint64_t{rope_.n_rot} * 4, phases_);
  g.list.add(SLUICE_SDI_OP_ROPE_TABLE, g.table, {phases}, {SLUICE_SDI_POSITION});
  g.list.add(SLUICE_SDI_OP_ROPE_TABLE, g.table_sink, {phases}, {SLUICE_SDI_CONTEXT});
  for (uint32_t i = options.first_layer; i < options.end_layer; ++i) g.layer(layers_[i]);
  Program out;
  if (options.end_layer == info_.n_layers) out.logits_bytes = g.output();
  out.list = g.list.take();
  out.scratch_bytes = g.scratch;
  out.kv_bytes = g.kv;
  out.x_offset = g.x_offset;
  return out;
}

}  // namespace

Result<std::unique_ptr<Architecture>> load_llama(const GgufFile& file) {
  auto model = std::make_unique<Llama>(file);
  SLUICE_CHECK(model->load());
  return Result<std::unique_ptr<Architecture>>(std::move(model));
}

}  // namespace sluice
