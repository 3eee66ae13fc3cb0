// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2, FMA, F16C and AVX-VNNI, for processors without AVX-512. Internal linkage only:
// nothing compiled here may be linked into code that runs on lesser machines.
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

#include "ops/kernels/avx2/vector.inc"

#include "ops/kernels/simd.inc"

// The instructions themselves: in loops GCC copies every sum that its own intrinsics add to, there
// and back.
[[gnu::always_inline]] inline void add_bytes(__m256i& sums, __m256i unsigned_bytes,
                                             __m256i signed_bytes) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(unsigned_bytes), "x"(signed_bytes));
}
[[gnu::always_inline]] inline void add_words(__m256i& sums, __m256i a, __m256i b) {
  asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sums) : "x"(a), "x"(b));
}
__m256i dot(__m256i sums, __m256i codes, __m256i x) {
  add_bytes(sums, codes, x);
  return sums;
}
__m256i dot_two(__m256i codes0, __m256i x0, __m256i codes1, __m256i x1) {
  return dot(dot(_mm256_setzero_si256(), codes0, x0), codes1, x1);
}
constexpr int kQ8Offset = 128;  // added to i8 weights: the first operand is unsigned
__m256i dot_q8(__m256i sums, __m256i codes, __m256i x) {
  return dot(sums, _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80))), x);
}

#include "ops/kernels/avx2/products.inc"

IL add_i32(IL a, IL b) { return _mm256_add_epi32(a, b); }
IL mul_i32(IL a, IL b) { return _mm256_mullo_epi32(a, b); }
#include "ops/kernels/vnni.inc"

void store_scales(int32_t* out, __m256i scales) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_cvtepi16_epi32(_mm256_castsi256_si128(scales)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8),
                      _mm256_cvtepi16_epi32(_mm256_extracti128_si256(scales, 1)));
}

#include "ops/kernels/again.inc"

constexpr const ColumnPacking& kPackingQ8 = kPackingSingle32;
constexpr const char* kMethod = "vnni 4x6, 4x16";
constexpr const char* kMethodOneRow = "vnni 1x1, 4x6, 4x16";
#include "ops/kernels/avx2/table.inc"

}  // namespace

constinit const Kernels kKernelsAvxVnni = make_kernels(
    "avxvnni", kMatmul, {0, "vnni 4x16", &kPackingFast, strip_bytes<Again>, matmul_fast},
    {0, "fma 4x16", &kPackingBf16, bf16_scratch, matmul_bf16});

}  // namespace sluice
