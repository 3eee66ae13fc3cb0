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

#include "ops/kernels/avx2/vector.inc"

#include "ops/kernels/simd.inc"

__m256i widen_words(__m256i words) { return _mm256_madd_epi16(words, _mm256_set1_epi16(1)); }
__m256i dot(__m256i sums, __m256i codes, __m256i x) {
  return _mm256_add_epi32(sums, widen_words(_mm256_maddubs_epi16(codes, x)));
}
// Codes up to 63 keep two pairs within 16 bits.
__m256i dot_two(__m256i codes0, __m256i x0, __m256i codes1, __m256i x1) {
  return widen_words(
      _mm256_add_epi16(_mm256_maddubs_epi16(codes0, x0), _mm256_maddubs_epi16(codes1, x1)));
}
// |w| <= 128 and |x| <= 127 do so, too.
constexpr int kQ8Offset = 0;
__m256i dot_q8(__m256i sums, __m256i codes, __m256i x) {
  return dot(sums, _mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
}
[[gnu::always_inline]] inline void add_words(__m256i& sums, __m256i a, __m256i b) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
}

#include "ops/kernels/avx2/products.inc"

#include "ops/kernels/avx2/runs.inc"

#include "ops/kernels/again.inc"

constexpr const char* kMethod = "maddubs 4x6, 4x16";
constexpr const char* kMethodOneRow = "maddubs 1x1, 4x6, 4x16";
#include "ops/kernels/avx2/table.inc"

}  // namespace

constinit const Kernels kKernelsAvx2 = make_kernels(
    "avx2", kMatmul, {0, "maddubs 4x16", &kPackingFast, strip_bytes<Again>, matmul_fast},
    {0, "fma 4x16", &kPackingBf16, bf16_scratch, matmul_bf16});

}  // namespace sluice
