// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512 F, BW, VL, DQ and VNNI. Internal linkage only: nothing compiled here may be
// linked into code that runs on lesser machines.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ops/kernels/blocks.h"
#include "ops/kernels/constants.h"
#include "ops/kernels/kernels.h"

#include <linux/types.h>
#include "sluice_sdi.h"

namespace sluice {
namespace {

using V16 = __m512;

constexpr int kTileRows = 4;
constexpr int kTileColumns = 6;
constexpr int kAttendRows = 4;
constexpr int kAttendVectors = 4;

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

// Elements of a and b in turns.
void zip(V16 a, V16 b, V16& low, V16& high) {
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  low = _mm512_permutex2var_ps(a, first, b);
  high = _mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b);
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

// Rounded to nearest even, in the upper halves of the words; NaNs become quiet.
__m512i bf16_bits(V16 v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  return _mm512_mask_mov_epi32(rounded, nan, quiet);
}
__m256i narrow_bf16(V16 v) { return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits(v), 16)); }
void store_bf16(uint16_t* p, V16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(v));
}
void store_bf16_part(uint16_t* p, V16 v, uint32_t n) {
  _mm256_mask_storeu_epi16(p, first(n), narrow_bf16(v));
}
V16 without_small(V16 v, float limit) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(abs(v), set1(limit), _CMP_NLT_UQ), v);
}
V16 upper_halves(__m512i words) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm512_castsi512_ps(_mm512_and_si512(words, upper));
}
V16 round_bf16(V16 v) { return upper_halves(bf16_bits(v)); }
V16 first_of_pairs(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
V16 second_of_pairs(const uint16_t* p) { return upper_halves(_mm512_loadu_si512(p)); }
V16 load_i8(const std::byte* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
V16 set1_f16(const std::byte* p) {
  int16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
  return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}
void store_away(int8_t* q, V16 v) {
  // Added to what has its sign, the largest number below a half carries halves, and nothing less.
  const V16 half = _mm512_or_ps(_mm512_and_ps(v, set1(-0.0f)), set1(0x1.fffffep-2f));
  const __mmask16 fits = _mm512_cmp_ps_mask(abs(v), set1(127.5f), _CMP_LT_OQ);
  const __m512i codes = _mm512_maskz_cvttps_epi32(fits, add(v, half));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(codes));
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

// --- quantized weights -------------------------------------------------------------------------

using Bytes = __m512i;
using Words = __m512i;
using Sums = __m512i;
constexpr int kHalves = 1;
constexpr int kQ8Offset = 128;  // added to i8 weights: the first operand of VNNI is unsigned

Sums zero_sums() { return _mm512_setzero_si512(); }
__m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
__m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
Bytes join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
Bytes load_bytes(const int8_t* p, int) { return _mm512_loadu_si512(p); }
void store_bytes(int8_t* p, Bytes v, int) { _mm512_storeu_si512(p, v); }
// 32 bytes, and 32 from `apart` behind them.
Bytes pair(const std::byte* p, size_t apart, int) { return join(load256(p), load256(p + apart)); }
Bytes adjacent(const std::byte* p, int) { return _mm512_loadu_si512(p); }
// 32 bytes, and their high nibbles.
Bytes split(const std::byte* p, int) {
  const __m512i twice = _mm512_broadcast_i64x4(load256(p));
  return _mm512_mask_srli_epi16(twice, 0xffff0000u, twice, 4);
}
uint16_t half_at(const std::byte* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
  return h;
}
// The f16 numbers at four places.
__m128i halves4(const std::byte* a, const std::byte* b, const std::byte* c, const std::byte* d) {
  __m128i all = _mm_cvtsi32_si128(half_at(a));
  all = _mm_insert_epi16(all, half_at(b), 1);
  all = _mm_insert_epi16(all, half_at(c), 2);
  return _mm_insert_epi16(all, half_at(d), 3);
}

// Words of four blocks brought together: word j of the result is at byte byte_of(j) of the blocks.
// All lie within the first or the last 64 bytes.
template <size_t kStride, size_t kAt>
struct Gather {
  static constexpr bool kInTwo = 4 * kStride <= 128;
  alignas(64) uint16_t order[32];
  constexpr Gather(size_t words) : order() {
    for (size_t j = 0; j < 4 * words; ++j) {
      const size_t at = j / words * kStride + kAt + 2 * (j % words);
      order[j] = static_cast<uint16_t>(at < 64 ? at / 2 : 32 + (at - (4 * kStride - 64)) / 2);
    }
  }
};
template <size_t kStride>
__m512i gather(const std::byte* w, const uint16_t* order) {
  return _mm512_permutex2var_epi16(_mm512_loadu_si512(w), _mm512_load_si512(order),
                                   _mm512_loadu_si512(w + 4 * kStride - 64));
}
// 16 bytes from kAt on of each of four blocks. Of short blocks the two reads would overlap so much
// that data from memory comes in more slowly than with four reads (measured).
template <size_t kStride, size_t kAt>
Bytes quarter(const std::byte* w, int) {
  if constexpr (Gather<kStride, kAt>::kInTwo && kStride > 20) {
    static constexpr Gather<kStride, kAt> kGather(8);
    return gather<kStride>(w, kGather.order);
  } else {
    const std::byte* p = w + kAt;
    const __m256i low =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p)), load128(p + kStride), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p + 2 * kStride)),
                                                 load128(p + 3 * kStride), 1);
    return join(low, high);
  }
}
// 32 bytes from kAt on of each of four blocks: the first 16 of each, and the others.
struct Quarters {
  Bytes first, last;
};
template <size_t kStride, size_t kAt>
Quarters quarters(const std::byte* w, int) {
  const Bytes ab = pair(w + kAt, kStride, 0), cd = pair(w + kAt + 2 * kStride, kStride, 0);
  return {_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd)};
}
// The f16 number, or any 16 bits, at kAt of each of four blocks.
template <size_t kStride, size_t kAt>
__m128i halves(const std::byte* w) {
  if constexpr (Gather<kStride, kAt>::kInTwo) {
    static constexpr Gather<kStride, kAt> kGather(1);
    return _mm512_castsi512_si128(gather<kStride>(w, kGather.order));
  } else {
    const std::byte* p = w + kAt;
    return halves4(p, p + kStride, p + 2 * kStride, p + 3 * kStride);
  }
}
// `value` where one of 16 bits at kAt of each of four blocks is set.
template <size_t kStride, size_t kAt>
Bytes bits16(const std::byte* w, char value, int) {
  const auto bits = static_cast<uint64_t>(_mm_cvtsi128_si64(halves<kStride, kAt>(w)));
  return _mm512_maskz_set1_epi8(bits, value);
}
Bytes both(Bytes a, char mask) { return _mm512_and_si512(a, _mm512_set1_epi8(mask)); }
Bytes either(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
// (a & a_mask) | (b & b_mask), for masks that have no bit in common.
Bytes merge(Bytes a, char a_mask, Bytes b, char b_mask) {
  // By bits of b's mask b, else a.
  const Bytes chosen = _mm512_ternarylogic_epi64(_mm512_set1_epi8(b_mask), b, a, 0xca);
  return both(chosen, static_cast<char>(a_mask | b_mask));
}
// Words shifted right by n bits, or left where n is negative.
template <int n>
Bytes shift(Bytes a) {
  return n < 0 ? _mm512_slli_epi16(a, n < 0 ? -n : 0) : _mm512_srli_epi16(a, n < 0 ? 0 : n);
}
// Products of unsigned codes and activations, added up by fours.
Sums dot(Sums sums, Bytes codes, Bytes x) { return _mm512_dpbusd_epi32(sums, codes, x); }
Sums dot_two(Bytes codes0, Bytes x0, Bytes codes1, Bytes x1) {
  return dot(dot(zero_sums(), codes0, x0), codes1, x1);
}
Sums dot_q8(Sums sums, Bytes codes, Bytes x) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  return _mm512_dpbusd_epi32(sums, _mm512_xor_si512(codes, flip), x);
}
// The scales of vector v's groups 2v, 2v + 1, 2v + 8, 2v + 9, of 16 in all.
Words group_scales(__m256i scales, int v, int) {
  const __m512i first =
      _mm512_set_epi64(0x0009000900090009, 0x0009000900090009, 0x0008000800080008,
                       0x0008000800080008, 0x0001000100010001, 0x0001000100010001, 0, 0);
  const __m512i order = _mm512_add_epi16(first, _mm512_set1_epi16(static_cast<int16_t>(2 * v)));
  return _mm512_permutexvar_epi16(order, _mm512_castsi256_si512(scales));
}
__m256i reduce(Sums s) {
  return _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
}
V16 words_to_float(__m256i v) { return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(v)); }
V16 to_float(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
// Four rows' or columns' sums [block][lane] as [block][row or column], less offset * x_sum.
template <int offset>
V16 fold_blocks(const Sums* s, const int32_t* x_sum) {
  const __m512i ab =
      _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
  const __m512i cd =
      _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
  __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  if constexpr (offset != 0) {
    static_assert((offset & (offset - 1)) == 0);
    const __m512i x = _mm512_loadu_si512(x_sum);
    all = _mm512_sub_epi32(all, _mm512_slli_epi32(x, __builtin_ctz(offset)));
  }
  return _mm512_cvtepi32_ps(all);
}
template <int b>
__m128 lane(V16 v) {
  return _mm512_extractf32x4_ps(v, b);
}
V16 from_halves(__m128i low, __m128i high) {
  return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
}

#include "ops/kernels/quantized.inc"

// The codes of a block of 256 to their places in four vectors, and their sums.
void place256(const BlockA8K& x, int8_t (*q)[64], int16_t* sums) {
  for (int v = 0; v < 4; ++v) {
    __builtin_memcpy(q[v], x.q + 32 * v, 32);
    __builtin_memcpy(q[v] + 32, x.q + 128 + 32 * v, 32);
  }
  sums16(x.q, sums);
}
// Of the j-th sixteen values.
int16_t sum_of_16(const int16_t* sums, int j) { return sums[j]; }

Sums start_less(__m256i products) {
  return _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), products));
}
// A block of 256 values times those of C columns, on top of sums. Sums of four products fit 16
// bits: codes are at most 63.
template <typename F, int C, typename X>
[[gnu::always_inline]] inline void dot_groups(const std::byte* w, __m256i scales, const X* const* x,
                                              Sums* sums) {
  const Raw raw = F::raw(w, 0);
  const Bytes codes[4] = {F::codes(raw, 0), F::codes(raw, 1), F::codes(raw, 2), F::codes(raw, 3)};
  const Words order = _mm512_set_epi64(0x000b000b000b000b, 0x0009000900090009, 0x000a000a000a000a,
                                       0x0008000800080008, 0x0003000300030003, 0x0001000100010001,
                                       0x0002000200020002, 0);
  const Words all = _mm512_castsi256_si512(scales);
  const Words first_scales = _mm512_permutexvar_epi16(order, all);
  const Words last_scales =
      _mm512_permutexvar_epi16(_mm512_add_epi16(order, _mm512_set1_epi16(4)), all);
  for (int c = 0; c < C; ++c) {
    Sums fours[4];
    for (int v = 0; v < 4; ++v) fours[v] = dot(zero_sums(), codes[v], load_bytes(x[c]->q[v], 0));
    sums[c] = _mm512_dpwssd_epi32(sums[c], _mm512_packs_epi32(fours[0], fours[1]), first_scales);
    sums[c] = _mm512_dpwssd_epi32(sums[c], _mm512_packs_epi32(fours[2], fours[3]), last_scales);
  }
}
// The sums of the lanes of each of four.
__m128i fold_products(const Sums* s) {
  const __m512i ab =
      _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
  const __m512i cd =
      _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half = reduce(all);
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

#include "ops/kernels/rows.inc"

#include "ops/kernels/avx512/heads.inc"

// Rows become columns.
V16 transpose(V16 v) {
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return _mm512_permutexvar_ps(order, v);
}
// The same in each 128-bit lane of four vectors.
void transpose_in_lanes(V16* v) {
  const __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]));
  const __m512d ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
  const __m512d cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]));
  const __m512d cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
  v[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
  v[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
  v[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
  v[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
}

#include "ops/kernels/row_by_row.inc"

template <typename F, int n>
[[gnu::always_inline]] inline void multiply_unit(const std::byte* w, const Single256& x,
                                                 int32_t* products, int32_t* mins) {
  Sums of_block[4];
  __m256i mins_of_block[4];
  for (int b = 0; b < 4; ++b) {
    of_block[b] = zero_sums();
    mins_of_block[b] = _mm256_setzero_si256();
    if (b >= n) continue;
    const std::byte* block = w + static_cast<size_t>(b) * F::kBytes;
    const __m256i scales = F::scales(block), of_16 = load256(x.sums[b]);
    if constexpr (F::kOffset != 0) {
      of_block[b] =
          start_less(_mm256_slli_epi32(_mm256_madd_epi16(scales, of_16), F::kOffset == 4 ? 2 : 5));
    }
    const Single256::Block* codes = &x.block[b];
    dot_groups<F, 1>(block, scales, &codes, &of_block[b]);
    if constexpr (F::kMin) mins_of_block[b] = _mm256_madd_epi16(F::mins(block), of_16);
  }
  _mm_store_si128(reinterpret_cast<__m128i*>(products), fold_products(of_block));
  if constexpr (F::kMin) {
    _mm_store_si128(reinterpret_cast<__m128i*>(mins),
                    fold4(mins_of_block[0], mins_of_block[1], mins_of_block[2], mins_of_block[3]));
  }
}

#include "ops/kernels/avx512/sixteen.inc"

// sum += four bytes times four bytes in each lane. In loops GCC copies every sum that its own
// intrinsic adds to, there and back.
[[gnu::always_inline]] inline void add_bytes(__m512i& sum, __m512i unsigned_bytes,
                                             __m512i signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}
// The same with two words.
[[gnu::always_inline]] inline void add_words(__m512i& sum, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

#include "ops/kernels/avx512/few.inc"

constexpr uint32_t kLaneColumns = 16;
constexpr int kLaneGroups = 3;
template <int G>
constexpr int kLaneRows = G == 1 ? 8 : 4;
using VL = V16;
using IL = __m512i;
VL load_lanes(const float* p) { return load(p); }
void store_lanes(float* p, VL v) { store(p, v); }
VL set1_lanes(float f) { return set1(f); }
VL fnma(VL a, VL b, VL c) { return _mm512_fnmadd_ps(a, b, c); }
IL set1_i32(int32_t n) { return _mm512_set1_epi32(n); }
IL load_i32(const void* p) { return _mm512_load_si512(p); }
IL add_i32(IL a, IL b) { return _mm512_add_epi32(a, b); }
IL mul_i32(IL a, IL b) { return _mm512_mullo_epi32(a, b); }
VL to_float(IL v) { return _mm512_cvtepi32_ps(v); }

#include "ops/kernels/columns.inc"

#include "ops/kernels/vnni.inc"

#include "ops/kernels/avx512/strips.inc"

#include "ops/kernels/again.inc"

constexpr int kBf16Rows = 8;
constexpr int kBf16Groups = 3;
#include "ops/kernels/bf16.inc"

#include "ops/kernels/amx/fast.inc"

#include "ops/kernels/amx/bf16.inc"

constexpr MatmulKernel kMatmul[] = {
    {SLUICE_SDI_TYPE_F32, "fma 4x6", nullptr, nullptr, matmul_float<WeightF32>},
    {SLUICE_SDI_TYPE_F16, "fma 4x6", nullptr, nullptr, matmul_float<WeightF16>},
    {SLUICE_SDI_TYPE_BF16, "fma 4x6", nullptr, nullptr, matmul_float<WeightBf16>},
    {SLUICE_SDI_TYPE_Q4_0, "vnni 1x1, 4x6, 4x12, 4x48", &kPackingSingle32, row_by_row_bytes<Q4_0>,
     matmul_row_by_row<Q4_0>},
    {SLUICE_SDI_TYPE_Q4_1, "vnni 4x6, 4x12, 4x48", &kPacking32, strip_bytes<Q4_1>, matmul<Q4_1>},
    {SLUICE_SDI_TYPE_Q5_0, "vnni 4x6, 4x12, 4x48", &kPacking32, strip_bytes<Q5_0>, matmul<Q5_0>},
    {SLUICE_SDI_TYPE_Q5_1, "vnni 4x6, 4x12, 4x48", &kPacking32, strip_bytes<Q5_1>, matmul<Q5_1>},
    {SLUICE_SDI_TYPE_Q8_0, "vnni 1x1, 4x6, 4x12, 4x48", &kPackingSingle32, row_by_row_bytes<Q8_0>,
     matmul_row_by_row<Q8_0>},
    {SLUICE_SDI_TYPE_Q2_K, "vnni 4x6, 4x12, 4x48", &kPacking256, strip_bytes<Q2_K>, matmul<Q2_K>},
    {SLUICE_SDI_TYPE_Q3_K, "vnni 4x6, 4x12, 4x48", &kPacking256, strip_bytes<Q3_K>, matmul<Q3_K>},
    {SLUICE_SDI_TYPE_Q4_K, "vnni 1x1, 4x6, 4x12, 4x48", &kPackingSingle256, row_by_row_bytes<Q4_K>,
     matmul_row_by_row<Q4_K>},
    {SLUICE_SDI_TYPE_Q5_K, "vnni 1x1, 4x6, 4x12, 4x48", &kPackingSingle256, row_by_row_bytes<Q5_K>,
     matmul_row_by_row<Q5_K>},
    {SLUICE_SDI_TYPE_Q6_K, "vnni 1x1, 4x6, 4x12, 4x48", &kPackingSingle256, row_by_row_bytes<Q6_K>,
     matmul_row_by_row<Q6_K>},
};

constexpr Kernels kTable = make_kernels(
    "avx512", kMatmul, {0, "vnni 4x48", &kPackingFast, strip_bytes<Again>, matmul_fast},
    {0, "fma 8x48", &kPackingBf16, bf16_scratch, matmul_bf16});

// The same, with tiles for fast products.
constexpr Kernels with_tiles(Kernels kernels) {
  kernels.isa = "amx";
  kernels.fast = {0, "amx 32x32", &kPackingFast, amx_scratch, matmul_fast_amx};
  kernels.fast_floats = {0, "amx bf16 32x32", &kPackingBf16, amx_bf16_scratch, matmul_bf16_amx};
  return kernels;
}

}  // namespace

const Kernels kKernelsAvx512 = kTable;
const Kernels kKernelsAmx = with_tiles(kTable);

}  // namespace sluice
