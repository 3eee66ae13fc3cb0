// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2, FMA and F16C. Internal linkage only: nothing compiled here may be linked into
// code that runs on lesser machines.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ops/kernels/constants.h"
#include "ops/kernels/kernels.h"

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

// Elements 0-7 and 8-15.
struct V16 {
  __m256 lo, hi;
};

constexpr int kTileRows = 2;
constexpr int kTileColumns = 3;
constexpr uint32_t kPackColumns = 8;
constexpr uint32_t kPackFlip = 0;
constexpr int kSingleRows = 4;

V16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
V16 set1(float f) { return {_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
V16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
V16 load_part(const float* p, uint32_t n) {
  alignas(32) float whole[16] = {};
  __builtin_memcpy(whole, p, n * sizeof(float));
  return load(whole);
}
void store(float* p, V16 v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}
void store_part(float* p, V16 v, uint32_t n) {
  alignas(32) float whole[16];
  store(whole, v);
  __builtin_memcpy(p, whole, n * sizeof(float));
}
V16 fma(V16 a, V16 b, V16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
V16 add(V16 a, V16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
V16 sub(V16 a, V16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
V16 mul(V16 a, V16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
V16 div(V16 a, V16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
V16 max(V16 a, V16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
V16 larger(V16 v, float limit) { return max(v, set1(limit)); }
V16 smaller(V16 v, float limit) {
  const __m256 l = _mm256_set1_ps(limit);
  return {_mm256_min_ps(v.lo, l), _mm256_min_ps(v.hi, l)};
}
V16 abs(V16 v) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, v.lo), _mm256_andnot_ps(sign, v.hi)};
}

__m256 pow2_half(__m256 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
// 2^n for whole n in -126 .. 127.
V16 pow2(V16 n) { return {pow2_half(n.lo), pow2_half(n.hi)}; }

float sum(V16 v) {
  const __m256 eight = _mm256_add_ps(v.lo, v.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

float largest(V16 v) {
  const __m256 eight = _mm256_max_ps(v.lo, v.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Four vectors folded to two sums each, in the order of sum(): a and c in the low half, b and d in
// the high.
__m256 fold4(V16 a, V16 b, V16 c, V16 d) {
  const __m256 a8 = _mm256_add_ps(a.lo, a.hi), b8 = _mm256_add_ps(b.lo, b.hi);
  const __m256 c8 = _mm256_add_ps(c.lo, c.hi), d8 = _mm256_add_ps(d.lo, d.hi);
  const __m256 ab =
      _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20), _mm256_permute2f128_ps(a8, b8, 0x31));
  const __m256 cd =
      _mm256_add_ps(_mm256_permute2f128_ps(c8, d8, 0x20), _mm256_permute2f128_ps(c8, d8, 0x31));
  return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
}

// sum() of each of 16 vectors, with the same tree: element i of the result is the sum of v[i].
V16 transpose_sum(const V16* v) {
  __m256 eight[2];
  for (int h = 0; h < 2; ++h, v += 8) {
    const __m256 even = fold4(v[0], v[4], v[1], v[5]);
    const __m256 odd = fold4(v[2], v[6], v[3], v[7]);
    eight[h] =
        _mm256_add_ps(_mm256_shuffle_ps(even, odd, 0x88), _mm256_shuffle_ps(even, odd, 0xdd));
  }
  return {eight[0], eight[1]};
}

__m128i load8_u16(const uint16_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
V16 load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(load8_u16(p)), _mm256_cvtph_ps(load8_u16(p + 8))};
}
V16 load_f16_part(const uint16_t* p, uint32_t n) {
  alignas(32) uint16_t whole[16] = {};
  __builtin_memcpy(whole, p, n * sizeof(uint16_t));
  return load_f16(whole);
}
__m256 widen_bf16(__m128i h) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
V16 load_bf16(const uint16_t* p) {
  return {widen_bf16(load8_u16(p)), widen_bf16(load8_u16(p + 8))};
}
V16 load_bf16_part(const uint16_t* p, uint32_t n) {
  alignas(32) uint16_t whole[16] = {};
  __builtin_memcpy(whole, p, n * sizeof(uint16_t));
  return load_bf16(whole);
}
void store_f16(uint16_t* p, V16 v) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v.lo, kNearest));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(v.hi, kNearest));
}
void store_f16_part(uint16_t* p, V16 v, uint32_t n) {
  alignas(32) uint16_t whole[16];
  store_f16(whole, v);
  __builtin_memcpy(p, whole, n * sizeof(uint16_t));
}

void quantize_block(V16 v0, V16 v1, float inverse, int8_t* q) {
  const V16 s = set1(inverse);
  v0 = smaller(larger(mul(v0, s), -127.0f), 127.0f);
  v1 = smaller(larger(mul(v1, s), -127.0f), 127.0f);
  const __m256i a = _mm256_packs_epi32(_mm256_cvtps_epi32(v0.lo), _mm256_cvtps_epi32(v0.hi));
  const __m256i b = _mm256_packs_epi32(_mm256_cvtps_epi32(v1.lo), _mm256_cvtps_epi32(v1.hi));
  // The packs work in halves of a register: put the groups of four back in order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
}

#include "ops/kernels/simd.inc"

// --- Q8_0 --------------------------------------------------------------------------------------

// Products of 32 pairs of i8, summed by fours. |w| <= 128 and |x| <= 127 keep the pairs within i16.
__m256i products32(__m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
__m256i load32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// 8 rows times one column, a row to a lane.
void q8_rows8(const MatmulArgs& a, uint32_t row, uint32_t column) {
  const auto* x = reinterpret_cast<const BlockA8*>(a.x + column * a.x_stride);
  const std::byte* w = a.w + row * a.w_stride;
  __m256 sums = _mm256_setzero_ps();
  for (uint32_t b = 0; b < a.k / kA8Block; ++b, w += kBlockQ8) {
    const __m256i xb = load32(x[b].q);
    __m256i products[8];
    alignas(16) uint16_t scales[8];
    for (int r = 0; r < 8; ++r) {
      const std::byte* wr = w + r * a.w_stride;
      // The same place in the rows that come next: each row is a stream of its own, and short.
      _mm_prefetch(reinterpret_cast<const char*>(wr + 8 * a.w_stride), _MM_HINT_T0);
      products[r] = products32(load32(wr + 2), xb);
      __builtin_memcpy(&scales[r], wr, 2);
    }
    for (int r = 0; r < 8; r += 2) products[r] = _mm256_hadd_epi32(products[r], products[r + 1]);
    const __m256i low = _mm256_hadd_epi32(products[0], products[2]);
    const __m256i high = _mm256_hadd_epi32(products[4], products[6]);
    const __m256i integer = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                                             _mm256_permute2x128_si256(low, high, 0x31));
    const __m256 scale =
        _mm256_mul_ps(_mm256_cvtph_ps(load8_u16(scales)), _mm256_set1_ps(x[b].scale));
    sums = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(integer), sums);
  }
  float* y = reinterpret_cast<float*>(a.y + column * a.y_stride) + row;
  if (a.add) sums = _mm256_add_ps(_mm256_loadu_ps(y), sums);
  _mm256_storeu_ps(y, sums);
}

// One row times one column: the rows that do not fill 8.
void q8_row(const MatmulArgs& a, uint32_t row, uint32_t column) {
  const auto* x = reinterpret_cast<const BlockA8*>(a.x + column * a.x_stride);
  const std::byte* w = a.w + row * a.w_stride;
  float total = 0;
  for (uint32_t b = 0; b < a.k / kA8Block; ++b, w += kBlockQ8) {
    const __m256i p = products32(load32(w + 2), load32(x[b].q));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(p), _mm256_extracti128_si256(p, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    const int32_t integer = _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
    total = __builtin_fmaf(scale_f16(w) * x[b].scale, static_cast<float>(integer), total);
  }
  float* y = reinterpret_cast<float*>(a.y + column * a.y_stride) + row;
  *y = a.add ? *y + total : total;
}

__m256i broadcast4(const std::byte* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return _mm256_set1_epi32(four);
}

// Two rows times 8 packed columns, a column to a lane.
template <int R>
void q8_tile(const MatmulArgs& a, uint32_t row, uint32_t group) {
  const auto* packed = reinterpret_cast<const PackedQ8*>(a.packed + group * q8_group_bytes(a.k));
  const std::byte* w = a.w + row * a.w_stride;
  __m256 sums[R];
  for (int r = 0; r < R; ++r) sums[r] = _mm256_setzero_ps();
  for (uint32_t b = 0; b < a.k / kA8Block; ++b, w += kBlockQ8) {
    __m256i products[R];
    for (int r = 0; r < R; ++r) products[r] = _mm256_setzero_si256();
    for (int g = 0; g < 8; ++g) {
      const __m256i x = load32(packed[b].q[g]);
      for (int r = 0; r < R; ++r) {
        const __m256i wg = broadcast4(w + r * a.w_stride + 2 + 4 * g);
        products[r] = _mm256_add_epi32(products[r], products32(wg, x));
      }
    }
    const __m256 scale = _mm256_loadu_ps(packed[b].scale);
    for (int r = 0; r < R; ++r) {
      const __m256 s = _mm256_mul_ps(_mm256_set1_ps(scale_f16(w + r * a.w_stride)), scale);
      sums[r] = _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(products[r]), sums[r]);
    }
  }
  for (int r = 0; r < R; ++r) {
    alignas(32) float result[8];
    _mm256_store_ps(result, sums[r]);
    store_columns(a, row + r, group * 8, result);
  }
}

constexpr uint32_t kPackFrom = 4;

void matmul_q8_0(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  if (a.n >= kPackFrom) {
    const uint32_t n_groups = (a.n + 7) / 8;
    uint32_t row = row0;
    for (; row + 2 <= row1; row += 2) {
      for (uint32_t g = 0; g < n_groups; ++g) q8_tile<2>(a, row, g);
    }
    for (; row < row1; ++row) {
      for (uint32_t g = 0; g < n_groups; ++g) q8_tile<1>(a, row, g);
    }
    return;
  }
  for (uint32_t c = 0; c < a.n; ++c) {
    uint32_t row = row0;
    for (; row + 8 <= row1; row += 8) q8_rows8(a, row, c);
    for (; row < row1; ++row) q8_row(a, row, c);
  }
}

constexpr MatmulKernel kMatmul[] = {
    {SLUICE_SDI_TYPE_F32, "fma 2x3", 0, 0, nullptr, nullptr, matmul_float<WeightF32>},
    {SLUICE_SDI_TYPE_F16, "fma 2x3", 0, 0, nullptr, nullptr, matmul_float<WeightF16>},
    {SLUICE_SDI_TYPE_BF16, "fma 2x3", 0, 0, nullptr, nullptr, matmul_float<WeightBf16>},
    {SLUICE_SDI_TYPE_Q8_0, "maddubs 8x1, 2x8", kPackColumns, kPackFrom, q8_group_bytes, q8_pack,
     matmul_q8_0},
};

}  // namespace

const Kernels kKernelsAvx2 = {"avx2",
                              rms_norm,
                              quantize<BlockA8>,
                              quantize<BlockA8K>,
                              swiglu,
                              to_f16,
                              attention,
                              kMatmul,
                              sizeof(kMatmul) / sizeof(kMatmul[0])};

}  // namespace sluice
