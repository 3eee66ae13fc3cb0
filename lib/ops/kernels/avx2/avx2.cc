// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2, FMA and F16C. Internal linkage only: nothing compiled here may be linked into
// code that runs on lesser machines.
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

// Elements 0-7 and 8-15.
struct V16 {
  __m256 lo, hi;
};

constexpr int kTileRows = 2;
constexpr int kTileColumns = 3;
constexpr int kAttendRows = 2;
constexpr int kAttendVectors = 2;

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

// Elements of a and b in turns.
void zip(V16 a, V16 b, V16& low, V16& high) {
  const auto eight = [](__m256 x, __m256 y) -> V16 {
    const __m256 even = _mm256_unpacklo_ps(x, y), odd = _mm256_unpackhi_ps(x, y);
    return {_mm256_permute2f128_ps(even, odd, 0x20), _mm256_permute2f128_ps(even, odd, 0x31)};
  };
  low = eight(a.lo, b.lo);
  high = eight(a.hi, b.hi);
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

// Eight rounded to nearest even, in the upper halves of the words; NaNs become quiet.
__m256i bf16_bits(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}
void store_bf16(uint16_t* p, V16 v) {
  // The pack works in halves of a register: put the quarters back in order.
  const __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(bf16_bits(v.lo), 16),
                                             _mm256_srli_epi32(bf16_bits(v.hi), 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
void store_bf16_part(uint16_t* p, V16 v, uint32_t n) {
  alignas(32) uint16_t whole[16];
  store_bf16(whole, v);
  __builtin_memcpy(p, whole, n * sizeof(uint16_t));
}
V16 without_small(V16 v, float limit) {
  const V16 size = abs(v);
  const __m256 l = _mm256_set1_ps(limit);
  return {_mm256_and_ps(v.lo, _mm256_cmp_ps(size.lo, l, _CMP_NLT_UQ)),
          _mm256_and_ps(v.hi, _mm256_cmp_ps(size.hi, l, _CMP_NLT_UQ))};
}
__m256 upper_halves(__m256i words) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm256_castsi256_ps(_mm256_and_si256(words, upper));
}
V16 round_bf16(V16 v) { return {upper_halves(bf16_bits(v.lo)), upper_halves(bf16_bits(v.hi))}; }
__m256i pairs_at(const uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
V16 first_of_pairs(const uint16_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs_at(p), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(pairs_at(p + 16), 16))};
}
V16 second_of_pairs(const uint16_t* p) {
  return {upper_halves(pairs_at(p)), upper_halves(pairs_at(p + 16))};
}
V16 load_i8(const std::byte* p) {
  const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(all)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(all, 8)))};
}
V16 set1_f16(const std::byte* p) {
  int16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
  const __m256 all = _mm256_cvtph_ps(_mm_set1_epi16(h));
  return {all, all};
}
__m256i codes_away(__m256 v) {
  // Added to what has its sign, the largest number below a half carries halves, and nothing less.
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 half = _mm256_or_ps(_mm256_and_ps(v, sign), _mm256_set1_ps(0x1.fffffep-2f));
  const __m256 fits = _mm256_cmp_ps(_mm256_andnot_ps(sign, v), _mm256_set1_ps(127.5f), _CMP_LT_OQ);
  return _mm256_cvttps_epi32(_mm256_and_ps(_mm256_add_ps(v, half), fits));
}
void store_away(int8_t* q, V16 v) {
  const __m256i lo = codes_away(v.lo), hi = codes_away(v.hi);
  const __m128i a = _mm_packs_epi32(_mm256_castsi256_si128(lo), _mm256_extracti128_si256(lo, 1));
  const __m128i b = _mm_packs_epi32(_mm256_castsi256_si128(hi), _mm256_extracti128_si256(hi, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(a, b));
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

// --- quantized weights -------------------------------------------------------------------------

using Bytes = __m256i;
using Words = __m256i;
using Sums = __m256i;
constexpr int kHalves = 2;
constexpr int kQ8Offset = 0;

Sums zero_sums() { return _mm256_setzero_si256(); }
__m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
__m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
__m256i join(__m128i low, __m128i high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}
// Half h of 64 bytes.
Bytes load_bytes(const int8_t* p, int h) { return load256(p + 32 * h); }
// Half h of 32 bytes and 32 from `apart` behind them.
Bytes pair(const std::byte* p, size_t apart, int h) {
  return load256(p + static_cast<size_t>(h) * apart);
}
// Half h of 64 bytes.
Bytes adjacent(const std::byte* p, int h) { return load256(p + 32 * h); }
// Half h of 32 bytes and their high nibbles.
Bytes split(const std::byte* p, int h) { return h ? _mm256_srli_epi16(load256(p), 4) : load256(p); }
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

template <size_t kStride, size_t kAt>
__m128i halves(const std::byte* w) {
  const std::byte* p = w + kAt;
  return halves4(p, p + kStride, p + 2 * kStride, p + 3 * kStride);
}
// 16 bytes from kAt on of each of blocks 2h and 2h + 1.
template <size_t kStride, size_t kAt>
Bytes quarter(const std::byte* w, int h) {
  const std::byte* first = w + kAt + 2 * static_cast<size_t>(h) * kStride;
  return join(load128(first), load128(first + kStride));
}
// 32 bytes from kAt on of each of blocks 2h and 2h + 1: the first 16 of each, and the others.
struct Quarters {
  Bytes first, last;
};
template <size_t kStride, size_t kAt>
Quarters quarters(const std::byte* w, int h) {
  const std::byte* first = w + kAt + 2 * static_cast<size_t>(h) * kStride;
  const __m256i a = load256(first), b = load256(first + kStride);
  return {_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31)};
}
__m128i sixteen_bits(const std::byte* p) {
  int16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return _mm_set1_epi16(bits);
}
// `value` where one of 16 bits at kAt of blocks 2h and 2h + 1 is set.
template <size_t kStride, size_t kAt>
Bytes bits16(const std::byte* w, char value, int h) {
  const std::byte* first = w + kAt + 2 * static_cast<size_t>(h) * kStride;
  const __m256i words = join(sixteen_bits(first), sixteen_bits(first + kStride));
  const __m256i byte = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i half = _mm256_set_epi64x(0x0101010101010101, 0, 0x0101010101010101, 0);
  const __m256i spread_bits = _mm256_and_si256(_mm256_shuffle_epi8(words, half), byte);
  return _mm256_and_si256(_mm256_cmpeq_epi8(spread_bits, byte), _mm256_set1_epi8(value));
}
Bytes both(Bytes a, char mask) { return _mm256_and_si256(a, _mm256_set1_epi8(mask)); }
Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
// (a & a_mask) | (b & b_mask)
Bytes merge(Bytes a, char a_mask, Bytes b, char b_mask) {
  return either(both(a, a_mask), both(b, b_mask));
}
// Words shifted right by n bits, or left where n is negative.
template <int n>
Bytes shift(Bytes a) {
  return n < 0 ? _mm256_slli_epi16(a, n < 0 ? -n : 0) : _mm256_srli_epi16(a, n < 0 ? 0 : n);
}
// Products of unsigned codes and activations, added up by fours. Codes up to 63 keep pairs within
// 16 bits.
Sums dot(Sums sums, Bytes codes, Bytes x) {
  const __m256i pairs = _mm256_maddubs_epi16(codes, x);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// |w| <= 128 and |x| <= 127 keep the pairs within i16.
Sums dot_q8(Sums sums, Bytes codes, Bytes x) {
  return dot(sums, _mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
}
Sums dot_scaled(Sums sums, Bytes codes, Bytes x, Words scales) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), scales));
}
// The scales of groups 2v and 2v + 1 of half h of 16.
Words group_scales(__m256i scales, int v, int h) {
  const __m256i half = h ? _mm256_permute2x128_si256(scales, scales, 0x11)
                         : _mm256_permute2x128_si256(scales, scales, 0x00);
  const auto word = [v](int at) { return static_cast<int16_t>((4 * v + at) * 0x101 + 0x100); };
  return _mm256_shuffle_epi8(half, join(_mm_set1_epi16(word(0)), _mm_set1_epi16(word(2))));
}
__m256i reduce(Sums s) { return s; }
V16 to_float(const int32_t* p) {
  return {_mm256_cvtepi32_ps(load256(p)), _mm256_cvtepi32_ps(load256(p + 8))};
}
// Four rows' or columns' sums [half][row or column], each [block][lane], as [block][row or column],
// less offset * x_sum.
template <int offset>
V16 fold_blocks(const Sums* sums, const int32_t* x_sum) {
  __m256 half[2];
  for (int h = 0; h < 2; ++h) {
    const Sums* s = sums + 4 * h;
    const __m256i ab =
        _mm256_add_epi32(_mm256_unpacklo_epi32(s[0], s[1]), _mm256_unpackhi_epi32(s[0], s[1]));
    const __m256i cd =
        _mm256_add_epi32(_mm256_unpacklo_epi32(s[2], s[3]), _mm256_unpackhi_epi32(s[2], s[3]));
    __m256i all = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    if constexpr (offset != 0) {
      static_assert((offset & (offset - 1)) == 0);
      const __m256i x = load256(x_sum + 8 * h);
      all = _mm256_sub_epi32(all, _mm256_slli_epi32(x, __builtin_ctz(offset)));
    }
    half[h] = _mm256_cvtepi32_ps(all);
  }
  return {half[0], half[1]};
}
template <int b>
__m128 lane(V16 v) {
  const __m256 half = b < 2 ? v.lo : v.hi;
  return b % 2 ? _mm256_extractf128_ps(half, 1) : _mm256_castps256_ps128(half);
}
V16 from_halves(__m128i low, __m128i high) { return {_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)}; }
// Each of four numbers four times.
V16 spread(__m128 four) {
  return {_mm256_set_m128(_mm_shuffle_ps(four, four, 0x55), _mm_shuffle_ps(four, four, 0x00)),
          _mm256_set_m128(_mm_shuffle_ps(four, four, 0xff), _mm_shuffle_ps(four, four, 0xaa))};
}

#include "ops/kernels/quantized.inc"

Sums start_less(__m256i products) { return _mm256_sub_epi32(zero_sums(), products); }
// A block of 256 values times those of C columns, on top of sums.
template <typename F, int C, typename X>
void dot_groups(const std::byte* w, __m256i scales, const X* const* x, Sums* sums) {
  for (int h = 0; h < kHalves; ++h) {
    const Raw raw = F::raw(w, h);
    for (int v = 0; v < 4; ++v) {
      const Bytes codes = F::codes(raw, v);
      const Words s = group_scales(scales, v, h);
      for (int c = 0; c < C; ++c)
        sums[c] = dot_scaled(sums[c], codes, load_bytes(x[c]->q[v], h), s);
    }
  }
}
__m128i fold_products(const Sums* s) { return fold4(s[0], s[1], s[2], s[3]); }

#include "ops/kernels/rows.inc"

// A block of four rows times C columns.
template <typename F, int C>
[[gnu::always_inline]] inline void block256_rows(const Rows& w, const Column256* const* x,
                                                 __m128* sum) {
  Sums products[4][C];
  __m256i mins[C][4];
  for (int r = 0; r < 4; ++r) {
    const __m256i scales = F::scales(w.at(r));
    for (int c = 0; c < C; ++c) {
      products[r][c] = zero_sums();
      if constexpr (F::kOffset != 0) {
        const __m256i extra = _mm256_madd_epi16(scales, load256(x[c]->sums));
        products[r][c] = start_less(_mm256_slli_epi32(extra, F::kOffset == 4 ? 2 : 5));
      }
      if constexpr (F::kMin) mins[c][r] = _mm256_madd_epi16(F::mins(w.at(r)), load256(x[c]->sums));
    }
    dot_groups<F, C>(w.at(r), scales, x, products[r]);
  }
  const auto factors = [&](size_t at) {
    return halves4(w.at(0) + at, w.at(1) + at, w.at(2) + at, w.at(3) + at);
  };
  const __m128i d = factors(F::kD);
  __m128i dmin = _mm_setzero_si128(), min_sums = dmin;
  if constexpr (F::kMin) dmin = factors(F::kDmin);
  for (int c = 0; c < C; ++c) {
    if constexpr (F::kMin) min_sums = fold4(mins[c][0], mins[c][1], mins[c][2], mins[c][3]);
    const Sums rows[4] = {products[0][c], products[1][c], products[2][c], products[3][c]};
    sum[c] = add_block256<F>(sum[c], d, dmin, fold_products(rows), min_sums, x[c]->scale);
  }
}

// Each 128-bit lane by itself: four rows of four become columns.
void transpose_in_lanes(__m256& a, __m256& b, __m256& c, __m256& d) {
  const __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
  const __m256d ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
  const __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
  const __m256d cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
  a = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
  b = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
  c = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
  d = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
}
void transpose_in_lanes(V16* v) {
  transpose_in_lanes(v[0].lo, v[1].lo, v[2].lo, v[3].lo);
  transpose_in_lanes(v[0].hi, v[1].hi, v[2].hi, v[3].hi);
}

#include "ops/kernels/row_by_row.inc"

#include "ops/kernels/avx2/few.inc"

size_t packed32_bytes(uint32_t k, uint32_t n) {
  if (n == 1) return columns32_bytes(k, 1);
  return (size_t{n} + 3) / 4 * ((k / kA8Block + 3) / 4) * sizeof(Packed32);
}
size_t packed256_bytes(uint32_t k, uint32_t n) {
  if (n == 1) return columns256_bytes(k, 1);
  return (size_t{n} + 3) / 4 * (k / kA8KBlock) * sizeof(Packed256);
}
uint32_t pack_pieces(uint32_t n) { return (n + 3) / 4; }
void pack_columns32(const MatmulArgs& a, uint32_t piece) {
  a.n == 1 ? pack_column32(a, 0) : pack32(a, piece);
}
void pack_columns256(const MatmulArgs& a, uint32_t piece) {
  a.n == 1 ? pack_column256(a, 0) : pack256(a, piece);
}
constexpr ColumnPacking kPacking32 = {packed32_bytes, pack_pieces, pack_columns32};
constexpr ColumnPacking kPacking256 = {packed256_bytes, pack_pieces, pack_columns256};

template <typename F>
void matmul(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  a.n == 1 ? rows_of_columns<F, 1>(a, row0, row1, 0) : few_columns<F>(a, row0, row1);
}

// The same where one column is multiplied row after row.
size_t packed_single32_bytes(uint32_t k, uint32_t n) {
  const size_t single = units32(k) * sizeof(Single32), columns = packed32_bytes(k, n);
  return single > columns ? single : columns;
}
void pack_single32(const MatmulArgs& a, uint32_t piece) {
  goes_row_by_row(a) ? Single32::pack(a) : pack_columns32(a, piece);
}
constexpr ColumnPacking kPackingSingle32 = {packed_single32_bytes, pack_pieces, pack_single32};
template <typename F>
void matmul_row_by_row(const MatmulArgs& a, uint32_t row0, uint32_t row1) {
  goes_row_by_row(a) ? multiply_row_by_row<F>(a, row0, row1) : matmul<F>(a, row0, row1);
}

int32_t dot256(const int8_t* w, const int8_t* x) {
  Sums sums = zero_sums();
  for (int i = 0; i < 256; i += 32) sums = dot_q8(sums, load256(w + i), load256(x + i));
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}

#include "ops/kernels/fast.inc"

constexpr int kBf16Rows = 4;
constexpr int kBf16Groups = 1;
#include "ops/kernels/bf16.inc"

constexpr MatmulKernel kMatmul[] = {
    {SLUICE_SDI_TYPE_F32, "fma 2x3", nullptr, nullptr, matmul_float<WeightF32>},
    {SLUICE_SDI_TYPE_F16, "fma 2x3", nullptr, nullptr, matmul_float<WeightF16>},
    {SLUICE_SDI_TYPE_BF16, "fma 2x3", nullptr, nullptr, matmul_float<WeightBf16>},
    {SLUICE_SDI_TYPE_Q4_0, "maddubs 4x1, 1x8", &kPacking32, nullptr, matmul<Q4_0>},
    {SLUICE_SDI_TYPE_Q4_1, "maddubs 4x1, 1x8", &kPacking32, nullptr, matmul<Q4_1>},
    {SLUICE_SDI_TYPE_Q5_0, "maddubs 4x1, 1x8", &kPacking32, nullptr, matmul<Q5_0>},
    {SLUICE_SDI_TYPE_Q5_1, "maddubs 4x1, 1x8", &kPacking32, nullptr, matmul<Q5_1>},
    {SLUICE_SDI_TYPE_Q8_0, "maddubs 1x1, 1x8", &kPackingSingle32, kept_bytes<Q8_0>,
     matmul_row_by_row<Q8_0>},
    {SLUICE_SDI_TYPE_Q2_K, "maddubs 4x1, 1x8", &kPacking256, nullptr, matmul<Q2_K>},
    {SLUICE_SDI_TYPE_Q3_K, "maddubs 4x1, 1x8", &kPacking256, nullptr, matmul<Q3_K>},
    {SLUICE_SDI_TYPE_Q4_K, "maddubs 4x1, 1x8", &kPacking256, nullptr, matmul<Q4_K>},
    {SLUICE_SDI_TYPE_Q5_K, "maddubs 4x1, 1x8", &kPacking256, nullptr, matmul<Q5_K>},
    {SLUICE_SDI_TYPE_Q6_K, "maddubs 4x1, 1x8", &kPacking256, nullptr, matmul<Q6_K>},
};

}  // namespace

const Kernels kKernelsAvx2 = {"avx2",
                              rms_norm,
                              quantize<BlockA8>,
                              quantize<BlockA8K>,
                              {glu<silu_gate>, glu<gelu_gate>},
                              softcap,
                              kCaches,
                              attention,
                              kMatmul,
                              sizeof(kMatmul) / sizeof(kMatmul[0]),
                              {0, "maddubs 1x1", nullptr, fast_scratch, matmul_fast},
                              {0, "fma 4x16", &kPackingBf16, bf16_scratch, matmul_bf16}};

}  // namespace sluice
