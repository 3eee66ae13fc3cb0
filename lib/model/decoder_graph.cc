// SPDX-License-Identifier: Apache-2.0
// Compiling a decoder: its layers as commands over activations in the scratch segment.
#include <algorithm>
#include <bit>

#include "model/decoder.h"
#include "ops/activation.h"

namespace sluice {

// The list under construction: the activations by name, and the steps that build a layer.
class Decoder::Graph {
 public:
  Graph(const Decoder& model, const CompileOptions& options) : m(model), options(options) {}
  Program build();

 private:
  // cos and sin of a kind of layers, [n_rot, tokens]: by the place in the text and in the cache.
  struct Tables {
    uint32_t text = SLUICE_SDI_NONE, cache = SLUICE_SDI_NONE;
  };
  // The activations as a weight wants them: as they are, or quantized once for all that follow.
  struct Input {
    uint32_t f32;
    uint32_t n;
    uint16_t rows;
    uint32_t quantized[kNumActivations] = {SLUICE_SDI_NONE, SLUICE_SDI_NONE};
  };

  SegmentAddress reserve(uint64_t row_bytes, uint32_t rows);
  SegmentAddress space(uint32_t n) { return reserve(uint64_t{n} * 4, options.max_tokens); }
  uint32_t activation(SegmentAddress at, uint32_t n);
  uint32_t heads(SegmentAddress at, uint32_t n_heads);
  uint32_t weight(const Matrix& w);
  uint32_t vector(const Vector& v);
  uint32_t cache(uint16_t rank, uint64_t at);
  void allocate();
  Tables tables(const Phases& phases);

  Input input(uint32_t f32, uint32_t n, uint16_t rows = SLUICE_SDI_ROWS_TOKENS) {
    return {f32, n, rows};
  }
  void matmul(uint32_t dst, const Matrix& w, Input& in, uint16_t flags = 0);
  void linear(uint32_t dst, const Linear& l, Input& in, uint16_t flags = 0);
  void norm(uint32_t dst, uint32_t src, const Vector& w);
  void residual(const Linear& l, Input& in, const Vector& post_norm);
  void attention(const DecoderLayer& l);
  void feed_forward(const DecoderLayer& l);
  uint64_t output();

  const Decoder& m;
  const CompileOptions& options;
  ListBuilder list;
  uint64_t scratch = 0;
  uint64_t kv = 0;
  uint64_t x_offset = 0;

  // Activations, [elements, tokens] unless said.
  uint32_t x, normed, q, k, v, attended, gate, up;
  uint32_t q_heads, q_sink, attended_heads;  // [head_dim, n_heads, tokens]
  uint32_t k_heads;                          // [head_dim, n_kv_heads, tokens]
  Tables all, local;
  // Quantized activations of each kind, one matmul input at a time.
  SegmentAddress quantized_space[kNumActivations];
};

SegmentAddress Decoder::Graph::reserve(uint64_t row_bytes, uint32_t rows) {
  const SegmentAddress at{kSegmentScratch, scratch};
  scratch += (row_bytes * rows + 63) / 64 * 64;
  return at;
}

uint32_t Decoder::Graph::activation(SegmentAddress at, uint32_t n) {
  return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {n, options.max_tokens},
                     uint64_t{n} * 4, at);
}

uint32_t Decoder::Graph::heads(SegmentAddress at, uint32_t n_heads) {
  const uint32_t d = m.info_.head_dim;
  return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, {d, n_heads, options.max_tokens},
                     uint64_t{d} * 4, at);
}

uint32_t Decoder::Graph::weight(const Matrix& w) {
  const auto n_in = static_cast<uint32_t>(w.tensor->shape[0]);
  const uint64_t row_bytes = w.format->bytes(n_in);
  return list.tensor(static_cast<uint16_t>(w.format->id), SLUICE_SDI_ROWS_FIXED, {n_in, w.n_rows},
                     row_bytes,
                     {kSegmentWeights, options.place(*w.tensor) + w.first_row * row_bytes});
}

uint32_t Decoder::Graph::vector(const Vector& v) {
  const SegmentAddress at =
      v.tensor ? SegmentAddress{kSegmentWeights, options.place(*v.tensor) + v.first * 4}
               : SegmentAddress{kSegmentConstants, v.first};
  return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {v.n}, uint64_t{v.n} * 4, at);
}

// A layer's half of its cache as [kv_dim, slots] (rank 2) or [head_dim, n_kv_heads, slots].
uint32_t Decoder::Graph::cache(uint16_t rank, uint64_t at) {
  const SegmentAddress where{kSegmentKv, at};
  const Format& format = *options.kv_format;
  const auto type = static_cast<uint16_t>(format.id);
  if (rank == 2) {
    return list.tensor(type, SLUICE_SDI_ROWS_FIXED, {m.kv_dim(), options.n_slots},
                       format.bytes(m.kv_dim()), where);
  }
  return list.tensor(type, SLUICE_SDI_ROWS_FIXED,
                     {m.info_.head_dim, m.info_.n_kv_heads, options.n_slots},
                     format.bytes(m.info_.head_dim), where);
}

void Decoder::Graph::allocate() {
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
  const uint32_t widest = std::max({i.dim, i.ffn_dim, m.q_dim()});
  const uint32_t rows = std::max(options.max_tokens, options.max_outputs);
  for (size_t kind = 0; kind < kNumActivations; ++kind) {
    quantized_space[kind] = reserve(kActivations[kind].row_bytes(widest), rows);
  }
}

// Longer contexts than the original can come about if the cache has room for them: then every
// token's angles are those for longer ones, as keys stay in the cache as they were rotated.
Decoder::Graph::Tables Decoder::Graph::tables(const Phases& p) {
  const SegmentAddress at = options.n_slots > p.n_ctx_original ? p.beyond : p.near;
  const uint32_t phases = list.tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED, {p.n_rot / 2},
                                      uint64_t{p.n_rot} * 4, at);
  const Tables out = {activation(space(p.n_rot), p.n_rot), activation(space(p.n_rot), p.n_rot)};
  const uint32_t magnitude = p.magnitude == 1 ? 0 : std::bit_cast<uint32_t>(p.magnitude);
  list.add(SLUICE_SDI_OP_ROPE_TABLE, out.text, {phases}, {SLUICE_SDI_POSITION, magnitude});
  list.add(SLUICE_SDI_OP_ROPE_TABLE, out.cache, {phases}, {SLUICE_SDI_CONTEXT, magnitude});
  return out;
}

void Decoder::Graph::matmul(uint32_t dst, const Matrix& w, Input& in, uint16_t flags) {
  uint32_t src = in.f32;
  const Activation* kind = find_activation(w.format->activation);
  if (options.fast && in.rows == SLUICE_SDI_ROWS_TOKENS && (!kind || in.n % kA8KBlock == 0)) {
    if (kind) kind = find_activation(SLUICE_SDI_TYPE_A8K);
    flags |= SLUICE_SDI_FLAG_FAST;
  }
  if (kind) {
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

void Decoder::Graph::linear(uint32_t dst, const Linear& l, Input& in, uint16_t flags) {
  matmul(dst, l.weight, in, flags);
  if (l.bias.n != 0) list.add(SLUICE_SDI_OP_ADD, dst, {dst, vector(l.bias)});
}

void Decoder::Graph::norm(uint32_t dst, uint32_t src, const Vector& w) {
  list.add(SLUICE_SDI_OP_RMS_NORM, dst, {src, vector(w)}, {std::bit_cast<uint32_t>(m.epsilon_)});
}

// x += the product, or what a norm makes of it.
void Decoder::Graph::residual(const Linear& l, Input& in, const Vector& post_norm) {
  if (post_norm.n == 0) {
    linear(x, l, in, SLUICE_SDI_FLAG_ADD);
    return;
  }
  linear(normed, l, in);
  norm(normed, normed, post_norm);
  list.add(SLUICE_SDI_OP_ADD, x, {x, normed});
}

void Decoder::Graph::attention(const DecoderLayer& l) {
  norm(normed, x, l.attn_norm);
  Input in = input(normed, m.info_.dim);
  linear(q, l.q, in);
  linear(k, l.k, in);
  linear(v, l.v, in);
  if (l.q_norm.n != 0) norm(q_heads, q_heads, l.q_norm);
  if (l.k_norm.n != 0) norm(k_heads, k_heads, l.k_norm);
  // The first block is looked at from where the token stands in the cache, the others from where it
  // stands in the text: the distances stay within the window.
  const Tables& t = l.local ? local : all;
  const uint32_t pairing = m.kind_.pairing;
  list.add(SLUICE_SDI_OP_ROPE, q_sink, {q_heads, t.cache}, {pairing});
  list.add(SLUICE_SDI_OP_ROPE, q_heads, {q_heads, t.text}, {pairing});
  list.add(SLUICE_SDI_OP_ROPE, k_heads, {k_heads, t.text}, {pairing});
  const uint64_t half = options.kv_format->bytes(m.kv_dim()) * options.n_slots;
  list.add(SLUICE_SDI_OP_KV_WRITE, cache(2, kv), {k});
  list.add(SLUICE_SDI_OP_KV_WRITE, cache(2, kv + half), {v});
  list.add(SLUICE_SDI_OP_ATTENTION, attended_heads,
           {q_heads, q_sink, cache(3, kv), cache(3, kv + half)},
           {std::bit_cast<uint32_t>(m.query_scale_), std::bit_cast<uint32_t>(m.attention_cap_),
            l.local ? m.window_ : 0});
  kv += 2 * half;
  Input heads_out = input(attended, m.q_dim());
  residual(l.attn_output, heads_out, l.attn_post_norm);
}

void Decoder::Graph::feed_forward(const DecoderLayer& l) {
  norm(normed, x, l.ffn_norm);
  Input in = input(normed, m.info_.dim);
  linear(gate, l.gate, in);
  linear(up, l.up, in);
  list.add(SLUICE_SDI_OP_GLU, gate, {gate, up}, {m.kind_.glu});
  Input wide = input(gate, m.info_.ffn_dim);
  residual(l.down, wide, l.ffn_post_norm);
}

// The rows whose logits are wanted, normed and multiplied; the bytes that the logits take.
uint64_t Decoder::Graph::output() {
  const ModelInfo& i = m.info_;
  const auto rows = [&](uint32_t n, SegmentAddress at) {
    return list.tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_OUTPUTS, {n, options.max_outputs},
                       uint64_t{n} * 4, at);
  };
  const uint32_t chosen = rows(i.dim, reserve(uint64_t{i.dim} * 4, options.max_outputs));
  list.add(SLUICE_SDI_OP_SELECT, chosen, {x});
  norm(chosen, chosen, m.output_norm_);
  Input in = input(chosen, i.dim, SLUICE_SDI_ROWS_OUTPUTS);
  const uint32_t logits = rows(i.n_vocab, {kSegmentLogits, 0});
  linear(logits, m.output_, in);
  if (m.output_cap_ != 0) {
    list.add(SLUICE_SDI_OP_SOFTCAP, logits, {logits}, {std::bit_cast<uint32_t>(m.output_cap_)});
  }
  return uint64_t{i.n_vocab} * 4 * options.max_outputs;
}

Program Decoder::Graph::build() {
  allocate();
  if (options.first_layer == 0) {
    const auto scale = std::bit_cast<uint32_t>(m.embedding_scale_);
    list.add(SLUICE_SDI_OP_EMBED, x, {weight(m.embedding_)}, {scale});
  }
  const auto layers =
      std::span(m.layers_).subspan(options.first_layer, options.end_layer - options.first_layer);
  const auto has = [&](bool kind) {
    return std::any_of(layers.begin(), layers.end(), [&](auto& l) { return l.local == kind; });
  };
  if (has(false) || m.local_phases_ == m.phases_) all = local = tables(m.phases_);
  if (has(true) && !(m.local_phases_ == m.phases_)) local = tables(m.local_phases_);
  for (const DecoderLayer& l : layers) {
    attention(l);
    feed_forward(l);
  }
  Program out;
  if (options.end_layer == m.info_.n_layers) out.logits_bytes = output();
  out.list = list.take();
  out.scratch_bytes = scratch;
  out.kv_bytes = kv;
  out.x_offset = x_offset;
  return out;
}

Result<Program> Decoder::compile(const CompileOptions& options) const {
  return Graph(*this, options).build();
}

}  // namespace sluice
