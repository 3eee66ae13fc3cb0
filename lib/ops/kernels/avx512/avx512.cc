// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512 F, BW, VL, DQ and VNNI. Internal linkage only: nothing compiled here may be
// linked into code that runs on lesser machines.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ops/kernels/constants.h"
#include "ops/kernels/kernels.h"

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

using V16 = __m512;

constexpr int kTileRows = 4;
constexpr int kTileColumns = 6;
constexpr uint32_t kPackColumns = 16;
constexpr uint32_t kPackFlip = 0x80808080u;  // makes i8 unsigned by adding 128
constexpr int kSingleRows = 8;

V16 zero() { return _mm512_setzero_ps(); }
V16 set1(float f) { return _mm512_set1_ps(f); }
__mmask16 first(uint32_t n) { return static_cast<__mmask16>((1u << n) - 1); }
V16 load(const float* p) { return _mm512_loadu_ps(p); }
V16 load_part(const float* p, uint32_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
void store(float* p, V16 v) { _mm512_storeu_ps(p, v); }
void store_part(float* p, V16 v, uint32_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
V16 fma(V16 a, V16 b, V16 c) { return _mm512_fmadd_ps(a, b, c); }
V16 add(V16 a, V16 b) { return _mm512_add_ps(a, b); }
V16 sub(V16 a, V16 b) { return _mm512_sub_ps(a, b); }
V16 mul(V16 a, V16 b) { return _mm512_mul_ps(a, b); }
V16 div(V16 a, V16 b) { return _mm512_div_ps(a, b); }
V16 max(V16 a, V16 b) { return _mm512_max_ps(a, b); }
V16 larger(V16 v, float limit) { return _mm512_max_ps(v, set1(limit)); }
V16 smaller(V16 v, float limit) { return _mm512_min_ps(v, set1(limit)); }
V16 abs(V16 v) { return _mm512_abs_ps(v); }

// 2^n for whole n in -126 .. 127.
V16 pow2(V16 n) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

float sum(V16 v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

float largest(V16 v) { return _mm512_reduce_max_ps(v); }

// sum() of each of 16 vectors, with the same tree: element i of the result is the sum of v[i].
V16 transpose_sum(const V16* v) {
  V16 quarter[4];
  for (int i = 0; i < 4; ++i) {
    const V16 a = v[i], b = v[4 + i], c = v[8 + i], d = v[12 + i];
    const V16 ab = add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const V16 cd = add(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    quarter[i] = add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  }
  const V16 low = add(_mm512_shuffle_ps(quarter[0], quarter[1], 0x44),
                      _mm512_shuffle_ps(quarter[0], quarter[1], 0xee));
  const V16 high = add(_mm512_shuffle_ps(quarter[2], quarter[3], 0x44),
                       _mm512_shuffle_ps(quarter[2], quarter[3], 0xee));
  return add(_mm512_shuffle_ps(low, high, 0x88), _mm512_shuffle_ps(low, high, 0xdd));
}

V16 load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
V16 load_f16_part(const uint16_t* p, uint32_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
V16 widen_bf16(__m256i h) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
V16 load_bf16(const uint16_t* p) {
  return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
V16 load_bf16_part(const uint16_t* p, uint32_t n) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first(n), p));
}
__m256i narrow_f16(V16 v) {
  return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
void store_f16(uint16_t* p, V16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_f16(v));
}
void store_f16_part(uint16_t* p, V16 v, uint32_t n) {
  _mm256_mask_storeu_epi16(p, first(n), narrow_f16(v));
}

void quantize_block(V16 v0, V16 v1, float inverse, int8_t* q) {
  const V16 s = set1(inverse);
  v0 = smaller(larger(mul(v0, s), -127.0f), 127.0f);
  v1 = smaller(larger(mul(v1, s), -127.0f), 127.0f);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v0)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16),
                   _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v1)));
}

#include "ops/kernels/simd.inc"

// --- Q8_0 --------------------------------------------------------------------------------------

// The integer sums of 8 vectors of products, each [8 lanes of row 2i | 8 lanes of row 2i + 1], as
// one vector in the order rows 0 2 4 6 | 1 3 5 7 | 8 10 12 14 | 9 11 13 15.
__m512i fold_rows(const __m512i* d) {
  __m512i half[2];
  for (int h = 0; h < 2; ++h, d += 4) {
    const __m512i s01 =
        _mm512_add_epi32(_mm512_unpacklo_epi32(d[0], d[1]), _mm512_unpackhi_epi32(d[0], d[1]));
    const __m512i s23 =
        _mm512_add_epi32(_mm512_unpacklo_epi32(d[2], d[3]), _mm512_unpackhi_epi32(d[2], d[3]));
    half[h] = _mm512_add_epi32(_mm512_unpacklo_epi64(s01, s23), _mm512_unpackhi_epi64(s01, s23));
  }
  return _mm512_add_epi32(_mm512_shuffle_i32x4(half[0], half[1], 0x88),
                          _mm512_shuffle_i32x4(half[0], half[1], 0xdd));
}

constexpr int kFoldOrder[16] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};

// 16 rows times one column, a row to a lane. The weights are made unsigned by adding 128, which the
// activations' own sum takes back.
void q8_rows16(const MatmulArgs& a, uint32_t row, uint32_t column) {
  const auto* x = reinterpret_cast<const BlockA8*>(a.x + column * a.x_stride);
  const std::byte* w = a.w + row * a.w_stride;
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m256i ones = _mm256_set1_epi8(1);
  V16 sums = zero();
  const uint32_t n_blocks = a.k / kA8Block;
  for (uint32_t b = 0; b < n_blocks; ++b, w += kBlockQ8) {
    const __m256i q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[b].q));
    const __m512i qq = _mm512_broadcast_i64x4(q);
    // -128 * q in each lane of four: what adding 128 to the weights put in.
    const __m256i extra =
        _mm256_slli_epi32(_mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, q), 7);
    const __m512i start = _mm512_broadcast_i64x4(_mm256_sub_epi32(_mm256_setzero_si256(), extra));
    __m512i products[8];
    alignas(32) uint16_t scales[16];
    for (int i = 0; i < 8; ++i) {
      const std::byte* w0 = w + (2 * i) * a.w_stride;
      const std::byte* w1 = w0 + a.w_stride;
      // The same place in the rows that come next: sixteen streams are too many for the hardware to
      // foresee, and each is short.
      _mm_prefetch(reinterpret_cast<const char*>(w0 + 16 * a.w_stride), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(w1 + 16 * a.w_stride), _MM_HINT_T0);
      const __m512i pair = _mm512_inserti64x4(
          _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w0 + 2))),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w1 + 2)), 1);
      products[i] = _mm512_dpbusd_epi32(start, _mm512_xor_si512(pair, flip), qq);
      const int at = (i & 3) + (i >> 2) * 8;
      __builtin_memcpy(&scales[at], w0, 2);
      __builtin_memcpy(&scales[at + 4], w1, 2);
    }
    const V16 scale = mul(load_f16(scales), set1(x[b].scale));
    sums = fma(scale, _mm512_cvtepi32_ps(fold_rows(products)), sums);
  }
  alignas(64) float result[16];
  store(result, sums);
  float* y = reinterpret_cast<float*>(a.y + column * a.y_stride) + row;
  for (int i = 0; i < 16; ++i) {
    const int r = kFoldOrder[i];
    y[r] = a.add ? y[r] + result[i] : result[i];
  }
}

// One row times one column: the rows that do not fill 16.
void q8_row(const MatmulArgs& a, uint32_t row, uint32_t column) {
  const auto* x = reinterpret_cast<const BlockA8*>(a.x + column * a.x_stride);
  const std::byte* w = a.w + row * a.w_stride;
  float total = 0;
  for (uint32_t b = 0; b < a.k / kA8Block; ++b, w += kBlockQ8) {
    const __m512i wi =
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 2)));
    const __m512i xi =
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[b].q)));
    const int32_t products = _mm512_reduce_add_epi32(_mm512_madd_epi16(wi, xi));
    const float scale = scale_f16(w) * x[b].scale;
    total = __builtin_fmaf(scale, static_cast<float>(products), total);
  }
  float* y = reinterpret_cast<float*>(a.y + column * a.y_stride) + row;
  *y = a.add ? *y + total : total;
}

// -128 times the sum of a block's weights: what the unsigned activations put in.
int32_t q8_correction(const std::byte* q) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
  const __m256i s = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), w);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return -128 * (_mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1));
}

__m512i broadcast4(const std::byte* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

// R rows times 16 packed columns, a column to a lane.
template <int R>
void q8_tile(const MatmulArgs& a, uint32_t row, uint32_t group, const int32_t* corrections,
             uint32_t n_blocks) {
  const auto* packed = reinterpret_cast<const PackedQ8*>(a.packed + group * q8_group_bytes(a.k));
  const std::byte* w = a.w + row * a.w_stride;
  V16 sums[R];
  for (int r = 0; r < R; ++r) sums[r] = zero();
  for (uint32_t b = 0; b < n_blocks; ++b, w += kBlockQ8) {
    __m512i products[R];
    for (int r = 0; r < R; ++r) products[r] = _mm512_set1_epi32(corrections[r * n_blocks + b]);
    for (int g = 0; g < 8; ++g) {
      const __m512i x = _mm512_loadu_si512(packed[b].q[g]);
      for (int r = 0; r < R; ++r) {
        products[r] =
            _mm512_dpbusd_epi32(products[r], x, broadcast4(w + r * a.w_stride + 2 + 4 * g));
      }
    }
    const V16 scale = load(packed[b].scale);
    for (int r = 0; r < R; ++r) {
      const V16 s = mul(set1(scale_f16(w + r * a.w_stride)), scale);
      sums[r] = fma(s, _mm512_cvtepi32_ps(products[r]), sums[r]);
    }
  }
  for (int r = 0; r < R; ++r) {
    alignas(64) float result[16];
    store(result, sums[r]);
    store_columns(a, row + r, group * 16, result);
  }
}

// Rows in strips whose corrections fit the stack.
void q8_packed(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  constexpr int kRows = 4;
  constexpr uint32_t kMostBlocks = 2048;
  int32_t corrections[kMostBlocks * kRows];
  const uint32_t n_blocks = a.k / kA8Block;
  const uint32_t n_groups = (a.n + 15) / 16;
  const uint32_t strip = n_blocks <= kMostBlocks ? kRows : 0;
  for (uint32_t row = row0; row < row1;) {
    if (row + strip > row1 || strip == 0) {
      // A last row or an enormous one.
      for (uint32_t c = 0; c < a.n; ++c) q8_row(a, row, c);
      ++row;
      continue;
    }
    for (int r = 0; r < kRows; ++r) {
      const std::byte* w = a.w + (row + r) * a.w_stride;
      for (uint32_t b = 0; b < n_blocks; ++b) {
        corrections[r * n_blocks + b] = q8_correction(w + b * kBlockQ8 + 2);
      }
    }
    for (uint32_t g = 0; g < n_groups; ++g) q8_tile<kRows>(a, row, g, corrections, n_blocks);
    row += kRows;
  }
}

constexpr uint32_t kPackFrom = 4;

void matmul_q8_0(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  if (a.n >= kPackFrom) {
    q8_packed(a, row0, row1);
    return;
  }
  for (uint32_t c = 0; c < a.n; ++c) {
    uint32_t row = row0;
    for (; row + 16 <= row1; row += 16) q8_rows16(a, row, c);
    for (; row < row1; ++row) q8_row(a, row, c);
  }
}

constexpr MatmulKernel kMatmul[] = {
    {SLUICE_SDI_TYPE_F32, "fma 4x6", 0, 0, nullptr, nullptr, matmul_float<WeightF32>},
    {SLUICE_SDI_TYPE_F16, "fma 4x6", 0, 0, nullptr, nullptr, matmul_float<WeightF16>},
    {SLUICE_SDI_TYPE_BF16, "fma 4x6", 0, 0, nullptr, nullptr, matmul_float<WeightBf16>},
    {SLUICE_SDI_TYPE_Q8_0, "vnni 16x1, 4x16", kPackColumns, kPackFrom, q8_group_bytes, q8_pack,
     matmul_q8_0},
};

}  // namespace

const Kernels kKernelsAvx512 = {"avx512",           rms_norm, quantize<BlockA8>,
                                quantize<BlockA8K>, swiglu,   to_f16,
                                attention,          kMatmul,  sizeof(kMatmul) / sizeof(kMatmul[0])};

}  // namespace sluice
