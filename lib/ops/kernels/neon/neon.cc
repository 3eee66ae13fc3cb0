// SPDX-License-Identifier: Apache-2.0
// Kernels for every 64-bit ARM. Internal linkage only.
#include <arm_neon.h>

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

#include "ops/kernels/neon/vector.inc"

#include "ops/kernels/simd.inc"

// Products of two bytes fit 16 bits, sums of two of them only just not: so each pair is widened.
int32x4_t dot(int32x4_t sums, int8x16_t a, int8x16_t b) {
  sums = vpadalq_s16(sums, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  return vpadalq_s16(sums, vmull_high_s8(a, b));
}
constexpr const char* kMethod = "smull 4x1, 1x16";

#include "ops/kernels/neon/formats.inc"
#include "ops/kernels/neon/products.inc"

}  // namespace

constinit const Kernels kKernelsNeon =
    make_kernels("neon", kMatmul, {0, "plain", nullptr, fast_scratch, matmul_fast},
                 {0, "fmla 4x16", &kPackingBf16, bf16_scratch, matmul_bf16});

}  // namespace sluice
