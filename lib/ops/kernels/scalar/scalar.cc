// SPDX-License-Identifier: Apache-2.0
// The reference kernels: exact arithmetic as the comments in kernels.h state it, in plain loops.
// The SIMD kernels are tested against these; on a CPU without AVX2 they are what runs.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>

#include "core/f16.h"
#include "ops/kernels/constants.h"
#include "ops/kernels/kernels.h"
#include "ops/kernels/scalar/quantized.h"
#include "quant/format.h"

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

float exp_exact(float x) {
  x = x > kExpLow ? x : kExpLow;
  x = x < kExpHigh ? x : kExpHigh;
  const float n = std::fma(x, kLog2e, kRoundMagic) - kRoundMagic;
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = kExpPoly[0];
  for (int i = 1; i < 6; ++i) p = std::fma(p, r, kExpPoly[i]);
  p = std::fma(p, r * r, r) + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

float tree(float* lanes) {
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0];
}

// dot16 of two sequences given as functions of the index.
template <typename A, typename B>
float dot16(uint32_t n, A a, B b) {
  float lanes[16] = {};
  for (uint32_t i = 0; i < round_up16(n); ++i) {
    lanes[i % 16] = std::fma(i < n ? a(i) : 0.0f, i < n ? b(i) : 0.0f, lanes[i % 16]);
  }
  return tree(lanes);
}

void rms_norm(const float* x, const float* weight, float* y, uint32_t n, float epsilon) {
  const float sum = dot16(
      n, [=](uint32_t i) { return x[i]; }, [=](uint32_t i) { return x[i]; });
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  for (uint32_t i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
}

// Codes and scale of one block of n values.
float quantize_values(const float* x, int8_t* q, uint32_t n) {
  float amax = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const float magnitude = std::fabs(x[i]);
    amax = magnitude > amax ? magnitude : amax;
  }
  const bool zero = amax < kA8Smallest;
  const float inverse = zero ? 0.0f : 127.0f / amax;
  for (uint32_t i = 0; i < n; ++i) {
    float scaled = x[i] * inverse;
    scaled = scaled > -127.0f ? scaled : -127.0f;
    scaled = scaled < 127.0f ? scaled : 127.0f;
    q[i] = static_cast<int8_t>(std::nearbyint(scaled));
  }
  return zero ? 0.0f : amax / 127.0f;
}

template <typename Block>
void quantize(const float* x, Block* y, uint32_t n) {
  constexpr uint32_t kSize = sizeof(y->q);
  for (uint32_t b = 0; b < n / kSize; ++b)
    y[b].scale = quantize_values(x + b * kSize, y[b].q, kSize);
}

void silu_glu(const float* gate, const float* up, float* y, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) y[i] = gate[i] / (1.0f + exp_exact(-gate[i])) * up[i];
}

void gelu_glu(const float* gate, const float* up, float* y, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    const float g = gate[i];
    const float a = g * kGeluGate * std::fma(g * g, kGeluCube, 1.0f);
    y[i] = g / (1.0f + exp_exact(-a)) * up[i];
  }
}

float tanh_exact(float x) { return 1.0f - 2.0f / (exp_exact(2.0f * x) + 1.0f); }

void softcap(const float* x, float cap, float* y, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) y[i] = cap * tanh_exact(x[i] / cap);
}

// --- caches --------------------------------------------------------------------------------------

template <uint32_t kType>
void cache_write(const float* x, std::byte* row, uint32_t n) {
  find_format(kType)->encode(x, row, n, nullptr);
}

template <uint32_t kType>
void cache_widen(const std::byte* rows, size_t stride, uint32_t n, uint32_t slots, float* out) {
  const uint32_t width = round_up16(n);
  std::fill_n(out, size_t{16} * width, 0.0f);
  for (uint32_t j = 0; j < slots; ++j)
    find_format(kType)->decode(rows + j * stride, out + j * width, n);
}

template <uint32_t kType>
constexpr CacheKernel kCache = {kType, cache_write<kType>, cache_widen<kType>};
constexpr CacheKernel kCaches[kNumCaches] = {
    kCache<SLUICE_SDI_TYPE_F16>, kCache<SLUICE_SDI_TYPE_BF16>, kCache<SLUICE_SDI_TYPE_Q8_0>};

// --- attention ---------------------------------------------------------------------------------

struct RowState {
  float maximum = -INFINITY;
  float sum = 0;
};

// One block of 16 entries, of which the row sees those from `first` to before `end`.
void attend_block(const AttentionTask& t, const AttentionRow& row, uint32_t block, bool sink,
                  uint32_t first, uint32_t end, RowState& state) {
  const float* q = sink ? row.q_sink : row.q;
  const size_t slot0 = static_cast<size_t>(block) * SLUICE_SDI_BLOCK_TOKENS;
  const uint32_t width = round_up16(t.head_dim);
  float *keys = t.scratch, *values = keys + size_t{16} * width;
  t.k_cache->widen(t.k + slot0 * t.k_stride, t.k_stride, t.head_dim, end, keys);
  t.v_cache->widen(t.v + slot0 * t.v_stride, t.v_stride, t.head_dim, end, values);
  float score[16];
  float largest = -INFINITY;
  for (uint32_t j = first; j < end; ++j) {
    const float* k = keys + size_t{j} * width;
    score[j] = t.scale *
               dot16(
                   t.head_dim, [=](uint32_t i) { return q[i]; }, [=](uint32_t i) { return k[i]; });
    if (t.soft_cap != 0.0f) score[j] = t.soft_cap * tanh_exact(score[j] / t.soft_cap);
    largest = score[j] > largest ? score[j] : largest;
  }
  if (largest > state.maximum) {
    const float shrink = exp_exact(state.maximum - largest);
    state.sum = state.sum * shrink;
    for (uint32_t i = 0; i < t.head_dim; ++i) row.out[i] = row.out[i] * shrink;
    state.maximum = largest;
  }
  float weight[16];
  for (uint32_t j = 0; j < 16; ++j) {
    weight[j] = j >= first && j < end ? exp_exact(score[j] - state.maximum) : 0.0f;
  }
  for (uint32_t i = 0; i < t.head_dim; ++i) {
    for (uint32_t j = first; j < end; ++j) {
      row.out[i] = std::fma(weight[j], values[size_t{j} * width + i], row.out[i]);
    }
  }
  state.sum = state.sum + tree(weight);
}

void attention(const AttentionTask& t) {
  for (uint32_t r = 0; r < t.n_rows; ++r) {
    const AttentionRow& row = t.rows[r];
    RowState state;
    for (uint32_t i = 0; i < t.head_dim; ++i) row.out[i] = 0;
    const uint32_t first = first_in_window(row.context, t.window);
    for (uint32_t e = first / 16; e <= row.context / 16; ++e) {
      const uint32_t left = row.context + 1 - e * 16;
      const uint32_t block = t.block_table[e == 0 ? 0 : e + row.skip];
      attend_block(t, row, block, e == 0, first > e * 16 ? first - e * 16 : 0,
                   left < 16 ? left : 16, state);
    }
    const float inverse = 1.0f / state.sum;
    for (uint32_t i = 0; i < t.head_dim; ++i) row.out[i] = row.out[i] * inverse;
  }
}

// --- matmul ------------------------------------------------------------------------------------

float load_f32(const std::byte* p, uint32_t i) {
  float f;
  std::memcpy(&f, p + i * sizeof(f), sizeof(f));
  return f;
}
uint16_t load_u16(const std::byte* p, uint32_t i) {
  uint16_t h;
  std::memcpy(&h, p + i * sizeof(h), sizeof(h));
  return h;
}

// Applies dot(row of W, column of X) to the rows and every column.
template <typename Dot>
void for_each_product(const MatmulArgs& a, uint32_t row0, uint32_t row1, Dot dot) {
  for (uint32_t r = row0; r < row1; ++r) {
    for (uint32_t c = 0; c < a.n; ++c) {
      float* y = reinterpret_cast<float*>(a.y + c * a.y_stride) + r;
      const float product = dot(a.w + r * a.w_stride, a.x + c * a.x_stride);
      *y = a.add ? *y + product : product;
    }
  }
}

template <typename Load>
void matmul_float(const MatmulArgs& a, uint32_t row0, uint32_t row1, Load load) {
  for_each_product(a, row0, row1, [&](const std::byte* w, const std::byte* x) {
    return dot16(
        a.k, [=](uint32_t i) { return load(w, i); }, [=](uint32_t i) { return load_f32(x, i); });
  });
}
void matmul_f32(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  matmul_float(a, row0, row1, load_f32);
}
void matmul_f16(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  matmul_float(a, row0, row1,
               [](const std::byte* p, uint32_t i) { return f16_to_f32(load_u16(p, i)); });
}
void matmul_bf16(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  matmul_float(a, row0, row1,
               [](const std::byte* p, uint32_t i) { return bf16_to_f32(load_u16(p, i)); });
}

int32_t dot256(const int8_t* w, const int8_t* x) {
  int32_t sum = 0;
  for (uint32_t i = 0; i < kA8KBlock; ++i) sum += w[i] * x[i];
  return sum;
}

#include "ops/kernels/fast.inc"

// The number as fast products take it.
float rounded_bf16(float v) {
  return std::fabs(v) < kBf16Smallest ? 0.0f : bf16_to_f32(f32_to_bf16(v));
}

size_t floats_scratch(uint32_t k) { return size_t{k} * sizeof(float); }

void matmul_fast_floats(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  auto* w = reinterpret_cast<float*>(a.scratch);
  for (uint32_t row = row0; row < row1; ++row) {
    a.decode(a.w + row * a.w_stride, w, a.k);
    std::transform(w, w + a.k, w, rounded_bf16);
    for_each_product(a, row, row + 1, [&](const std::byte*, const std::byte* x) {
      float sum = 0;
      for (size_t block = 0; block < a.k; block += 32) {
        float halves[2] = {};
        for (size_t i = block; i < std::min<size_t>(block + 32, a.k); ++i) {
          const float value = rounded_bf16(load_f32(x, static_cast<uint32_t>(i)));
          halves[i % 2] = std::fma(w[i], value, halves[i % 2]);
        }
        sum = sum + (halves[0] + halves[1]);
      }
      return sum;
    });
  }
}

constexpr MatmulKernel kMatmul[] = {
    {SLUICE_SDI_TYPE_F32, "reference", nullptr, nullptr, matmul_f32},
    {SLUICE_SDI_TYPE_F16, "reference", nullptr, nullptr, matmul_f16},
    {SLUICE_SDI_TYPE_BF16, "reference", nullptr, nullptr, matmul_bf16},
    {SLUICE_SDI_TYPE_Q4_0, "reference", nullptr, nullptr, scalar::matmul_q4_0},
    {SLUICE_SDI_TYPE_Q4_1, "reference", nullptr, nullptr, scalar::matmul_q4_1},
    {SLUICE_SDI_TYPE_Q5_0, "reference", nullptr, nullptr, scalar::matmul_q5_0},
    {SLUICE_SDI_TYPE_Q5_1, "reference", nullptr, nullptr, scalar::matmul_q5_1},
    {SLUICE_SDI_TYPE_Q8_0, "reference", nullptr, nullptr, scalar::matmul_q8_0},
    {SLUICE_SDI_TYPE_Q2_K, "reference", nullptr, nullptr, scalar::matmul_q2_k},
    {SLUICE_SDI_TYPE_Q3_K, "reference", nullptr, nullptr, scalar::matmul_q3_k},
    {SLUICE_SDI_TYPE_Q4_K, "reference", nullptr, nullptr, scalar::matmul_q4_k},
    {SLUICE_SDI_TYPE_Q5_K, "reference", nullptr, nullptr, scalar::matmul_q5_k},
    {SLUICE_SDI_TYPE_Q6_K, "reference", nullptr, nullptr, scalar::matmul_q6_k},
};

}  // namespace

const Kernels kKernelsScalar = {"scalar",
                                rms_norm,
                                quantize<BlockA8>,
                                quantize<BlockA8K>,
                                {silu_glu, gelu_glu},
                                softcap,
                                kCaches,
                                attention,
                                kMatmul,
                                std::size(kMatmul),
                                {0, "reference", nullptr, fast_scratch, matmul_fast},
                                {0, "reference", nullptr, floats_scratch, matmul_fast_floats}};

}  // namespace sluice
