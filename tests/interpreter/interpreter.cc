// SPDX-License-Identifier: Apache-2.0
// Sections 10 and 11: step buffers, and the operations in the order and with the roundings that the
// text gives. Built without contraction of products and sums; std::fma stands where the text says.
#include "tests/interpreter/interpreter.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "tests/interpreter/blocks.h"

namespace interpreter {
namespace {

constexpr uint32_t kBlock = SLUICE_SDI_BLOCK_TOKENS;

// A step buffer, copied.
struct Step {
  sluice_sdi_step header;
  std::vector<uint32_t> token, position, context, skip, sequence, slot, output, block_table;
};

// A tensor in memory, with the rows that it has in this step.
struct View {
  const sluice_sdi_tensor* tensor;
  uint8_t* base;
  const Type* type;
  uint64_t n;  // of the last dimension

  uint32_t shape(int d) const { return tensor->shape[d]; }
  uint8_t* row(uint64_t i, uint64_t j = 0) const {
    return tensor->rank == 2 ? base + i * tensor->stride[0]
                             : base + i * tensor->stride[1] + j * tensor->stride[0];
  }
  // f32 element i of a row.
  float at(uint64_t i, uint64_t r, uint64_t s = 0) const { return get<float>(row(r, s) + i * 4); }
  void set(float value, uint64_t i, uint64_t r, uint64_t s = 0) const {
    put(row(r, s) + i * 4, value);
  }
};

struct Call {
  const sluice_sdi_command* command;
  const Step* step;
  View dst, src[5];
};

float tree(float* l) {
  for (int i = 0; i < 8; ++i) l[i] = l[i] + l[i + 8];
  for (int i = 0; i < 4; ++i) l[i] = l[i] + l[i + 4];
  for (int i = 0; i < 2; ++i) l[i] = l[i] + l[i + 2];
  return l[0] + l[1];
}

float dot16(const std::vector<float>& a, const std::vector<float>& b) {
  float l[16] = {};
  for (size_t i = 0; i < a.size(); ++i) l[i % 16] = std::fma(a[i], b[i], l[i % 16]);
  if (a.size() % 16 != 0) {
    for (size_t i = a.size() % 16; i < 16; ++i) l[i] = std::fma(0.0f, 0.0f, l[i]);
  }
  return tree(l);
}

float exp(float x) {
  constexpr float kTerms[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                              1.6666665459e-1f, 5.0000001201e-1f};
  x = x > -87.0f ? x : -87.0f;
  x = x < 88.0f ? x : 88.0f;
  const float n = std::fma(x, 1.44269504088896341f, 12582912.0f) - 12582912.0f;
  float r = std::fma(n, -0.693359375f, x);
  r = std::fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  for (const float c : kTerms) p = std::fma(p, r, c);
  p = std::fma(p, r * r, r) + 1.0f;
  return p * std::ldexp(1.0f, static_cast<int>(n));
}

float tanh(float x) { return 1.0f - 2.0f / (exp(2.0f * x) + 1.0f); }

std::vector<float> f32_row(const View& v, uint64_t i, uint64_t j = 0) {
  std::vector<float> out(v.shape(0));
  std::memcpy(out.data(), v.row(i, j), out.size() * 4);
  return out;
}

float immediate(const Call& c, int i = 0) {
  return std::bit_cast<float>(uint32_t{c.command->imm[i]});
}

// Whether immediate i, where all bits 0 mean that there is none, is given.
bool given(const Call& c, int i) { return c.command->imm[i] != 0; }

void embed(const Call& c) {
  std::vector<float> values(c.dst.shape(0));
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    decode_row(*c.src[0].type, c.src[0].row(c.step->token[t]), c.dst.shape(0), values.data());
    for (uint64_t i = 0; i < values.size(); ++i) {
      c.dst.set(given(c, 0) ? values[i] * immediate(c) : values[i], i, t);
    }
  }
}

void rms_norm_row(const Call& c, uint64_t t, uint64_t h) {
  const std::vector<float> x = f32_row(c.src[0], t, h);
  const float mean = dot16(x, x) / static_cast<float>(x.size());
  const float scale = 1.0f / std::sqrt(mean + immediate(c));
  for (uint64_t i = 0; i < x.size(); ++i) {
    c.dst.set((x[i] * scale) * get<float>(c.src[1].base + i * 4), i, t, h);
  }
}

void rms_norm(const Call& c) {
  const uint64_t n_heads = c.dst.tensor->rank == 3 ? c.dst.shape(1) : 1;
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    for (uint64_t h = 0; h < n_heads; ++h) rms_norm_row(c, t, h);
  }
}

void quantize_block(const float* x, uint32_t n, uint8_t* to) {
  float amax = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > amax) amax = std::fabs(x[i]);
  }
  const bool tiny = amax < std::ldexp(1.0f, -100);
  const float inverse = tiny ? 0.0f : 127.0f / amax;
  put(to, tiny ? 0.0f : amax / 127.0f);
  for (uint32_t i = 0; i < n; ++i) {
    float q = x[i] * inverse;
    q = q > -127.0f ? q : -127.0f;  // no number becomes -127
    q = q < 127.0f ? q : 127.0f;
    to[4 + i] = static_cast<uint8_t>(static_cast<int>(std::nearbyint(q)));
  }
}

void quantize(const Call& c) {
  const uint32_t block = c.dst.type->block;
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    const std::vector<float> x = f32_row(c.src[0], t);
    for (uint32_t b = 0; b < x.size() / block; ++b) {
      quantize_block(x.data() + size_t{b} * block, block,
                     c.dst.row(t) + size_t{b} * c.dst.type->bytes);
    }
  }
}

// The weights of row m as A8K blocks, times each column.
void take_up_fast(const Call& c, uint64_t m, std::vector<float>& sums) {
  const View &weights = c.src[0], &x = c.src[1];
  std::vector<float> w(weights.shape(0));
  decode_row(*weights.type, weights.row(m), weights.shape(0), w.data());
  uint8_t again[4 + 256];
  for (uint32_t b = 0; b < w.size() / 256; ++b) {
    quantize_block(w.data() + size_t{b} * 256, 256, again);
    for (uint64_t n = 0; n < sums.size(); ++n) {
      const uint8_t* column = x.row(n) + size_t{b} * x.type->bytes;
      int isum = 0;
      for (int i = 4; i < 4 + 256; ++i) {
        isum += static_cast<int8_t>(again[i]) * static_cast<int8_t>(column[i]);
      }
      const float scales = get<float>(again) * get<float>(column);
      sums[n] = std::fma(scales, static_cast<float>(isum), sums[n]);
    }
  }
}

// As FAST takes floats: bf16 without what is small, zeros up to a multiple of 32.
std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) {
    const uint32_t upper = to_bf16(value);
    value = std::fabs(value) < std::ldexp(1.0f, -40) ? 0.0f : std::bit_cast<float>(upper << 16);
  }
  values.resize((values.size() + 31) / 32 * 32);
  return values;
}

// Of a row and a column that are rounded.
float fast_dot(const std::vector<float>& w, const std::vector<float>& x) {
  float acc = 0;
  for (size_t at = 0; at < w.size(); at += 32) {
    float even = 0, odd = 0;
    for (size_t i = at; i < at + 32; i += 2) even = std::fma(w[i], x[i], even);
    for (size_t i = at + 1; i < at + 32; i += 2) odd = std::fma(w[i], x[i], odd);
    acc = acc + (even + odd);
  }
  return acc;
}

// Row m of the product, a sum for each column.
std::vector<float> product_row(const Call& c, uint64_t m) {
  const View &weights = c.src[0], &x = c.src[1];
  std::vector<float> sums(c.dst.n, 0.0f);
  if (weights.type->use == Use::kFloatWeights) {
    std::vector<float> w(weights.shape(0));
    decode_row(*weights.type, weights.row(m), weights.shape(0), w.data());
    const bool fast = (c.command->flags & SLUICE_SDI_FLAG_FAST) != 0;
    if (fast) w = rounded(w);
    for (uint64_t n = 0; n < sums.size(); ++n) {
      sums[n] = fast ? fast_dot(w, rounded(f32_row(x, n))) : dot16(w, f32_row(x, n));
    }
    return sums;
  }
  if (c.command->flags & SLUICE_SDI_FLAG_FAST) {
    take_up_fast(c, m, sums);
    return sums;
  }
  Block block;
  for (uint32_t b = 0; b < weights.shape(0) / weights.type->block; ++b) {
    unpack(*weights.type, weights.row(m) + size_t{b} * weights.type->bytes, &block);
    for (uint64_t n = 0; n < sums.size(); ++n) {
      sums[n] = take_up(block, x.row(n) + size_t{b} * x.type->bytes, sums[n]);
    }
  }
  return sums;
}

void matmul(const Call& c) {
  const bool add = (c.command->flags & SLUICE_SDI_FLAG_ADD) != 0;
  for (uint64_t m = 0; m < c.dst.shape(0); ++m) {
    const std::vector<float> sums = product_row(c, m);
    for (uint64_t n = 0; n < sums.size(); ++n) {
      c.dst.set(add ? c.dst.at(m, n) + sums[n] : sums[n], m, n);
    }
  }
}

void rope_table(const Call& c) {
  const auto& places =
      c.command->imm[0] == SLUICE_SDI_POSITION ? c.step->position : c.step->context;
  const float unit = std::ldexp(6.28318530717958647692f, -32);
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    for (uint64_t i = 0; i < c.src[0].shape(0); ++i) {
      const uint64_t phase = places[t] * get<uint64_t>(c.src[0].base + i * 8);
      const uint64_t quarter = (phase + (uint64_t{1} << 61)) >> 62;
      const auto rest = static_cast<int64_t>(phase - (quarter << 62));
      const float x = static_cast<float>(rest >> 32) * unit, z = x * x;
      float s = std::fma(std::fma(-1.9515295891e-4f, z, 8.3321608736e-3f), z, -1.6666654611e-1f);
      s = std::fma(s * z, x, x);
      float k = std::fma(std::fma(2.443315711809948e-5f, z, -1.388731625493765e-3f), z,
                         4.166664568298827e-2f);
      k = std::fma(k, z * z, std::fma(-0.5f, z, 1.0f));
      const float cosines[] = {k, -s, -k, s}, sines[] = {s, k, -s, -k};
      float cosine = cosines[quarter], sine = sines[quarter];
      if (given(c, 1)) {
        cosine = cosine * immediate(c, 1);
        sine = sine * immediate(c, 1);
      }
      c.dst.set(cosine, 2 * i, t);
      c.dst.set(sine, 2 * i + 1, t);
    }
  }
}

void rope(const Call& c) {
  const View &x = c.src[0], &table = c.src[1];
  const uint32_t n_rotated = table.shape(0);
  const bool halves = c.command->imm[0] == SLUICE_SDI_ROPE_HALVES;
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    for (uint32_t h = 0; h < c.dst.shape(1); ++h) {
      for (uint32_t i = 0; i < n_rotated / 2; ++i) {
        const uint32_t first = halves ? i : 2 * i, second = halves ? i + n_rotated / 2 : 2 * i + 1;
        const float cosine = table.at(2 * i, t), sine = table.at(2 * i + 1, t);
        const float a = x.at(first, t, h), b = x.at(second, t, h);
        c.dst.set(a * cosine - b * sine, first, t, h);
        c.dst.set(a * sine + b * cosine, second, t, h);
      }
      for (uint32_t i = n_rotated; i < c.dst.shape(0); ++i) c.dst.set(x.at(i, t, h), i, t, h);
    }
  }
}

void kv_write(const Call& c) {
  for (uint64_t t = 0; t < c.src[0].n; ++t) {
    if (c.step->slot[t] == static_cast<uint32_t>(SLUICE_SDI_NO_SLOT)) continue;
    const std::vector<float> x = f32_row(c.src[0], t);
    uint8_t* row = c.dst.row(c.step->slot[t]);
    for (size_t i = 0; i < x.size(); i += c.dst.type->block, row += c.dst.type->bytes) {
      if (c.dst.type->number == SLUICE_SDI_TYPE_Q8_0) {
        write_q8_0(&x[i], row);
      } else {
        put(row, c.dst.type->number == SLUICE_SDI_TYPE_F16 ? to_f16(x[i]) : to_bf16(x[i]));
      }
    }
  }
}

// One head of one token.
struct Softmax {
  float maximum = -HUGE_VALF, sum = 0;
  std::vector<float> out;

  // The scores of a block's entries u to v - 1, and the row of values of each.
  void take_up(uint32_t u, uint32_t v, const float* score,
               const std::vector<std::vector<float>>& values) {
    float top = -HUGE_VALF;
    for (uint32_t j = u; j < v; ++j) top = score[j] > top ? score[j] : top;
    if (top > maximum) {
      const float shrink = exp(maximum - top);
      sum = sum * shrink;
      for (float& o : out) o = o * shrink;
      maximum = top;
    }
    float w[kBlock] = {};
    for (uint32_t j = u; j < v; ++j) {
      w[j] = exp(score[j] - maximum);
      for (size_t i = 0; i < out.size(); ++i) out[i] = std::fma(w[j], values[j][i], out[i]);
    }
    sum = sum + tree(w);
  }
};

void attend(const Call& c, uint64_t t, uint32_t h) {
  const View &keys = c.src[2], &values = c.src[3];
  const Step& step = *c.step;
  const uint32_t g = h / (c.dst.shape(1) / keys.shape(1)), dim = c.dst.shape(0);
  const std::vector<float> query = f32_row(c.src[0], t, h), sink = f32_row(c.src[1], t, h);
  std::vector<float> key(dim);
  std::vector<std::vector<float>> rows(kBlock, std::vector<float>(dim));
  const uint64_t table = uint64_t{step.sequence[t]} * step.header.n_blocks;
  Softmax softmax;
  softmax.out.resize(dim);
  const uint32_t window = c.command->imm[2], context = step.context[t];
  const uint32_t first = window != 0 && window <= context ? context + 1 - window : 0;
  for (uint32_t b = first / kBlock; b <= context / kBlock; ++b) {
    const uint32_t u = first > kBlock * b ? first - kBlock * b : 0;
    const uint32_t v = std::min(kBlock, context - kBlock * b + 1);
    const uint64_t block = step.block_table[table + (b == 0 ? 0 : uint64_t{b} + step.skip[t])];
    float score[kBlock];
    for (uint32_t j = u; j < v; ++j) {
      decode_row(*keys.type, keys.row(block * kBlock + j, g), dim, key.data());
      decode_row(*values.type, values.row(block * kBlock + j, g), dim, rows[j].data());
      score[j] = immediate(c) * dot16(b == 0 ? sink : query, key);
      if (given(c, 1)) score[j] = immediate(c, 1) * tanh(score[j] / immediate(c, 1));
    }
    softmax.take_up(u, v, score, rows);
  }
  const float inverse = 1.0f / softmax.sum;
  for (uint32_t i = 0; i < dim; ++i) c.dst.set(softmax.out[i] * inverse, i, t, h);
}

void attention(const Call& c) {
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    for (uint32_t h = 0; h < c.dst.shape(1); ++h) attend(c, t, h);
  }
}

// Sets each element of dst from its place.
template <typename F>
void each_element(const Call& c, F f) {
  for (uint64_t t = 0; t < c.dst.n; ++t) {
    for (uint64_t i = 0; i < c.dst.shape(0); ++i) c.dst.set(f(i, t), i, t);
  }
}

void glu(const Call& c) {
  const bool gelu = c.command->imm[0] == SLUICE_SDI_GLU_GELU;
  each_element(c, [&](uint64_t i, uint64_t t) {
    const float gate = c.src[0].at(i, t), up = c.src[1].at(i, t);
    float a = gate;
    if (gelu) a = (gate * 1.59576912160573f) * std::fma(gate * gate, 0.044715f, 1.0f);
    return (gate / (1.0f + exp(-a))) * up;
  });
}

void add(const Call& c) {
  const bool everywhere = c.src[1].tensor->rank == 1;
  each_element(c, [&](uint64_t i, uint64_t t) {
    return c.src[0].at(i, t) + (everywhere ? get<float>(c.src[1].base + i * 4) : c.src[1].at(i, t));
  });
}

void softcap(const Call& c) {
  const float cap = immediate(c);
  each_element(c, [&](uint64_t i, uint64_t t) { return cap * tanh(c.src[0].at(i, t) / cap); });
}

void select(const Call& c) {
  for (uint64_t o = 0; o < c.dst.n; ++o) {
    std::memcpy(c.dst.row(o), c.src[0].row(c.step->output[o]), size_t{c.dst.shape(0)} * 4);
  }
}

using Operation = void (*)(const Call&);
constexpr Operation kOperations[SLUICE_SDI_N_OPS] = {nullptr,    embed, rms_norm, quantize,  matmul,
                                                     rope_table, rope,  kv_write, attention, glu,
                                                     select,     add,   softcap};

// --- Step buffers ---------------------------------------------------------------------------

// What the list asks of a step: the largest numbers that fit.
struct Limits {
  uint64_t n_tokens = UINT64_MAX, n_outputs = UINT64_MAX, n_vocab = UINT64_MAX,
           n_slots = UINT64_MAX;
};

Limits limits_of(const List& list) {
  Limits l;
  const auto lower = [](uint64_t* limit, uint32_t value) {
    *limit = std::min<uint64_t>(*limit, value);
  };
  const auto named = [&](uint32_t index) {
    if (index == SLUICE_SDI_NONE) return;
    const sluice_sdi_tensor& t = list.tensors[index];
    if (t.rows == SLUICE_SDI_ROWS_TOKENS) lower(&l.n_tokens, t.shape[t.rank - 1]);
    if (t.rows == SLUICE_SDI_ROWS_OUTPUTS) lower(&l.n_outputs, t.shape[t.rank - 1]);
  };
  for (const sluice_sdi_command& c : list.commands) {
    named(c.dst);
    for (const uint32_t src : c.src) named(src);
    if (c.op == SLUICE_SDI_OP_EMBED) lower(&l.n_vocab, list.tensors[c.src[0]].shape[1]);
    if (c.op == SLUICE_SDI_OP_KV_WRITE) lower(&l.n_slots, list.tensors[c.dst].shape[1]);
    if (c.op == SLUICE_SDI_OP_ATTENTION) lower(&l.n_slots, list.tensors[c.src[2]].shape[2]);
  }
  return l;
}

// Takes the arrays out of the buffer; false: it is too short for its header.
bool split(std::span<const std::byte> bytes, Step* ret_step) {
  Step& s = *ret_step;
  if (bytes.size() < sizeof(s.header)) return false;
  std::memcpy(&s.header, bytes.data(), sizeof(s.header));
  bytes = bytes.subspan(sizeof(s.header));
  const auto take = [&](uint64_t n, std::vector<uint32_t>* to) {
    if (n > bytes.size() / 4) return false;
    to->resize(n);
    if (n != 0) std::memcpy(to->data(), bytes.data(), n * 4);
    bytes = bytes.subspan(n * 4);
    return true;
  };
  for (auto* array : {&s.token, &s.position, &s.context, &s.skip, &s.sequence, &s.slot}) {
    if (!take(s.header.n_tokens, array)) return false;
  }
  return take(s.header.n_outputs, &s.output) &&
         take(uint64_t{s.header.n_sequences} * s.header.n_blocks, &s.block_table);
}

// Whether every block that token t looks up, and those before it in its row, is in the caches.
bool good_blocks(const Step& s, uint64_t t, uint64_t n_slots) {
  const uint64_t skip = s.context[t] < kBlock ? 0 : s.skip[t];
  const uint64_t last = s.context[t] / kBlock + skip;
  if (last >= s.header.n_blocks) return false;
  const auto row =
      s.block_table.begin() + static_cast<ptrdiff_t>(uint64_t{s.sequence[t]} * s.header.n_blocks);
  return std::all_of(row, row + static_cast<ptrdiff_t>(last + 1),
                     [&](uint32_t block) { return block < n_slots / kBlock; });
}

bool good_step(const Step& s, const Limits& l) {
  const auto& h = s.header;
  if (std::any_of(std::begin(h.reserved), std::end(h.reserved),
                  [](uint32_t r) { return r != 0; }) ||
      h.n_tokens < 1 || h.n_tokens > l.n_tokens || h.n_outputs > l.n_outputs) {
    return false;
  }
  for (uint64_t t = 0; t < h.n_tokens; ++t) {
    const bool nowhere = s.slot[t] == static_cast<uint32_t>(SLUICE_SDI_NO_SLOT);
    const bool slot_fits = static_cast<int32_t>(s.slot[t]) >= 0 && s.slot[t] < l.n_slots;
    if (s.token[t] >= l.n_vocab || s.sequence[t] >= h.n_sequences || !(nowhere || slot_fits) ||
        !good_blocks(s, t, l.n_slots)) {
      return false;
    }
  }
  return std::all_of(s.output.begin(), s.output.end(), [&](uint32_t o) { return o < h.n_tokens; });
}

View view_of(const sluice_sdi_tensor& t, std::span<const Segment> segments, const Step& step) {
  const uint64_t offset = t.address & ((uint64_t{1} << SLUICE_SDI_OFFSET_BITS) - 1);
  const uint64_t n = t.rows == SLUICE_SDI_ROWS_TOKENS    ? step.header.n_tokens
                     : t.rows == SLUICE_SDI_ROWS_OUTPUTS ? step.header.n_outputs
                                                         : t.shape[t.rank - 1];
  return {&t, segments[t.address >> SLUICE_SDI_OFFSET_BITS].base + offset, find_type(t.type), n};
}

}  // namespace

uint32_t run(const List& list, std::span<const Segment> segments, std::span<const std::byte> step,
             uint32_t* ret_index) {
  if (const uint32_t status = check(list, segments, ret_index)) return status;
  Step s;
  if (!split(step, &s) || !good_step(s, limits_of(list))) {
    *ret_index = 0;
    return SLUICE_SDI_E_STEP;
  }
  for (const sluice_sdi_command& command : list.commands) {
    Call call{&command, &s, view_of(list.tensors[command.dst], segments, s), {}};
    for (size_t i = 0; i < std::size(command.src); ++i) {
      if (command.src[i] == SLUICE_SDI_NONE) continue;
      call.src[i] = view_of(list.tensors[command.src[i]], segments, s);
    }
    kOperations[command.op](call);
  }
  return SLUICE_SDI_OK;
}

}  // namespace interpreter
